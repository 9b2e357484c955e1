"""Resellers: adding and finding them, and the module's part of a person's data (LGPD)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, SelectBase, exists, select, update
from sqlalchemy.dialects.postgresql import insert

from carteira import identity, ledger
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.values.cpf import mask_cpf
from carteira.kit.values.ids import uuid7
from carteira.kit.web.access import Principal
from carteira.resellers import configuration
from carteira.resellers.errors import (
    AlreadyAReseller,
    CashbackOwed,
    NoCpf,
    NotAReseller,
    ResellerNotFound,
    UnknownReseller,
)
from carteira.resellers.models import Adjustment, Closing, Month, Purchase, Reseller
from carteira.resellers.schemas import STATUS, write_month

CLAIM = "reseller"
LEDGER_KIND = "resellers.cashback"


@dataclass(frozen=True, slots=True)
class ResellerView:
    """A reseller for the module's verbs; an erased one has neither user nor CPF.

    A user lacks a CPF if it was proven to be another person's and they have not given theirs yet.
    """

    id: UUID
    user_id: UUID | None
    cpf: str | None
    account_id: UUID
    created_at: datetime

    @property
    def person(self) -> UUID:
        """The audit's subject: the user, or the reseller itself once they were erased."""
        return self.user_id or self.id


def view_of(row: Reseller) -> ResellerView:
    """Return a row as the verbs need it."""
    return ResellerView(row.id, row.user_id, row.cpf, row.account_id, row.created_at)


async def _one(tx: Tx, condition: ColumnElement[bool], *, keep: bool = False) -> ResellerView | None:
    """Find a reseller; `keep` locks them against an erasure until the transaction ends."""
    query = select(Reseller).where(condition)
    row = await tx.scalar(query.with_for_update(read=True) if keep else query)
    return None if row is None else view_of(row)


async def by_id(tx: Tx, reseller_id: UUID) -> ResellerView:
    """Return a reseller by an id from a foreign key."""
    found = await _one(tx, Reseller.id == reseller_id)
    assert found is not None, "a purchase has an existing reseller"
    return found


async def mine(tx: Tx, who: Principal) -> ResellerView:
    """Return the reseller that a signed-in person is.

    Raises:
        Forbidden: the `reseller` claim is missing.
        NotAReseller: they have not registered as one.
    """
    who.require(CLAIM)
    found = await _one(tx, Reseller.user_id == who.user_id)
    if found is None:
        raise NotAReseller
    return found


async def is_reseller(tx: Tx, user_id: UUID) -> bool:
    """Return whether a person is a reseller."""
    return await _one(tx, Reseller.user_id == user_id) is not None


async def is_one(tx: Tx, who: Principal) -> bool:
    """Return whether a signed-in person is a reseller and holds the claim."""
    return who.may(CLAIM) and await _one(tx, Reseller.user_id == who.id) is not None


async def by_cpf(tx: Tx, cpfs: Sequence[str]) -> dict[str, ResellerView]:
    """Return the resellers of some CPFs, by CPF, locked against an erasure."""
    query = select(Reseller).where(Reseller.cpf.in_(cpfs)).order_by(Reseller.id).with_for_update(read=True)
    return {row.cpf: view_of(row) for row in await tx.scalars(query) if row.cpf is not None}


async def of_cpf(tx: Tx, cpf: str) -> ResellerView:
    """Return the reseller of a CPF.

    Raises:
        ResellerNotFound: there is none.
    """
    found = await _one(tx, Reseller.cpf == cpf)
    if found is None:
        raise ResellerNotFound
    return found


async def visible(tx: Tx, who: Principal, cpf: str | None, *, look: str | None = None) -> ResellerView:
    """Return the requested reseller: oneself, or by CPF with `purchases:read`.

    `look` is the action of the look, recorded if it is another person.

    Raises:
        Forbidden: another's CPF without the claim.
        ResellerNotFound: there is no reseller of this CPF.
    """
    if cpf is not None and who.may("purchases:read"):
        found = await of_cpf(tx, cpf)
    else:
        found = await mine(tx, who)
        if cpf not in {None, found.cpf}:
            who.require("purchases:read")
    if look is not None:
        await audit.record_looks(tx, look, [found.person])
    return found


