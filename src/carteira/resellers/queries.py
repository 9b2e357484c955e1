"""The reads of resellers: purchases with their cashback, months in figures, the cashback statement."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, func, literal, select, tuple_

from carteira import ledger
from carteira.kit.db.keyset import keyset
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.clock import business_day
from carteira.kit.web.access import Principal
from carteira.kit.web.pagination import CursorOf, Page, PageRequest
from carteira.resellers import adjustments, cashback, configuration, resellers
from carteira.resellers.cashback import MonthlyCashback, TierStep
from carteira.resellers.errors import MonthNotFound, PurchaseNotFound
from carteira.resellers.models import Closing, Month, Purchase, Reseller
from carteira.resellers.resellers import ResellerView
from carteira.resellers.schemas import (
    STATUS,
    AdjustmentOut,
    CashbackStatementLineOut,
    MonthOut,
    PurchaseWithCashbackOut,
    Status,
)
from carteira.resellers.service import APPROVED, PENDING, REJECTED, find, purchase_out

_ADJUSTMENTS = 6
"""Most of one's own adjustments beside a month."""
MonthKey = tuple[UUID, date]
"""A reseller and a month."""


class PurchaseKey(NamedTuple):
    """The sort key of purchases."""

    purchased_on: date
    id: UUID


PURCHASES = CursorOf(PurchaseKey, at=lambda instant: PurchaseKey(business_day(instant), UUID(int=0)))
MONTHS = CursorOf(date, at=business_day)


async def _scope(tx: Tx, who: Principal, cpf: str | None) -> ResellerView | None:
    """Return the reseller whose purchases are requested; None: everybody's, for readers of all.

    Raises:
        Forbidden, NotAReseller, ResellerNotFound: as in `resellers.visible`.
    """
    if cpf is None and who.may("purchases:read"):
        return None
    return await resellers.visible(tx, who, cpf)


async def _earnings(tx: Tx, keys: Iterable[MonthKey]) -> dict[MonthKey, tuple[MonthlyCashback, dict[UUID, int]]]:
    """Return each reseller's month and its purchases' parts; a closed month with the figures of its close."""
    wanted = sorted(set(keys))
    of_month = and_(Closing.reseller_id == Purchase.reseller_id, Closing.month == Purchase.month)
    closing = (Closing.total, Closing.percentage, Closing.cashback)
    rows = await tx.execute(
        select(Purchase.reseller_id, Purchase.month, Purchase.id, Purchase.amount, Purchase.status, *closing)
        .outerjoin(Closing, of_month)
        .where(tuple_(Purchase.reseller_id, Purchase.month).in_(wanted))
        .order_by(Purchase.id)
    )
    counted: dict[MonthKey, dict[UUID, int]] = defaultdict(dict)
    closed: dict[MonthKey, MonthlyCashback] = {}
    for reseller_id, month, purchase_id, amount, status, *figures in rows:
        if status != REJECTED:
            counted[reseller_id, month][purchase_id] = amount
        if figures[0] is not None:
            closed[reseller_id, month] = MonthlyCashback(*figures)
    tables = await configuration.tier_tables(tx)
    earnings = {}
    for key in wanted:
        amounts = counted[key]
        earned = closed.get(key) or cashback.of_month(sum(amounts.values()), tables.of(key[1]))
        parts = cashback.parts(earned, list(amounts.values()))
        earnings[key] = (earned, dict(zip(amounts, parts, strict=True)))
    return earnings


async def _with_cashback(
    tx: Tx, who: Principal, rows: Sequence[tuple[Purchase, Reseller]]
) -> list[PurchaseWithCashbackOut]:
    earnings = await _earnings(tx, [(row.reseller_id, row.month) for row, _ in rows]) if rows else {}
    items = []
    for row, reseller in rows:
        month, parts = earnings[row.reseller_id, row.month]
        items.append(
            PurchaseWithCashbackOut(
                **purchase_out(row, resellers.view_of(reseller), who).model_dump(),
                cashback_percentage=month.percentage,
                cashback_amount=parts.get(row.id, 0),
            )
        )
    return items


