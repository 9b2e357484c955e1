"""Benefit accounts: opened under a processor's reference, visible to their owner."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import and_, func, select
from sqlalchemy.dialects.postgresql import insert

from carteira import ledger
from carteira.benefits import employers, funding
from carteira.benefits.errors import (
    BenefitAccountExists,
    BenefitAccountNotFound,
    UnknownCategory,
)
from carteira.benefits.ledger_kinds import LEDGER_KIND, credit_entry
from carteira.benefits.models import (
    BenefitAccount,
    BenefitCategory,
    BenefitInvitation,
)
from carteira.benefits.schemas import (
    AccountIn,
    BenefitAccountOut,
)
from carteira.kit.db import jobs, outbox
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.security.approvals import Act, Gains
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.values.money import format_brl
from carteira.kit.web.access import Principal

INVITATION_DAYS = 7
_BALANCE = ledger.BALANCES.c


@dataclass(frozen=True, slots=True)
class BenefitAccountView:
    """A benefit account as its callers see it."""

    id: UUID
    reference: str
    user_id: UUID | None
    cpf: str | None
    contact: str | None
    employer_id: UUID

    @property
    def person(self) -> UUID:
        """The audit's subject: its owner, or the account itself while it has none."""
        return self.user_id or self.id


async def find(tx: Tx, reference: str, *, keep: bool = False) -> BenefitAccountView:
    """Return an account by the processor's reference; `keep` locks it until the transaction ends.

    Raises:
        BenefitAccountNotFound: there is none.
    """
    query = select(BenefitAccount).where(BenefitAccount.reference == reference)
    row = await tx.scalar(query.with_for_update(read=True) if keep else query)
    if row is None:
        raise BenefitAccountNotFound
    return view_of(row)


def view_of(row: BenefitAccount) -> BenefitAccountView:
    """Return an account as other modules see it."""
    return BenefitAccountView(row.id, row.reference, row.user_id, row.cpf, row.contact, row.employer_id)


async def find_for(tx: Tx, reference: str, actor: Actor) -> BenefitAccountView:
    """Return an account to a caller by claim, if it is of one of their employers.

    Raises:
        BenefitAccountNotFound: there is none, or it is another employer's.
    """
    account = await find(tx, reference)
    if not (await employers.reach_of(tx, actor)).includes(account.employer_id):
        raise BenefitAccountNotFound
    return account


async def visible(tx: Tx, reference: str, who: Principal, *, look: str | None = None) -> BenefitAccountView:
    """Return an account to its owner or to a reader of its employer's benefits; others get a 404.

    `look` is the action of the look, recorded if the account is another person's.

    Raises:
        BenefitAccountNotFound: there is none, or it is another person's or another employer's.
    """
    account = await find(tx, reference)
    if account.user_id != who.id and not await employers.reads(tx, who, account.employer_id):
        who.require("benefits:read", otherwise=BenefitAccountNotFound())
        raise BenefitAccountNotFound
    if look is not None:
        await audit.record_looks(tx, look, [account.person])
    return account


async def persons(tx: Tx, account_ids: Iterable[UUID]) -> list[UUID]:
    """Return the audit's subjects of accounts: their owners, or the accounts without one."""
    known = select(func.coalesce(BenefitAccount.user_id, BenefitAccount.id))
    return list(await tx.scalars(known.where(BenefitAccount.id.in_(set(account_ids)))))


async def persons_named(tx: Tx, references: Collection[str]) -> list[UUID]:
    """Return the audit's subjects of accounts, by the accounts' references."""
    known = select(func.coalesce(BenefitAccount.user_id, BenefitAccount.id))
    return list(await tx.scalars(known.where(BenefitAccount.reference.in_(references))))


async def balances(tx: Tx, account_id: UUID) -> dict[str, int]:
    """Return an account's balances in centavos by category; configured categories without money are zero."""
    query = (
        select(BenefitCategory.name, func.coalesce(_BALANCE.balance, 0).label("held"))
        .outerjoin(
            ledger.BALANCES,
            and_(_BALANCE.holder_id == account_id, _BALANCE.kind == LEDGER_KIND + BenefitCategory.name),
        )
        .order_by(BenefitCategory.name)
    )
    return {row.name: row.held for row in await tx.execute(query)}


