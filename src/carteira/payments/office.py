"""Operators' verbs of payments, for `/payments/…` and the console.

Each verb requires its claim and records its looks. Nothing about payers is stored: the person of a payment is its
charge's maker.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Select, func, select

from carteira.kit.db.one_row import OneRow
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.web.access import Principal
from carteira.kit.web.approvals import Desk, Operation
from carteira.kit.web.idempotency import Answered
from carteira.kit.web.pagination import Page, PageRequest
from carteira.payments import charges as made
from carteira.payments import queries, returns
from carteira.payments.config import Payments
from carteira.payments.errors import ChargeNotFound
from carteira.payments.models import Charge, ReceivedPayment, ReconciledDay
from carteira.payments.queries import DAYS, RECEIVED, ChargeFilter, ReceivedFilter, ReceivedKey
from carteira.payments.returns import LATEST, ReturnOrder
from carteira.payments.schemas import (
    ChargeOut,
    DayDetailOut,
    DayOut,
    DifferenceOut,
    ListedChargeOut,
    PaymentReturnOut,
    ReceivedOut,
    ReceivedWithReturnsOut,
)

__all__ = [
    "DAYS",
    "RECEIVED",
    "ChargeFilter",
    "ReceivedFilter",
    "WholeCharge",
    "charge",
    "charges",
    "count_to_return",
    "day",
    "days",
    "give_back",
    "last_day",
    "may_return",
    "payment",
    "received",
]

READS = "payments:read"


@dataclass(frozen=True, slots=True)
class WholeCharge:
    """A charge, with its payments and returns."""

    charge: ListedChargeOut
    received: Sequence[ReceivedWithReturnsOut]


def _out(row: Charge, payments: Payments) -> ListedChargeOut:
    shown = ChargeOut.model_validate(made.view(row, payments.config)).model_dump()
    return ListedChargeOut(**shown, txid=row.txid, maker_kind=row.maker_kind, maker_id=row.maker_id)


def _maker(row: Charge) -> list[UUID]:
    return [row.maker_id] if row.maker_kind == "person" and row.maker_id else []


async def charges(
    tx: Tx, payments: Payments, who: Principal, wanted: ChargeFilter, asked: PageRequest[UUID]
) -> Page[ListedChargeOut]:
    """List everybody's charges, newest first; looks at their makers are recorded."""
    who.require(READS)
    found = await queries.charges(tx, wanted, limit=asked.limit + 1, before=asked.after, turned=asked.turned)
    page = asked.page(found, lambda row: row.id)
    await audit.record_looks(tx, "charges_listed", [maker for row in page.items for maker in _maker(row)])
    return page.map(lambda row: _out(row, payments))


async def charge(tx: Tx, payments: Payments, who: Principal, charge_id: UUID) -> WholeCharge:
    """Return anybody's charge with its payments; the look at its maker is recorded.

    Raises:
        ChargeNotFound: there is none.
    """
    who.require(READS)
    row = await tx.get(Charge, charge_id)
    if row is None:
        raise ChargeNotFound
    paid = await queries.received_for(tx, charge_id)
    given_back = await returns.of_payments(tx, [one.e2eid for one in paid])
    await audit.record_looks(tx, "charge_read", _maker(row))
    return WholeCharge(_out(row, payments), [_with_returns(one, given_back[one.e2eid]) for one in paid])


def _with_returns(row: ReceivedPayment, given_back: Sequence[object]) -> ReceivedWithReturnsOut:
    shown = ReceivedOut.model_validate(row).model_dump()
    return ReceivedWithReturnsOut(**shown, returns=[PaymentReturnOut.model_validate(one) for one in given_back])


async def received(
    tx: Tx, who: Principal, wanted: ReceivedFilter, asked: PageRequest[ReceivedKey]
) -> Page[ReceivedOut]:
    """List received payments, newest first; looks at their charges' makers are recorded."""
    who.require(READS)
    found = await queries.received(tx, wanted, limit=asked.limit + 1, before=asked.after, turned=asked.turned)
    page = asked.page(found, queries.key_of)
    await audit.record_looks(tx, "payments_listed", await queries.people_of(tx, page.items))
    return page.map(ReceivedOut.model_validate)


async def payment(tx: Tx, who: Principal, e2eid: str) -> ReceivedWithReturnsOut:
    """Return a payment with its returns; the look at its charge's maker is recorded.

    Raises:
        ReceivedNotFound: there is none.
    """
    who.require(READS)
    row = await queries.one_received(tx, e2eid)
    given_back = (await returns.of_payments(tx, [e2eid]))[e2eid]
    await audit.record_looks(tx, "payment_read", await queries.people_of(tx, [row]))
    return _with_returns(row, given_back)


async def give_back(tx: Tx, desk: Desk, operation: Operation[ReturnOrder], who: Principal, order: ReturnOrder) -> bool:
    """Return a payment or a part; above the limit it waits for a second person. Returns whether it was requested now.

    Raises:
        ReceivedNotFound, ReturnTooLarge, TooLateToReturn, DailyCeilingReached.
        Whatever the purpose raises where the money has been spent.
    """
    return not isinstance(await desk.carry_out(tx, operation, order, who), Answered)


def may_return(one: ReceivedOut) -> int:
    """Return how much of a payment can still be returned, in centavos."""
    return 0 if one.paid_at < clock.now() - LATEST else one.amount - one.given_back


async def days(
    tx: Tx, who: Principal, asked: PageRequest[date], *, since: date | None = None, until: date | None = None
) -> Page[DayOut]:
    """List days' comparisons with the provider's list, newest first."""
    who.require(READS)
    found = await queries.days(
        tx, limit=asked.limit + 1, before=asked.after, since=since, until=until, turned=asked.turned
    )
    return asked.page(found, lambda row: row.day).map(DayOut.model_validate)


async def day(tx: Tx, who: Principal, which: date) -> DayDetailOut:
    """Return a day with the payments in which the two lists differ.

    Raises:
        DayNotReconciled: it was not compared.
    """
    who.require(READS)
    row, found = await queries.one_day(tx, which)
    shown = DayOut.model_validate(row).model_dump()
    return DayDetailOut(**shown, differences=[DifferenceOut.model_validate(one) for one in found])


@dataclass(frozen=True, slots=True)
class SeenDay:
    """The time of the last day's comparison, and the number of payments that differ."""

    checked_at: datetime
    differences: int


def last_day() -> OneRow[SeenDay]:
    """Return the query of the last compared day."""
    day = ReconciledDay
    differences = day.missing_here + day.missing_there + day.amount_differs
    query = select(day.checked_at, differences).where(day.day <= clock.today()).order_by(day.day.desc()).limit(1)
    return OneRow(query, SeenDay)


def count_to_return() -> Select[int]:
    """Return the query that counts the payments that an operator has to return."""
    return select(func.count()).where(ReceivedPayment.unplaced > 0)
