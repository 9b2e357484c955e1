"""Corrections of a closed month: what a reseller was credited too much or too little, made good by the next close.

A closed month never changes. An adjustment stands beside it until a later month is closed, which takes it in: what was
too little is credited; what was too much is kept back from what that month credits, never from what the reseller has
already, and what the month does not cover waits for the next one. Until a part of it was taken in it can be undone.

Locks: booking takes the reseller, so that together no adjustments take more than the month gave; undoing and a close
take the adjustment itself. A close takes adjustments before accounts.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import ColumnElement, SQLColumnExpression, func, select
from sqlalchemy.dialects.postgresql import insert

from carteira import ledger
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
"""Where cashback comes from, and goes back to: what it costs the operator."""
ADJUST = "resellers.cashback_adjustment"
BOOKED, UNDONE = "cashback_adjustment_booked", "cashback_adjustment_undone"


async def book(  # noqa: PLR0913 - whose, which month, how much, why, and by whom
    tx: Tx, reseller_id: UUID, month: date, *, amount: int, reason: str, act: Act
) -> AdjustmentOut:
    """Book an adjustment of a reseller's closed month: centavos that they are still owed, or (negative) owe.

    Raises:
        ResellerNotFound: there is none, or the person was erased.
        MonthNotClosed: a month that is open is corrected by its purchases.
        AdjustmentTooLarge: together with others it would take back more than the month gave.
        OwnOperation: the reseller books or approves it.
        MustWait, DailyCeilingReached: it is above what one operator does alone, or in a day.
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
    """Return what a reseller has of a closed month, all adjustments included that were not undone."""
    closing = select(Closing.cashback).where(Closing.reseller_id == reseller_id, Closing.month == month)
    adjusted = select(func.sum(Adjustment.amount)).where(
        Adjustment.reseller_id == reseller_id, Adjustment.month == month, Adjustment.undone_at.is_(None)
    )
    return (await tx.scalar(closing) or 0) + int(await tx.scalar(adjusted) or 0)


async def undo(tx: Tx, adjustment_id: UUID, act: Act) -> AdjustmentOut:
    """Undo an adjustment of which no close has taken anything in yet. Done again, it says that it is undone.

    Raises:
        AdjustmentNotFound: there is none.
        AdjustmentSettled: a close took it in, or a part of it; another adjustment corrects it.
        OwnOperation: the reseller undoes or approves it.
        MustWait, DailyCeilingReached: what the reseller gains by it is above what one operator does alone, or in a day.
    """
    row = await tx.scalar(select(Adjustment).where(Adjustment.id == adjustment_id).with_for_update())
    if row is None:
        raise AdjustmentNotFound
    reseller = await resellers.by_id(tx, row.reseller_id)
    if row.taken:
        raise AdjustmentSettled
    if row.undone_at is not None:
        audit.nothing_done()
        return _out(row, reseller, (), None)
    own = Gains.of(reseller.user_id, reseller.cpf)
    await act.refuse_own(tx, own)
    gained = max(0, -row.amount)
    summary = f"Desfazer um ajuste do cashback de {row.month:%m/%Y}, de {format_brl(abs(row.amount))}"
    await act.weigh(tx, amount=gained, summary=summary, gains=own)
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


@dataclass(frozen=True, slots=True)
class Taken:
    """A part of an adjustment that a close takes in, in centavos: credited, or (negative) kept back."""

    adjustment_id: UUID
    reseller_id: UUID
    user_id: UUID | None
    account_id: UUID
    amount: int
    entry: ledger.NewEntry


async def take_in(tx: Tx, month: date, earned: Mapping[UUID, int]) -> list[Taken]:
    """Lock the adjustments that stand open, and take in what the close of a later month can; it is to be posted.

    `earned` is what that month credits each reseller by their purchases. Of what is to be kept back no more is taken
    than that, and what other adjustments credit.
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
    for row, user_id, account_id in sorted(rows, key=lambda one: one[0].amount < 0):  # what is owed to them comes first
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
    """Write down what a close took in, beside the entries that it posted."""
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
    """Return what the close of a month changed by adjustments for a reseller, as a column beside the month."""
    total = select(func.coalesce(func.sum(AdjustmentPart.amount), 0))
    return total.where(AdjustmentPart.reseller_id == reseller_id, AdjustmentPart.month == month).scalar_subquery()


async def page(tx: Tx, who: Principal | None, reseller: ResellerView, asked: PageRequest[UUID]) -> Page[AdjustmentOut]:
    """List a reseller's adjustments, the newest first, with what closes took in of each; `who` None: for anybody."""
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
    """Count the adjustments that wait for a close; give what they add up to, in centavos."""
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
