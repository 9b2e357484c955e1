"""The reads of benefits: transactions with their reasons, statements, and simulations."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select

from carteira import ledger
from carteira.benefits import catalog, employers
from carteira.benefits.accounts import BenefitAccountView, view_of, visible
from carteira.benefits.authorizer.answers import Code, Reason
from carteira.benefits.authorizer.explain import explain
from carteira.benefits.authorizer.request import Authorization, Malformed, parse_authorization
from carteira.benefits.authorizer.rules import CASH, Decision, decide, refuse, refuse_malformed
from carteira.benefits.errors import BenefitAccountNotFound, TransactionNotFound
from carteira.benefits.ledger_kinds import LEDGER_KIND
from carteira.benefits.models import BenefitAccount, BenefitDecision, BenefitReference, BenefitReturn
from carteira.benefits.schemas import BenefitStatementLineOut, SimulationOut, TransactionOut
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.ids import uuid7
from carteira.kit.web.access import Principal
from carteira.kit.web.pagination import Page, PageRequest

_NOBODY = UUID(int=0)
_SIMULATED = "transaction_simulated"

purchase_events = (
    select(
        BenefitDecision.xid,
        BenefitDecision.id,
        BenefitDecision.id.label("trace_id"),
        BenefitDecision.amount,
        BenefitDecision.mcc,
        BenefitDecision.merchant,
        BenefitDecision.category_used,
        BenefitDecision.created_at,
        BenefitAccount.cpf,
        BenefitAccount.user_id,
    )
    .join(BenefitAccount, BenefitAccount.id == BenefitDecision.account_id)
    .where(BenefitDecision.code == Code.APPROVED.value)
    .subquery("benefits_purchase_events")
)
"""Approved purchases with their person (a user, or a CPF that an employer gave), as events to follow."""

return_events = (
    select(
        BenefitReturn.xid,
        BenefitReturn.id,
        BenefitReturn.kind,
        BenefitReturn.amount,
        BenefitReturn.created_at,
        BenefitReturn.decision_id,
        BenefitDecision.external_id,
        BenefitDecision.account,
        BenefitDecision.merchant,
        BenefitAccount.id.label("holder_id"),
        BenefitAccount.employer_id,
        BenefitAccount.cpf,
        BenefitAccount.user_id,
    )
    .join(BenefitDecision, BenefitDecision.id == BenefitReturn.decision_id)
    .join(BenefitAccount, BenefitAccount.id == BenefitDecision.account_id)
    .subquery("benefits_return_events")
)
"""Returns of purchases, as events to follow in the same way."""

decision_events = (
    select(
        BenefitDecision.xid,
        BenefitDecision.id,
        BenefitDecision.id.label("trace_id"),
        BenefitDecision.external_id,
        BenefitDecision.account,
        BenefitDecision.amount,
        BenefitDecision.code,
        BenefitDecision.category_used,
        BenefitDecision.created_at,
        BenefitAccount.id.label("holder_id"),
        BenefitAccount.employer_id,
        BenefitAccount.user_id,
    )
    .outerjoin(BenefitAccount, BenefitAccount.id == BenefitDecision.account_id)
    .subquery("benefits_decision_events")
)
"""All decisions of the authorizer, as events to follow; those without an account have no person."""


def _decision(row: BenefitDecision) -> Decision:
    return Decision(*(getattr(row, name) for name in Decision._fields))


def as_transaction(row: BenefitDecision) -> TransactionOut:
    """Return a decision as other modules see it."""
    return TransactionOut(
        id=row.id,
        reference=row.external_id,
        account=row.account,
        amount=row.amount,
        mcc=row.mcc,
        merchant=row.merchant,
        code=row.code,
        category_tried=row.category_tried,
        category_used=row.category_used,
        explanation=explain(_decision(row)),
        created_at=row.created_at,
    )


async def transaction(tx: Tx, transaction_id: UUID, who: Principal) -> TransactionOut:
    """Return one decision to the account's owner or to a reader of its employer's benefits.

    Raises:
        TransactionNotFound: there is none, or it is another person's or another employer's.
    """
    query = (
        select(BenefitDecision, BenefitAccount)
        .join(BenefitAccount, BenefitAccount.id == BenefitDecision.account_id)
        .where(BenefitDecision.id == transaction_id)
    )
    found = (await tx.execute(query)).one_or_none()
    if found is None:
        raise TransactionNotFound
    row, account = found
    if account.user_id != who.id and not await employers.reads(tx, who, account.employer_id):
        raise TransactionNotFound
    await audit.record_looks(tx, "transaction_read", [view_of(account).person])
    return as_transaction(row)


@dataclass(frozen=True, slots=True)
class TransactionFilter:
    """Filters of decisions: an account, a code, the processor's id."""

    account: str | None = None
    code: str | None = None
    reference: str | None = None


