"""Corrections of a closed month's credit to a reseller, settled by later closes.

A closed month never changes. The close of a later month settles an adjustment: a positive one is credited; a negative
one is deducted from that month's credit, never from the reseller's balance, and the rest waits for the next month.
Until a part is settled an adjustment can be undone.

Locks: booking locks the reseller, so that adjustments together never deduct more than the month credited; undoing and a
close lock the adjustment. A close locks adjustments before accounts.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import ColumnElement, SQLColumnExpression, func, select
from sqlalchemy.dialects.postgresql import insert

from carteira import ledger
from carteira.kit.db import outbox
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.security.approvals import Act, Gains
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.values.money import format_brl
from carteira.kit.web.access import Principal
from carteira.kit.web.pagination import Page, PageRequest
from carteira.resellers import metrics, resellers
from carteira.resellers.errors import (
    AdjustmentNotFound,
    AdjustmentSettled,
    AdjustmentTooLarge,
    MonthNotClosed,
    ResellerNotFound,
)
from carteira.resellers.models import Adjustment, AdjustmentPart, Closing, Month, Reseller
from carteira.resellers.resellers import ResellerView, view_of
from carteira.resellers.schemas import AdjustmentOut, AdjustmentPartOut, AdjustmentStatus, write_month

EXPENSE = ledger.system_account("resellers.cashback_expense")
"""The operator's expense for cashback."""
ADJUST = "resellers.cashback_adjustment"
BOOKED, UNDONE = "cashback_adjustment_booked", "cashback_adjustment_undone"
_EVENTS = {BOOKED: "resellers.adjustment_booked", UNDONE: "resellers.adjustment_undone"}


async def book(  # noqa: PLR0913 - an adjustment's fields and its actors
    tx: Tx, reseller_id: UUID, month: date, *, amount: int, reason: str, act: Act
) -> AdjustmentOut:
    """Book an adjustment of a reseller's closed month: centavos owed to them, or (negative) by them.

    Raises:
        ResellerNotFound: there is none, or the person was erased.
        MonthNotClosed: an open month is corrected by its purchases.
        AdjustmentTooLarge: with others it would deduct more than the month credited.
        OwnOperation: the reseller books or approves it.
        MustWait, DailyCeilingReached: it exceeds the operator's limit.
    """
    query = select(Reseller).where(Reseller.id == reseller_id, Reseller.user_id.is_not(None))
    row = await tx.scalar(query.with_for_update(key_share=True))
    if row is None:
        raise ResellerNotFound
    reseller = view_of(row)
    if await tx.scalar(select(Month.closed_at).where(Month.month == month)) is None:
        raise MonthNotClosed(f"O mês {month:%m/%Y} ainda não foi fechado: corrija as compras dele.")
    left = await _credited(tx, reseller.id, month)
    if left + amount < 0:
        raise AdjustmentTooLarge(left=left)
    own = Gains.of(reseller.user_id, reseller.cpf)
    await act.refuse_own(tx, own)
    what = "a mais para" if amount > 0 else "a menos para"
    summary = f"Ajustar o cashback de {month:%m/%Y} em {format_brl(abs(amount))} {what} um revendedor"
    await act.weigh(tx, amount=abs(amount), summary=summary, gains=own)
    made = Adjustment(
        id=uuid7(),
        reseller_id=reseller.id,
        month=month,
        amount=amount,
        taken=0,
        reason=reason,
        booked_by=UUID(act.actor.id),
        approved_by=act.approved_by,
        created_at=clock.now(),
    )
    tx.add(made)
    await tx.flush()
    await _record(tx, BOOKED, made, reseller, act)
    return _out(made, reseller, (), None)


async def _credited(tx: Tx, reseller_id: UUID, month: date) -> int:
    """Return a reseller's credit for a closed month, including its adjustments."""
    closing = select(Closing.cashback).where(Closing.reseller_id == reseller_id, Closing.month == month)
    adjusted = select(func.sum(Adjustment.amount)).where(
        Adjustment.reseller_id == reseller_id, Adjustment.month == month, Adjustment.undone_at.is_(None)
    )
    return (await tx.scalar(closing) or 0) + int(await tx.scalar(adjusted) or 0)