async def purchases_by_id(
    tx: Tx, who: Principal, purchase_ids: Collection[UUID]
) -> dict[UUID, PurchaseWithCashbackOut]:
    """Return the existing purchases among some ids, with their cashback; the caller has checked the right."""
    query = (
        select(Purchase, Reseller)
        .join(Reseller, Reseller.id == Purchase.reseller_id)
        .where(Purchase.id.in_(purchase_ids))
        .order_by(Purchase.id)
    )
    found = [(row, owner) for row, owner in await tx.execute(query)]
    await audit.record_looks(tx, "purchase_read", [resellers.view_of(owner).person for _, owner in found])
    return {row.id: row for row in await _with_cashback(tx, who, found)}


async def purchase(tx: Tx, who: Principal, purchase_id: UUID) -> PurchaseWithCashbackOut:
    """Return a purchase with its cashback.

    Raises:
        PurchaseNotFound: there is none.
        Forbidden: it is another's, without `purchases:read`.
    """
    row = await find(tx, purchase_id)
    if not who.may("purchases:read") and (await resellers.mine(tx, who)).id != row.reseller_id:
        who.require("purchases:read")
    reseller = await tx.get_one(Reseller, row.reseller_id)
    await audit.record_looks(tx, "purchase_read", [resellers.view_of(reseller).person])
    return (await _with_cashback(tx, who, [(row, reseller)]))[0]


@dataclass(frozen=True, slots=True)
class DecidedPurchase:
    """A decided purchase for its reseller's notice; the amount in centavos."""

    code: str
    amount: int
    approved: bool
    rejection_reason: str | None


async def decided_purchase(tx: Tx, purchase_id: UUID) -> DecidedPurchase | None:
    """Return an approved or rejected purchase; None if it is undecided or deleted."""
    row = await tx.get(Purchase, purchase_id)
    if row is None or row.status == PENDING:
        return None
    return DecidedPurchase(row.code, row.amount, row.status == APPROVED, row.rejection_reason)


@dataclass(frozen=True, slots=True)
class CreditedMonth:
    """A month's credit to a reseller, and its part by earlier months' adjustments; centavos."""

    amount: int
    adjusted: int


async def credited(tx: Tx, reseller_id: UUID, month: date) -> CreditedMonth:
    """Return a month's credit to a reseller; zero if it is not closed."""
    closing = select(Closing.cashback).where(Closing.reseller_id == reseller_id, Closing.month == month)
    adjusted = await tx.scalar(select(adjustments.taken_in(literal(month), reseller_id))) or 0
    return CreditedMonth((await tx.scalar(closing) or 0) + int(adjusted), int(adjusted))


async def purchases(  # noqa: PLR0913 - a list's filters and bounds
    tx: Tx,
    who: Principal,
    *,
    cpf: str | None,
    month: date | None,
    status: Status | None,
    asked: PageRequest[PurchaseKey],
) -> Page[PurchaseWithCashbackOut]:
    """List purchases with their cashback, the newest day first: one's own, a CPF's, or all with `purchases:read`.

    Raises:
        Forbidden, NotAReseller, ResellerNotFound: as in `resellers.visible`.
    """
    reseller = await _scope(tx, who, cpf)
    return await everybodys_purchases(
        tx, who, month=month, status=status, asked=asked, reseller_id=None if reseller is None else reseller.id
    )


async def everybodys_purchases(  # noqa: PLR0913 - a list's filters and bounds
    tx: Tx,
    who: Principal,
    *,
    month: date | None,
    status: Status | None,
    asked: PageRequest[PurchaseKey],
    reseller_id: UUID | None = None,
) -> Page[PurchaseWithCashbackOut]:
    """List purchases with their cashback, the newest day first: a reseller's, or everybody's. The caller checks who."""
    query = select(Purchase, Reseller).join(Reseller, Reseller.id == Purchase.reseller_id)
    if reseller_id is not None:
        query = query.where(Purchase.reseller_id == reseller_id)
    if month is not None:
        query = query.where(Purchase.month == month)
    if status is not None:
        query = query.where(Purchase.status == next(name for name, text in STATUS.items() if text == status))
    key = (Purchase.purchased_on, Purchase.id)
    query = keyset(query, *key, after=asked.after, limit=asked.limit + 1, newest_first=True, turned=asked.turned)
    found = [(row, owner) for row, owner in await tx.execute(query)]
    page = asked.page(found, lambda pair: PurchaseKey(pair[0].purchased_on, pair[0].id))
    await audit.record_looks(tx, "purchases_listed", [resellers.view_of(owner).person for _, owner in page.items])
    return Page(items=await _with_cashback(tx, who, page.items), next_cursor=page.next_cursor)