async def buyer(tx: Tx, who: Principal, cpf: str) -> ResellerView:
    """Return the reseller of a new purchase: oneself, or anybody with `purchases:write`.

    They are locked against an erasure.

    Raises:
        UnknownReseller: there is no reseller of this CPF.
        NoCpf: the caller has none.
        Forbidden: another's CPF without the claim.
    """
    own = None if who.may("purchases:write") else await mine(tx, who)
    if own is not None and own.cpf is None:
        raise NoCpf
    found = await _one(tx, Reseller.cpf == cpf, keep=True)
    if found is None:
        raise UnknownReseller
    if own is not None and own.id != found.id:
        who.require("purchases:write")
    return found


def shown_cpf(reseller: ResellerView, who: Principal | None) -> str:
    """Return a reseller's CPF: whole for themselves and for readers and writers of purchases, masked for others."""
    if reseller.cpf is None:
        return "***.***.***-**"
    if who is None:
        return mask_cpf(reseller.cpf)
    whole = reseller.user_id == who.id or who.may("purchases:read") or who.may("purchases:write")
    return reseller.cpf if whole else mask_cpf(reseller.cpf)


async def add(tx: Tx, user_id: UUID, cpf: str) -> ResellerView:
    """Add a reseller and open their cashback account.

    Raises:
        AlreadyAReseller: the person or the CPF has one.
    """
    reseller_id, now = uuid7(), clock.now()
    account_id = await ledger.open_account(tx, LEDGER_KIND, holder_id=reseller_id, owner_id=user_id)
    added = await tx.scalar(
        insert(Reseller)
        .values(id=reseller_id, user_id=user_id, cpf=cpf, account_id=account_id, created_at=now)
        .on_conflict_do_nothing()
        .returning(Reseller.id)
    )
    if added is None:
        raise AlreadyAReseller
    return ResellerView(reseller_id, user_id, cpf, account_id, now)


async def follow_cpf(tx: Tx, user_id: UUID, cpf: str | None) -> None:
    """Update a reseller's CPF to their person's; purchases and cashback stay with the reseller.

    A CPF belongs to one person, so another reseller with it here is out of date: their person's CPF changed before.
    """
    if cpf is not None:
        await tx.execute(update(Reseller).where(Reseller.cpf == cpf, Reseller.user_id != user_id).values(cpf=None))
    await tx.execute(update(Reseller).where(Reseller.user_id == user_id).values(cpf=cpf))


async def balance(tx: Tx, reseller: ResellerView) -> int:
    """Return a reseller's available cashback, in centavos."""
    return (await ledger.account(tx, reseller.account_id)).available


def ids_of_person(user_id: UUID, cpf: str | None) -> SelectBase:
    """Return the query of the ids of a person's reseller, and of automatic approvals of their proven CPF."""
    own = select(Reseller.id).where(Reseller.user_id == user_id)
    return own if cpf is None else own.union_all(configuration.ids_of_cpf(cpf))


async def export_person(tx: Tx, user_id: UUID) -> Mapping[str, Any]:
    """Return everything that the module holds about a person, JSON-ready (LGPD art. 18, II and V)."""
    row = await tx.scalar(select(Reseller).where(Reseller.user_id == user_id))
    if row is None:
        return {}
    purchases = await tx.scalars(select(Purchase).where(Purchase.reseller_id == row.id).order_by(Purchase.id))
    closings = await tx.scalars(select(Closing).where(Closing.reseller_id == row.id).order_by(Closing.month))
    return {
        "reseller": {"id": str(row.id), "cpf": row.cpf, "created_at": row.created_at.isoformat()},
        "cashback_balance": await balance(tx, view_of(row)),
        "purchases": [
            {
                "id": str(purchase.id),
                "code": purchase.code,
                "amount": purchase.amount,
                "date": purchase.purchased_on.isoformat(),
                "status": STATUS[purchase.status],
                "rejection_reason": purchase.rejection_reason,
                "cashback_spent": purchase.cashback_spent,
                "created_at": purchase.created_at.isoformat(),
            }
            for purchase in purchases
        ],
        "closed_months": [
            {
                "month": write_month(closing.month),
                "total": closing.total,
                "cashback_percentage": closing.percentage,
                "cashback_amount": closing.cashback,
            }
            for closing in closings
        ],
        "adjustments": [
            {
                "id": str(one.id),
                "month": write_month(one.month),
                "amount": one.amount,
                "taken_in": one.taken,
                "reason": one.reason,
                "created_at": one.created_at.isoformat(),
                "undone_at": one.undone_at.isoformat() if one.undone_at else None,
            }
            for one in await tx.scalars(
                select(Adjustment).where(Adjustment.reseller_id == row.id).order_by(Adjustment.id)
            )
        ],
    }


