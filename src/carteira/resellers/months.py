"""Closing a month: each reseller's approved cashback is credited once, in one transaction for the whole month.

It also settles adjustments of earlier, closed months.

A month is closed once, because its row is locked exclusively and says whether it is closed, and because each credit's
ledger key `cashback:<reseller>:<YYYY-MM>` and each reseller's row in `resellers_closings` are unique. A killed close
leaves nothing behind.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import exists, func, select
from sqlalchemy.dialects.postgresql import insert

from carteira import ledger
from carteira.kit.db import outbox
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.web.preconditions import UNCONDITIONAL, Precondition, version_of
from carteira.resellers import adjustments, cashback, configuration, metrics
from carteira.resellers.adjustments import EXPENSE, Taken
from carteira.resellers.cashback import MonthlyCashback
from carteira.resellers.configuration import closing_day_of, next_month
from carteira.resellers.errors import MonthHasPending, MonthNotOver
from carteira.resellers.models import Closing, Month, Purchase, Reseller
from carteira.resellers.schemas import ClosedMonthOut, write_month

CREDIT = "resellers.cashback_credit"


@dataclass(frozen=True, slots=True)
class _Earned:
    reseller_id: UUID
    user_id: UUID | None
    account_id: UUID
    cashback: MonthlyCashback
    entry: ledger.NewEntry | None


async def close(
    tx: Tx, month: date, *, actor: Actor, approved_by: UUID | None = None, seen: Precondition = UNCONDITIONAL
) -> ClosedMonthOut:
    """Close a month and credit its cashback; for a closed month the same result is returned and nothing moves.

    Raises:
        MonthNotOver: it is not over in São Paulo.
        MonthHasPending: a purchase in it is neither approved nor rejected.
        RecordChanged: it would credit something else than was seen.
    """
    if month >= clock.today().replace(day=1):
        raise MonthNotOver
    await configuration.share_rules(tx)
    row = await _lock(tx, month)
    if row.closed_at is not None:
        await _record(tx, row, actor, approved_by, again=True)
        return _view(row)
    pending = await tx.scalar(
        select(func.count()).select_from(Purchase).where(Purchase.month == month, Purchase.status == "pending")
    )
    if pending:
        raise MonthHasPending(pending)
    earned = await _earned(tx, month)
    total, cashback = sum(one.cashback.total for one in earned), sum(one.cashback.amount for one in earned)
    seen.hold(version_of(total, cashback))
    taken = await adjustments.settle(tx, month, {one.reseller_id: one.cashback.amount for one in earned})
    await _credit(tx, month, earned, taken, actor, approved_by)
    row.closed_at, row.closed_by = clock.now(), actor.user_id
    row.resellers = len(earned)
    row.total, row.cashback = total, cashback
    row.adjusted = sum(part.amount for part in taken)
    await tx.flush()
    await _emit_credits(tx, month, earned, taken)
    await _record(tx, row, actor, approved_by)
    metrics.months_closed_total.inc()
    metrics.credited_total.inc(row.cashback)
    return _view(row)


async def _record(tx: Tx, row: Month, actor: Actor, approved_by: UUID | None, *, again: bool | None = None) -> None:
    month = write_month(row.month)
    await audit.record(
        tx,
        "cashback_month_closed",
        actor=actor,
        approved_by=approved_by,
        month=month,
        resellers=row.resellers,
        amount=row.cashback,
        adjusted=row.adjusted or None,
        again=again,
    )


async def _lock(tx: Tx, month: date) -> Month:
    """Lock a month exclusively: registering into it and closing it wait."""
    await tx.execute(insert(Month).values(month=month).on_conflict_do_nothing())
    row = await tx.scalar(select(Month).where(Month.month == month).with_for_update())
    assert row is not None, "months are never deleted"
    return row


def _view(row: Month) -> ClosedMonthOut:
    assert row.closed_at is not None, "a closed month"
    return ClosedMonthOut(
        month=row.month,
        closed_at=row.closed_at,
        resellers=row.resellers or 0,
        total=row.total or 0,
        cashback_amount=row.cashback or 0,
        adjustment_amount=row.adjusted,
    )


async def _earned(tx: Tx, month: date) -> list[_Earned]:
    """Return the credit of each reseller with approved purchases in the month."""
    tables = await configuration.tier_tables(tx)
    rows = await tx.execute(
        select(Reseller.id, Reseller.user_id, Reseller.account_id, func.sum(Purchase.amount))
        .join(Purchase, Purchase.reseller_id == Reseller.id)
        .where(
            Purchase.month == month,
            Purchase.status == "approved",
            ~exists().where(Closing.reseller_id == Reseller.id, Closing.month == month),
        )
        .group_by(Reseller.id)
        .order_by(Reseller.id)
    )
    tiers = tables.of(month) if month >= tables.beginning else []
    earned = []
    for reseller_id, user_id, account_id, total in rows:
        amounts = cashback.of_month(int(total), tiers)
        entry = _entry(reseller_id, account_id, month, amounts.amount) if amounts.amount else None
        earned.append(_Earned(reseller_id, user_id, account_id, amounts, entry))
    return earned


def _entry(reseller_id: UUID, account_id: UUID, month: date, amount: int) -> ledger.NewEntry:
    return ledger.transfer(
        CREDIT,
        source=EXPENSE,
        target=account_id,
        amount=amount,
        description=f"Cashback de {month:%m/%Y}",
        key=f"cashback:{reseller_id}:{write_month(month)}",
    )


async def _credit(  # noqa: PLR0913, PLR0917 - the credits and their actors
    tx: Tx, month: date, earned: Sequence[_Earned], taken: Sequence[Taken], actor: Actor, approved_by: UUID | None
) -> None:
    """Post all credits in one trip, then the deductions, and record the figures."""
    if not earned and not taken:
        return
    book = await ledger.lock(tx, {one.account_id for one in earned} | {part.account_id for part in taken})
    for entry in (*(one.entry for one in earned), *(part.entry for part in taken)):
        if entry is not None:
            book.post(entry)
    await ledger.write(tx, book, actor=actor, approved_by=approved_by)
    await adjustments.write_down(tx, month, taken)
    if not earned:
        return
    await tx.execute(
        insert(Closing),
        [
            {
                "reseller_id": one.reseller_id,
                "month": month,
                "total": one.cashback.total,
                "percentage": one.cashback.percentage,
                "cashback": one.cashback.amount,
                "entry_id": one.entry.id if one.entry else None,
            }
            for one in earned
        ],
    )


async def _emit_credits(tx: Tx, month: date, earned: Sequence[_Earned], taken: Sequence[Taken]) -> None:
    """Emit an event for each credit that is left after adjustments, except for erased resellers."""
    credited: Counter[tuple[UUID, UUID]] = Counter()
    for reseller_id, user_id, amount in (
        *((one.reseller_id, one.user_id, one.cashback.amount) for one in earned),
        *((part.reseller_id, part.user_id, part.amount) for part in taken),
    ):
        if user_id is not None:
            credited[reseller_id, user_id] += amount
    events = [
        {"reseller_id": str(reseller_id), "user_id": str(user_id), "month": write_month(month)}
        for (reseller_id, user_id), amount in credited.items()
        if amount > 0
    ]
    await outbox.emit(tx, "resellers.cashback_credited", *events)


async def due(tx: Tx) -> list[date]:
    """List due months that are not closed, the oldest first."""
    today = clock.today()
    oldest = await tx.scalar(select(func.min(Purchase.month)))
    if oldest is None:
        return []
    closed = set(await tx.scalars(select(Month.month).where(Month.closed_at.is_not(None))))
    days = await configuration.closing_days(tx)
    months = []
    month = oldest
    while month < today.replace(day=1):
        if month not in closed and closing_day_of(days, month) <= today:
            months.append(month)
        month = next_month(month)
    return months


async def count_overdue(tx: Tx) -> int:
    """Count due months that cannot be closed because of undecided purchases."""
    pending = select(func.count(Purchase.month.distinct())).where(
        Purchase.month.in_(await due(tx)), Purchase.status == "pending"
    )
    return (await tx.execute(pending)).scalar_one()