async def transactions(
    tx: Tx, who: Principal, wanted: TransactionFilter, asked: PageRequest[UUID]
) -> Page[TransactionOut]:
    """List decisions, newest first: of one account, of all of one's own, or of an employer's for its readers.

    Looks at other people are recorded.

    Raises:
        BenefitAccountNotFound: the account is another person's, or there is none.
    """
    query = (
        select(BenefitDecision, func.coalesce(BenefitAccount.user_id, BenefitAccount.id))
        .outerjoin(BenefitAccount, BenefitAccount.id == BenefitDecision.account_id)
        .order_by(BenefitDecision.id.desc())
        .limit(asked.limit + 1)
    )
    if wanted.account is not None:
        query = query.where(BenefitDecision.account_id == (await visible(tx, wanted.account, who)).id)
    elif not who.may("benefits:read"):
        query = query.where(BenefitDecision.account_id.in_(_accounts(BenefitAccount.user_id == who.user_id)))
    elif (reach := await employers.reach_of(tx, who.actor)).employers is not None:
        theirs = or_(BenefitAccount.employer_id.in_(reach.employers), BenefitAccount.user_id == who.id)
        query = query.where(BenefitDecision.account_id.in_(_accounts(theirs)))
    if wanted.reference is not None:
        named = select(BenefitReference.decision_id).where(BenefitReference.external_id == wanted.reference)
        query = query.where(BenefitDecision.id.in_(named))
    if wanted.code is not None:
        query = query.where(BenefitDecision.code == wanted.code)
        if wanted.code != Code.APPROVED.value:
            query = query.where(BenefitDecision.code != Code.APPROVED.value)
    if asked.after is not None:
        query = query.where(BenefitDecision.id < asked.after)
    rows = [(row, person) for row, person in await tx.execute(query)]
    page = asked.page(rows, lambda pair: pair[0].id)
    await audit.record_looks(tx, "transactions_listed", [person for _, person in page.items])
    return page.map(lambda pair: as_transaction(pair[0]))


def _accounts(which: ColumnElement[bool]) -> Select[UUID]:
    return select(BenefitAccount.id).where(which).correlate(None)


async def accounts_of_person(tx: Tx, user_id: UUID) -> list[BenefitAccountView]:
    """Return a person's accounts, oldest first."""
    rows = await tx.scalars(select(BenefitAccount).where(BenefitAccount.user_id == user_id).order_by(BenefitAccount.id))
    return [view_of(row) for row in rows]


async def statement(
    tx: Tx, account_id: UUID, asked: PageRequest[ledger.LineKey], who: Principal
) -> Page[BenefitStatementLineOut]:
    """Return a page of all categories' movements of an account, newest first."""
    views = {view.id: view for view in await ledger.accounts_of_holder(tx, account_id)}
    page = (await ledger.statement_page(tx, list(views), asked)).map(
        lambda line: line.seen_by(who, claim="benefits:read")
    )
    merchants = await _merchants(tx, [line.entry_id for line in page.items])
    return page.map(
        lambda line: BenefitStatementLineOut(
            entry_id=line.entry_id,
            category=views[line.account_id].kind.removeprefix(LEDGER_KIND),
            kind=line.kind,
            description=line.description or merchants.get(line.entry_id),
            amount=line.amount,
            balance_after=line.balance_after,
            posted_at=line.posted_at,
            actor=line.actor,
            approved_by=line.approved_by,
        )
    )


async def _merchants(tx: Tx, entry_ids: Sequence[UUID]) -> dict[UUID, str | None]:
    """Return the merchant of each entry that is a purchase: a decision and its entry share their id."""
    query = select(BenefitDecision.id, BenefitDecision.merchant).where(BenefitDecision.id.in_(entry_ids))
    return {row.id: row.merchant for row in await tx.execute(query)}


async def simulate(tx: Tx, body: bytes, query: bytes, who: Principal) -> SimulationOut:
    """Return the authorizer's answer to a request, and its reason, without deciding it; only the look is recorded.

    Raises:
        BenefitAccountNotFound: the account is another person's, or there is none.
    """
    try:
        request = parse_authorization(body, query, uuid7())
    except Malformed as error:
        if error.account is not None:
            await visible(tx, error.account, who, look=_SIMULATED)
        elif not who.may("benefits:read"):
            raise BenefitAccountNotFound from error
        else:
            await audit.record_looks(tx, _SIMULATED, ())
        refusal = refuse_malformed(uuid7(), _NOBODY, error.account or "", error.reason)
        return _simulation(refusal)
    return _simulation(await _decide(tx, request, who))


async def _decide(tx: Tx, request: Authorization, who: Principal) -> Decision:
    account = await visible(tx, request.account, who, look=_SIMULATED)
    now = await catalog.load(tx)
    if request.account in now.blocked:
        return refuse(request, Reason.ACCOUNT_BLOCKED, account.id, keep_id=True)
    category = now.categorise(request.mcc, request.merchant)
    available = {
        view.kind.removeprefix(LEDGER_KIND): view.available for view in await ledger.accounts_of_holder(tx, account.id)
    }
    return decide(request, account.id, category, available=available.get(category[0], 0), cash=available.get(CASH, 0))


def _simulation(decision: Decision) -> SimulationOut:
    return SimulationOut(
        code=decision.code,
        category_tried=decision.category_tried,
        category_used=decision.category_used,
        explanation=explain(decision),
    )