async def undo(tx: Tx, adjustment_id: UUID, act: Act) -> AdjustmentOut:
    """Undo an adjustment that no close has settled; repeating it returns the undone adjustment.

    Raises:
        AdjustmentNotFound: there is none.
        AdjustmentSettled: a close settled it, or a part of it; another adjustment corrects it.
        AdjustmentTooLarge: without it, others would deduct more than the month credited.
        OwnOperation: the reseller undoes or approves it.
        MustWait, DailyCeilingReached: it exceeds the operator's limit, whether the reseller gains or loses by it.
    """
    whose = await tx.scalar(select(Adjustment.reseller_id).where(Adjustment.id == adjustment_id))
    # Bookings and undoings of one reseller run one after the other: they lock the same row, before an adjustment's.
    await tx.scalar(select(Reseller.id).where(Reseller.id == whose).with_for_update(key_share=True))
    row = await tx.scalar(select(Adjustment).where(Adjustment.id == adjustment_id).with_for_update())
    if row is None:
        raise AdjustmentNotFound
    reseller = await resellers.by_id(tx, row.reseller_id)
    if row.taken:
        raise AdjustmentSettled
    if row.undone_at is not None:
        audit.nothing_done()
        return _out(row, reseller, (), None)
    left = await _credited(tx, row.reseller_id, row.month)
    if left - row.amount < 0:
        raise AdjustmentTooLarge(left=left)  # others depend on the amount that it owes
    own = Gains.of(reseller.user_id, reseller.cpf)
    await act.refuse_own(tx, own)
    summary = f"Desfazer um ajuste do cashback de {row.month:%m/%Y}, de {format_brl(abs(row.amount))}"
    await act.weigh(tx, amount=abs(row.amount), summary=summary, gains=own)
    row.undone_at, row.undone_by = clock.now(), UUID(act.actor.id)
    await tx.flush()
    await _record(tx, UNDONE, row, reseller, act)
    return _out(row, reseller, (), None)


async def _record(tx: Tx, action: str, row: Adjustment, reseller: ResellerView, act: Act) -> None:
    await audit.record(
        tx,
        action,
        actor=act.actor,
        subject=reseller.person,
        approved_by=act.approved_by,
        adjustment_id=str(row.id),
        month=write_month(row.month),
        amount=row.amount,
    )
    if reseller.user_id is None:  # an erased reseller is not notified
        return
    payload = {
        "adjustment_id": str(row.id),
        "reseller_id": str(reseller.id),
        "user_id": str(reseller.user_id),
        "month": write_month(row.month),
        "amount": row.amount,
    }
    await outbox.emit(tx, _EVENTS[action], payload)


@dataclass(frozen=True, slots=True)
class Taken:
    """The part of an adjustment that a close settles, in centavos: credited, or (negative) deducted."""

    adjustment_id: UUID
    reseller_id: UUID
    user_id: UUID | None
    account_id: UUID
    amount: int
    entry: ledger.NewEntry


async def settle(tx: Tx, month: date, earned: Mapping[UUID, int]) -> list[Taken]:
    """Lock open adjustments, and return the parts that the close of a later month settles and has to post.

    `earned` is that month's credit to each reseller for their purchases. Deductions never exceed it plus the positive
    adjustments.
    """
    rows = await tx.execute(
        select(Adjustment, Reseller.user_id, Reseller.account_id)
        .join(Reseller, Reseller.id == Adjustment.reseller_id)
        .where(Adjustment.month < month, Adjustment.undone_at.is_(None), Adjustment.taken != Adjustment.amount)
        .order_by(Adjustment.id)
        .with_for_update(of=Adjustment)
    )
    left = defaultdict(int, earned)
    found = []
    for row, user_id, account_id in sorted(rows, key=lambda one: one[0].amount < 0):  # credits come first
        rest = row.amount - row.taken
        amount = max(rest, -left[row.reseller_id])
        if amount:
            left[row.reseller_id] += amount
            row.taken += amount
            entry = _entry(row, account_id, month, amount)
            found.append(Taken(row.id, row.reseller_id, user_id, account_id, amount, entry))
    await tx.flush()
    return found