async def refuse_erasure(tx: Tx, user_id: UUID) -> None:
    """Lock the person's reseller and its cashback.

    Raises:
        CashbackOwed: there is available cashback, a purchase in an open month that may earn some, or a positive
            adjustment.
    """
    row = await tx.scalar(select(Reseller).where(Reseller.user_id == user_id).with_for_update(key_share=True))
    if row is None:
        return
    book = await ledger.lock(tx, [row.account_id])
    promised = await tx.scalar(
        select(
            exists().where(
                Purchase.reseller_id == row.id,
                Purchase.status != "rejected",
                ~exists().where(Month.month == Purchase.month, Month.closed_at.is_not(None)),
            )
        )
    )
    owed = await tx.scalar(select(exists().where(*_waiting(row.id), Adjustment.amount > 0)))
    if promised or owed or book.account(row.account_id).balance:
        raise CashbackOwed


def _waiting(reseller_id: UUID) -> tuple[ColumnElement[bool], ...]:
    return (
        Adjustment.reseller_id == reseller_id,
        Adjustment.undone_at.is_(None),
        Adjustment.taken != Adjustment.amount,
    )


async def _forget_adjustments(tx: Tx, reseller_id: UUID) -> None:
    """Undo a former reseller's open adjustments, and erase operators' texts about them."""
    waits = update(Adjustment).where(*_waiting(reseller_id), Adjustment.taken == 0)
    await tx.execute(waits.values(undone_at=clock.now()))
    await tx.execute(update(Adjustment).where(Adjustment.reseller_id == reseller_id).values(reason=None))


async def erase_person(tx: Tx, user_id: UUID) -> None:
    """Detach the person from the reseller (LGPD art. 18, VI): CPF and user are removed, purchases stay under its id.

    Operators' texts about the person's purchases are erased too.
    """
    row = await tx.scalar(select(Reseller).where(Reseller.user_id == user_id).with_for_update(key_share=True))
    if row is None:
        return
    if (cpf := await identity.proven_cpf(tx, user_id)) is not None:  # data under a CPF are erased with its person
        await configuration.forget_cpf(tx, cpf)
    await tx.execute(update(Purchase).where(Purchase.reseller_id == row.id).values(rejection_reason=None))
    await _forget_adjustments(tx, row.id)
    await ledger.assign_owner(tx, holder_id=row.id, owner_id=None)
    row.user_id, row.cpf = None, None
    await tx.flush()


async def traces_of_person(tx: Tx, user_id: UUID) -> Mapping[str, Any]:
    """Return the ids of the person's reseller and of the rules with their CPF."""
    reseller_id = await tx.scalar(select(Reseller.id).where(Reseller.user_id == user_id))
    cpf = await identity.proven_cpf(tx, user_id)
    rules = [] if reseller_id is None or cpf is None else (await tx.scalars(configuration.ids_of_cpf(cpf))).all()
    return {"reseller": None if reseller_id is None else str(reseller_id), "rules": [str(rule) for rule in rules]}


async def erase_traces(tx: Tx, traces: Mapping[str, Any]) -> None:
    """Detach an erased person from their reseller and rules."""
    await configuration.forget(tx, [UUID(rule) for rule in traces["rules"]])
    row = await tx.get(Reseller, UUID(traces["reseller"]), with_for_update=True) if traces["reseller"] else None
    if row is None or (row.user_id is None and row.cpf is None):
        return
    await tx.execute(update(Purchase).where(Purchase.reseller_id == row.id).values(rejection_reason=None))
    await _forget_adjustments(tx, row.id)
    await ledger.assign_owner(tx, holder_id=row.id, owner_id=None)
    row.user_id, row.cpf = None, None
    await tx.flush()