async def gains_of(tx: Tx, references: Collection[str]) -> Gains:
    """Return who gains by a credit to accounts: their owners, and the CPFs that they were opened for."""
    rows = (
        await tx.execute(
            select(BenefitAccount.user_id, BenefitAccount.cpf).where(BenefitAccount.reference.in_(references))
        )
    ).all()
    return Gains(frozenset(row[0] for row in rows if row[0]), frozenset(row[1] for row in rows if row[1]))


async def cpfs_of(tx: Tx, account_ids: Collection[UUID]) -> set[str]:
    """Return the CPFs that accounts were opened for, by the accounts' ids."""
    query = select(BenefitAccount.cpf).where(BenefitAccount.id.in_(account_ids), BenefitAccount.cpf.is_not(None))
    return {cpf for cpf in await tx.scalars(query) if cpf is not None}


async def queue_invitation(tx: Tx, account_id: UUID) -> None:
    """Queue an invitation to an account's recorded contact, by e-mail or SMS; it replaces a former one."""
    expires_at = clock.now() + timedelta(days=INVITATION_DAYS)
    fresh = {"token_hash": None, "expires_at": expires_at, "sent_at": None, "opened_at": None}
    await tx.execute(
        insert(BenefitInvitation)
        .values(account_id=account_id, **fresh)
        .on_conflict_do_update(index_elements=["account_id"], set_=fresh)
    )
    await jobs.defer(tx, "benefits:send_invitation", account_id=str(account_id))


async def open_account(tx: Tx, body: AccountIn, act: Act) -> BenefitAccountOut:
    """Open an account with a ledger account for each category, and credit its opening balances.

    If it has no owner and has a contact, an invitation is queued with the commit, unless `invite` is off.

    Raises:
        BenefitAccountExists: the reference is taken.
        UnknownCategory: a balance names a category that is not configured.
        EmployerNotFound, EmployerRequired: the actor has no such employer, or must name one.
        MustWait, DailyCeilingReached: the opening balances exceed the operator's limit.
        InsufficientFund: its pre-funded employer has paid in less.
    """
    names = list(await tx.scalars(select(BenefitCategory.name).order_by(BenefitCategory.name)))
    unknown = sorted(set(body.balances) - set(names))
    if unknown:
        errors = [{"field": f"balances.{name}", "message": "Categoria desconhecida."} for name in unknown]
        raise UnknownCategory(errors=errors)
    employer_id = await employers.chosen_for_opening(tx, act.actor, body.employer_id)
    opened = await tx.scalar(
        insert(BenefitAccount)
        .values(
            id=uuid7(),
            reference=body.account,
            cpf=body.cpf,
            user_id=body.user_id,
            contact=body.contact,
            name=body.name,
            employer_id=employer_id,
        )
        .on_conflict_do_nothing(index_elements=["reference"])
        .returning(BenefitAccount.id)
    )
    if opened is None:
        raise BenefitAccountExists
    total = sum(body.balances.values())
    summary = f"Abrir a conta {body.account} com {format_brl(total)} de saldo inicial"
    await act.weigh(tx, amount=total, summary=summary, gains=Gains.of(body.user_id, body.cpf), scope=employer_id)
    source = await funding.source_of(tx, employer_id)
    await funding.require(tx, {source: total})
    for name in names:
        account_id = await ledger.open_account(tx, LEDGER_KIND + name, holder_id=opened, owner_id=body.user_id)
        if amount := body.balances.get(name, 0):
            entry = credit_entry(account_id, amount, "Saldo inicial", source=source, key=act.key_of(name))
            await ledger.post(tx, entry, actor=act.actor, approved_by=act.approved_by)
    await audit.record(
        tx,
        "benefit_account_opened",
        actor=act.actor,
        approved_by=act.approved_by,
        subject=body.user_id or opened,
        account_id=str(opened),
        employer=str(employer_id),
        amount=sum(body.balances.values()),
    )
    payload = {"account_id": str(opened), "account": body.account, "employer_id": str(employer_id)}
    await outbox.emit(tx, "benefits.account_opened", payload | {"user_id": body.user_id and str(body.user_id)})
    if body.invite and body.contact is not None and body.user_id is None:
        await queue_invitation(tx, opened)
    return BenefitAccountOut(account=body.account, employer_id=employer_id, balances=await balances(tx, opened))