def _sum_of(*statuses: str) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((Purchase.status.in_(statuses), Purchase.amount), else_=0)), 0)


async def months(  # noqa: PLR0913 - a list's reseller and bounds
    tx: Tx,
    who: Principal,
    *,
    cpf: str | None,
    limit: int,
    before: date | None,
    turned: bool = False,
    closed: bool | None = None,
) -> list[MonthOut]:
    """List months in figures, the newest first or the other way round: one's own, a CPF's, or everybody's sums.

    `closed` asks for the closed or the open ones only.

    Raises:
        Forbidden, NotAReseller, ResellerNotFound: as in `resellers.visible`.
    """
    reseller = await _scope(tx, who, cpf)
    await audit.record_looks(tx, "cashback_months_read", [reseller.person] if reseller else ())
    wanted = [] if closed is None else [Month.closed_at.is_not(None) if closed else Month.closed_at.is_(None)]
    return await _months(tx, reseller, wanted, limit=limit, before=before, turned=turned)


async def month(tx: Tx, which: date) -> MonthOut:
    """Return the sum of everybody's month in figures; the caller has checked the right.

    Raises:
        MonthNotFound: it has no purchases.
    """
    await audit.record_looks(tx, "cashback_months_read", ())
    found = await _months(tx, None, [Purchase.month == which], limit=1)
    if not found:
        raise MonthNotFound
    return found[0]


async def months_of(tx: Tx, reseller_id: UUID, *, limit: int) -> list[MonthOut]:
    """Return a reseller's last months in figures; the caller has checked the right."""
    return await _months(tx, await resellers.by_id(tx, reseller_id), [], limit=limit)


@dataclass(frozen=True, slots=True)
class OwnSales:
    """A reseller's own sales: a month with its purchases, all months, and the month's tiers."""

    cpf: str | None
    balance: int
    beginning: date
    month: MonthOut | None
    tiers: Sequence[TierStep]
    purchases: Page[PurchaseWithCashbackOut]
    months: Sequence[MonthOut]
    adjustments: Sequence[AdjustmentOut]


async def own_sales(tx: Tx, who: Principal, month: date, asked: PageRequest[PurchaseKey], *, months: int) -> OwnSales:
    """Return a signed-in reseller's own sales, whatever else they may read.

    Raises:
        Forbidden, NotAReseller: as in `resellers.mine`.
    """
    reseller = await resellers.mine(tx, who)
    tables = await configuration.tier_tables(tx)
    found = await _months(tx, reseller, [Purchase.month == month], limit=1)
    return OwnSales(
        reseller.cpf,
        await resellers.balance(tx, reseller),
        tables.beginning,
        found[0] if found else None,
        tables.of(month) if month >= tables.beginning else (),
        await everybodys_purchases(tx, who, month=month, status=None, asked=asked, reseller_id=reseller.id),
        await _months(tx, reseller, [], limit=months),
        (await adjustments.page(tx, who, reseller, PageRequest(_ADJUSTMENTS))).items,
    )


async def own_purchase(tx: Tx, who: Principal, purchase_id: UUID) -> PurchaseWithCashbackOut:
    """Return one of a signed-in reseller's own purchases, whatever else they may read.

    Raises:
        Forbidden, NotAReseller: as in `resellers.mine`.
        PurchaseNotFound: there is none of theirs.
    """
    reseller = await resellers.mine(tx, who)
    if (await find(tx, purchase_id)).reseller_id != reseller.id:
        raise PurchaseNotFound
    return await purchase(tx, who, purchase_id)