def _entry(row: Adjustment, account_id: UUID, month: date, amount: int) -> ledger.NewEntry:
    return ledger.transfer(
        ADJUST,
        source=EXPENSE if amount > 0 else account_id,
        target=account_id if amount > 0 else EXPENSE,
        amount=abs(amount),
        description=f"Ajuste do cashback de {row.month:%m/%Y}",
        key=f"cashback-adjustment:{row.id}:{write_month(month)}",
    )


async def write_down(tx: Tx, month: date, taken: Sequence[Taken]) -> None:
    """Record the parts that a close settled, beside its entries."""
    if not taken:
        return
    await tx.execute(
        insert(AdjustmentPart),
        [
            {
                "adjustment_id": part.adjustment_id,
                "month": month,
                "reseller_id": part.reseller_id,
                "amount": part.amount,
                "entry_id": part.entry.id,
            }
            for part in taken
        ],
    )
    for part in taken:
        metrics.adjusted_total.labels("credited" if part.amount > 0 else "kept_back").inc(abs(part.amount))


def taken_in(month: SQLColumnExpression[date], reseller_id: UUID) -> ColumnElement[int]:
    """Return the column of the sum of a reseller's adjustments that a month's close settled."""
    total = select(func.coalesce(func.sum(AdjustmentPart.amount), 0))
    return total.where(AdjustmentPart.reseller_id == reseller_id, AdjustmentPart.month == month).scalar_subquery()


async def page(tx: Tx, who: Principal | None, reseller: ResellerView, asked: PageRequest[UUID]) -> Page[AdjustmentOut]:
    """List a reseller's adjustments, the newest first, with their settled parts; `who` None: for anybody."""
    query = select(Adjustment).where(Adjustment.reseller_id == reseller.id).order_by(Adjustment.id.desc())
    if asked.after is not None:
        query = query.where(Adjustment.id < asked.after)
    found = asked.page((await tx.scalars(query.limit(asked.limit + 1))).all(), lambda row: row.id)
    parts: dict[UUID, list[AdjustmentPart]] = defaultdict(list)
    ids = [row.id for row in found.items]
    for part in await tx.scalars(
        select(AdjustmentPart).where(AdjustmentPart.adjustment_id.in_(ids)).order_by(AdjustmentPart.month)
    ):
        parts[part.adjustment_id].append(part)
    return found.map(lambda row: _out(row, reseller, parts[row.id], who))


async def waiting(tx: Tx) -> tuple[int, int]:
    """Count the open adjustments; return their number and sum, in centavos."""
    query = select(func.count(), func.coalesce(func.sum(Adjustment.amount - Adjustment.taken), 0)).where(
        Adjustment.undone_at.is_(None), Adjustment.taken != Adjustment.amount
    )
    count, total = (await tx.execute(query)).one()
    return count, int(total)


def _status(row: Adjustment) -> AdjustmentStatus:
    if row.undone_at is not None:
        return "undone"
    return "settled" if row.taken == row.amount else "waiting"


def _out(
    row: Adjustment, reseller: ResellerView, parts: Sequence[AdjustmentPart], who: Principal | None
) -> AdjustmentOut:
    return AdjustmentOut(
        id=row.id,
        cpf=resellers.shown_cpf(reseller, who),
        month=row.month,
        amount=row.amount,
        taken_in=row.taken,
        status=_status(row),
        reason=row.reason,
        created_at=row.created_at,
        undone_at=row.undone_at,
        parts=[AdjustmentPartOut(month=part.month, amount=part.amount, entry_id=part.entry_id) for part in parts],
    )
