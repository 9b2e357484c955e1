"""Operators' reads: charges, received payments, days' comparisons, and the account at the provider."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, not_, select
from sqlalchemy.orm import aliased

from carteira import ledger
from carteira.kit.db.keyset import keyset
from carteira.kit.db.session import Tx
from carteira.kit.values.clock import SAO_PAULO, clock
from carteira.kit.values.days import Instant
from carteira.kit.values.ids import first_uuid7
from carteira.kit.web.pagination import CursorOf
from carteira.payments import accounts
from carteira.payments.charges import State
from carteira.payments.errors import DayNotReconciled, ReceivedNotFound
from carteira.payments.models import Charge, DayDifference, PaymentReturn, ReceivedPayment, ReconciledDay

WALKED = 20_000
"""The most rows, newest first, that are examined for filters without an index: a state, a purpose."""
_OPEN: tuple[State, ...] = ("creating", "active")


class ReceivedKey(NamedTuple):
    """The sort key of payments."""

    paid_at: Instant
    e2eid: str


def _first_day(instant: datetime) -> date:
    """Return the first day of São Paulo that begins at or after an instant."""
    return (instant.astimezone(SAO_PAULO) + timedelta(days=1, microseconds=-1)).date()


RECEIVED = CursorOf(ReceivedKey, at=lambda instant: ReceivedKey(instant, ""))
DAYS = CursorOf(date, at=_first_day)

Whereabouts = Literal["to_return", "settled", "returning", "returned", "not_credited"]
"""A payment's state: all credited or returned (`settled`), or as named; states may overlap."""


@dataclass(frozen=True, slots=True)
class ChargeFilter:
    """An operator's filters of charges; None: any."""

    state: State | None = None
    purpose: str | None = None
    txid: str | None = None
    maker: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReceivedFilter:
    """An operator's filters of payments; None: any."""

    whereabouts: Whereabouts | None = None
    since: datetime | None = None
    until: datetime | None = None


async def charges(
    tx: Tx, filters: ChargeFilter, *, limit: int, before: UUID | None, turned: bool = False
) -> Sequence[Charge]:
    """Return charges of everybody, newest first, or the other way round."""
    base = select(Charge)
    if filters.txid is not None:
        base = base.where(Charge.txid == filters.txid)
    if filters.maker is not None:
        base = base.where(Charge.maker_id == filters.maker)
    if filters.since is not None:
        base = base.where(Charge.id >= first_uuid7(filters.since.timestamp()))
    if filters.until is not None:
        base = base.where(Charge.id < first_uuid7(filters.until.timestamp()))
    if filters.state is None and filters.purpose is None:
        query = keyset(base, Charge.id, after=before, limit=limit, newest_first=True, turned=turned)
    else:
        walked = keyset(base, Charge.id, after=before, limit=WALKED, newest_first=True, turned=turned)
        row: Any = aliased(Charge, walked.subquery())
        query = keyset(select(row), row.id, after=None, limit=limit, newest_first=True, turned=turned)
        if filters.state is not None:
            query = query.where(_in_state(row, filters.state))
        if filters.purpose is not None:
            query = query.where(row.purpose == filters.purpose)
    return (await tx.scalars(query)).all()


def _in_state(row: Any, state: State) -> ColumnElement[bool]:  # noqa: ANN401 - a charge, be it of a subquery
    """Return the SQL condition for the states of `charges.view`: no single column says that a charge has expired."""
    late = row.expires_at < clock.now()
    if state == "expired":
        return and_(row.state.in_(_OPEN), late)
    if state in _OPEN:
        return and_(row.state == state, not_(late))
    found: ColumnElement[bool] = row.state == state
    return found


def key_of(row: ReceivedPayment) -> ReceivedKey:
    """Return a payment's sort key."""
    return ReceivedKey(row.paid_at, row.e2eid)