async def own_month(tx: Tx, who: Principal, month: date) -> MonthOut | None:
    """Return a signed-in reseller's own month in figures, whatever else they may read; None: no purchases in it.

    Raises:
        Forbidden, NotAReseller: as in `resellers.mine`.
    """
    found = await _months(tx, await resellers.mine(tx, who), [Purchase.month == month], limit=1)
    return found[0] if found else None


async def _months(  # noqa: PLR0913 - a list's reseller, conditions and bounds
    tx: Tx,
    reseller: ResellerView | None,
    conditions: Sequence[ColumnElement[bool]],
    *,
    limit: int,
    before: date | None = None,
    turned: bool = False,
) -> list[MonthOut]:
    query = (
        select(
            Purchase.month,
            func.count().label("purchases"),
            _sum_of("approved").label("approved"),
            _sum_of("pending").label("pending"),
            _sum_of("rejected").label("rejected"),
            Month.closed_at,
            Month.cashback,
            (Month.adjusted if reseller is None else adjustments.taken_in(Purchase.month, reseller.id)).label(
                "adjusted"
            ),
        )
        .join(Month, Month.month == Purchase.month)
        .where(*conditions)
        .group_by(Purchase.month, Month.closed_at, Month.cashback, Month.adjusted)
    )
    query = keyset(query, Purchase.month, after=before, limit=limit, newest_first=True, turned=turned)
    if reseller is not None:
        query = query.where(Purchase.reseller_id == reseller.id)
    rows = (await tx.execute(query)).all()
    added_up = {} if reseller is not None else {row.month: row.cashback for row in rows if row.closed_at is not None}
    earned = await _earned_by_month(tx, [row.month for row in rows if row.month not in added_up], reseller)
    return [
        MonthOut(
            month=row.month,
            purchases=row.purchases,
            total=row.approved + row.pending,
            approved=row.approved,
            pending=row.pending,
            rejected=row.rejected,
            cashback_percentage=earned[row.month].percentage if reseller is not None else None,
            cashback_amount=added_up[row.month] if row.month in added_up else earned[row.month].amount,
            adjustment_amount=int(row.adjusted),
            closed=row.closed_at is not None,
            closed_at=row.closed_at,
        )
        for row in rows
    ]


async def _earned_by_month(
    tx: Tx, months: Sequence[date], reseller: ResellerView | None
) -> Mapping[date, MonthlyCashback]:
    """Return the resellers' sums of each month; for one reseller with their percentage."""
    sums = (
        select(Purchase.month, Purchase.reseller_id, _sum_of("approved", "pending").label("total"))
        .where(Purchase.month.in_(months))
        .group_by(Purchase.month, Purchase.reseller_id)
    )
    if reseller is not None:
        sums = sums.where(Purchase.reseller_id == reseller.id)
    totals = sums.subquery()
    of_month = and_(Closing.month == totals.c.month, Closing.reseller_id == totals.c.reseller_id)
    tables = await configuration.tier_tables(tx)
    earned: dict[date, MonthlyCashback] = {}
    query = select(totals.c.month, totals.c.total, Closing).outerjoin(Closing, of_month)
    for month, total, closing in await tx.execute(query):
        if closing is None:
            one = cashback.of_month(int(total), tables.of(month))
        else:
            one = MonthlyCashback(closing.total, closing.percentage, closing.cashback)
        so_far = earned.get(month)
        earned[month] = (
            one
            if so_far is None
            else MonthlyCashback(so_far.total + one.total, one.percentage, so_far.amount + one.amount)
        )
    return earned


async def statement(
    tx: Tx, reseller: ResellerView, asked: PageRequest[ledger.LineKey]
) -> Page[CashbackStatementLineOut]:
    """Return a page of a reseller's cashback movements, newest first."""
    page = await ledger.statement_page(tx, [reseller.account_id], asked)
    return page.map(
        lambda line: CashbackStatementLineOut(
            entry_id=line.entry_id,
            kind=line.kind,
            description=line.description,
            amount=line.amount,
            balance_after=line.balance_after,
            posted_at=line.posted_at,
        )
    )