async def received(
    tx: Tx, filters: ReceivedFilter, *, limit: int, before: ReceivedKey | None, turned: bool = False
) -> Sequence[ReceivedPayment]:
    """Return payments, newest first, or the other way round."""
    base = select(ReceivedPayment)
    key = (ReceivedPayment.paid_at, ReceivedPayment.e2eid)
    if filters.since is not None:
        base = base.where(ReceivedPayment.paid_at >= filters.since)
    if filters.until is not None:
        base = base.where(ReceivedPayment.paid_at < filters.until)
    if filters.whereabouts == "to_return":  # an index serves them
        base = base.where(ReceivedPayment.unplaced > 0)
    if filters.whereabouts in {None, "to_return"}:
        query = keyset(base, *key, after=before, limit=limit, newest_first=True, turned=turned)
    else:
        walked = keyset(base, *key, after=before, limit=WALKED, newest_first=True, turned=turned)
        row: Any = aliased(ReceivedPayment, walked.subquery())
        found = select(row).where(_is(row, filters.whereabouts))
        query = keyset(found, row.paid_at, row.e2eid, after=None, limit=limit, newest_first=True, turned=turned)
    return (await tx.scalars(query)).all()


def _is(row: Any, whereabouts: Whereabouts) -> ColumnElement[bool]:  # noqa: ANN401 - a payment, also of a subquery
    under_way = exists().where(PaymentReturn.e2eid == row.e2eid, PaymentReturn.state == "asked")
    conditions: dict[Whereabouts, ColumnElement[bool]] = {
        "to_return": row.unplaced > 0,
        "settled": row.unplaced == 0,
        "returning": under_way,
        "returned": and_(row.given_back > 0, not_(under_way)),
        "not_credited": row.credited == 0,
    }
    return conditions[whereabouts]


async def received_for(tx: Tx, charge_id: UUID) -> Sequence[ReceivedPayment]:
    """Return the payments of a charge, the oldest first."""
    query = select(ReceivedPayment).where(ReceivedPayment.charge_id == charge_id)
    return (await tx.scalars(query.order_by(ReceivedPayment.paid_at, ReceivedPayment.e2eid))).all()


async def one_received(tx: Tx, e2eid: str) -> ReceivedPayment:
    """Return a payment.

    Raises:
        ReceivedNotFound: there is none.
    """
    row = await tx.get(ReceivedPayment, e2eid)
    if row is None:
        raise ReceivedNotFound
    return row


async def people_of(tx: Tx, rows: Sequence[ReceivedPayment]) -> set[UUID]:
    """Return the people who made the charges of some payments."""
    ids = {row.charge_id for row in rows if row.charge_id}
    if not ids:
        return set()
    makers = await tx.scalars(select(Charge.maker_id).where(Charge.id.in_(ids), Charge.maker_kind == "person"))
    return {maker for maker in makers if maker}


async def days(  # noqa: PLR0913 - a list's period and bounds
    tx: Tx,
    *,
    limit: int,
    before: date | None,
    since: date | None = None,
    until: date | None = None,
    turned: bool = False,
) -> Sequence[ReconciledDay]:
    """Return the compared days, the last of the period included, newest first or the other way round."""
    day = ReconciledDay.day
    query = keyset(select(ReconciledDay), day, after=before, limit=limit, newest_first=True, turned=turned)
    if since is not None:
        query = query.where(day >= since)
    if until is not None:
        query = query.where(day <= until)
    return (await tx.scalars(query)).all()


async def one_day(tx: Tx, day: date) -> tuple[ReconciledDay, Sequence[DayDifference]]:
    """Return a compared day and its differences.

    Raises:
        DayNotReconciled: it was not.
    """
    row = await tx.get(ReconciledDay, day)
    if row is None:
        raise DayNotReconciled
    found = select(DayDifference).where(DayDifference.day == day).order_by(DayDifference.e2eid)
    return row, (await tx.scalars(found)).all()


async def at_provider(tx: Tx) -> tuple[int, int, int]:
    """Return our balance at the provider, and its parts to be returned and being returned, in centavos."""
    there = -(await ledger.account(tx, accounts.PROVIDER)).balance
    to_return = (await ledger.account(tx, accounts.TO_RETURN)).balance
    return there, to_return, (await ledger.account(tx, accounts.RETURNING)).balance
