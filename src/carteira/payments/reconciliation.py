"""Compares each day with the provider's list: common, missing and differing payments.

A payment that is missing here is processed at once, and still reported: webhook and polling should have found it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.functions import coalesce
from sqlalchemy.sql.functions import sum as sum_

from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.values.clock import SAO_PAULO, clock
from carteira.payments import metrics, receiving
from carteira.payments.config import Payments
from carteira.payments.models import (
    Charge,
    DayDifference,
    DifferenceKind,
    PaymentReturn,
    ReadPlace,
    ReceivedPayment,
    ReconciledDay,
)
from carteira.payments.provider import Pix

AGAIN = 3
"""Days that are compared again daily, since a return may settle late."""
TOLD_DAYS = 30

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PixSums:
    """The received and returned amounts of a payment or of a day, in centavos."""

    received: int
    returned: int

    @property
    def net(self) -> int:
        """Received less returned."""
        return self.received - self.returned


def bounds(day: date) -> tuple[datetime, datetime]:
    """Return the first instants of a day of São Paulo and of the next day."""
    begin = datetime.combine(day, time(), SAO_PAULO)
    return begin, datetime.combine(day + timedelta(days=1), time(), SAO_PAULO)


def _sums(pix: Pix) -> PixSums:
    return PixSums(pix.amount, sum(back.amount for back in pix.returns if back.status == "DEVOLVIDO"))


@dataclass(frozen=True, slots=True)
class DayComparison:
    """A day's comparison with the provider's list, as numbers of payments."""

    day: date
    matched: int
    missing_here: int
    missing_there: int
    amount_differs: int

    @property
    def differs(self) -> bool:
        """Whether anything differs."""
        return bool(self.missing_here or self.missing_there or self.amount_differs)


async def compare_day(database: Database, payments: Payments, day: date | None) -> DayComparison:
    """Compare a day, or yesterday, for a command.

    Raises:
        PaymentProviderDown, ProviderRefused: nothing is stored.
    """
    row = await compare(database, payments, day or clock.today() - timedelta(days=1))
    return DayComparison(row.day, row.matched, row.missing_here, row.missing_there, row.amount_differs)


async def compare(database: Database, payments: Payments, day: date) -> ReconciledDay:
    """Compare a day with the provider's list, store the result, and process payments that are missing here.

    Raises:
        PaymentProviderDown, ProviderRefused: nothing is stored.
    """
    begin, end = bounds(day)
    until = min(end - timedelta(milliseconds=1), clock.now())
    there: dict[str, PixSums] = {}
    listed: list[Pix] = []
    async with payments.asking() as provider:
        async for page in provider.payments(begin, until):
            there |= {pix.e2eid: _sums(pix) for pix in page}
            listed += page
    async with database.transaction() as tx:
        here = await _here(tx, begin, until)
        for pix in await _elsewhere(tx, payments, [pix for pix in listed if pix.e2eid not in here]):
            there.pop(pix.e2eid, None)
        outcome = await _store(tx, day, here, there)
    listed = [pix for pix in listed if pix.e2eid in there]
    new = [pix for pix in listed if pix.e2eid not in here]
    await receiving.process_unknown(database, payments, listed, "reconciliation")
    if new or outcome.missing_there or outcome.amount_differs:
        log.error("day differs from the provider's list", day=day.isoformat(), missing_here=len(new))
    return outcome


async def _here(tx: Tx, begin: datetime, until: datetime) -> dict[str, PixSums]:
    """Return our payments of a period, by end-to-end id."""
    returned = (
        select(PaymentReturn.e2eid, sum_(PaymentReturn.amount).label("amount"))
        .where(PaymentReturn.state == "returned")
        .group_by(PaymentReturn.e2eid)
        .subquery()
    )
    rows = await tx.execute(
        select(ReceivedPayment.e2eid, ReceivedPayment.amount, coalesce(returned.c.amount, 0))
        .outerjoin(returned, returned.c.e2eid == ReceivedPayment.e2eid)
        .where(ReceivedPayment.paid_at >= begin, ReceivedPayment.paid_at <= until)
    )
    return {row[0]: PixSums(row[1], int(row[2])) for row in rows}


async def _elsewhere(tx: Tx, payments: Payments, lacking: Sequence[Pix]) -> list[Pix]:
    """Return the payments among some that are not ours: to another key, and without a charge."""
    other = [pix for pix in lacking if receiving.is_elsewhere(payments, pix)]
    named = select(Charge.txid).where(Charge.txid.in_({pix.txid for pix in other if pix.txid}))
    charged = set(await tx.scalars(named)) if other else set()
    return [pix for pix in other if pix.txid not in charged]


def _difference(here: PixSums | None, there: PixSums | None) -> DifferenceKind | None:
    if here is None:
        return "missing_here"
    if there is None:
        return "missing_there"
    return None if here == there else "amount_differs"


async def _store(tx: Tx, day: date, here: dict[str, PixSums], there: dict[str, PixSums]) -> ReconciledDay:
    """Store a day's comparison, replacing the former one."""
    found = {e2eid: _difference(here.get(e2eid), there.get(e2eid)) for e2eid in here.keys() | there.keys()}
    kinds = list(found.values())
    values = {
        "matched": kinds.count(None),
        "missing_here": kinds.count("missing_here"),
        "missing_there": kinds.count("missing_there"),
        "amount_differs": kinds.count("amount_differs"),
        "received_here": sum(sums.received for sums in here.values()),
        "received_there": sum(sums.received for sums in there.values()),
        "returned_here": sum(sums.returned for sums in here.values()),
        "returned_there": sum(sums.returned for sums in there.values()),
        "checked_at": clock.now(),
    }
    await tx.execute(
        insert(ReconciledDay).values(day=day, **values).on_conflict_do_update(index_elements=["day"], set_=values)
    )
    await tx.execute(delete(DayDifference).where(DayDifference.day == day))
    for e2eid, kind in found.items():
        if kind is not None:
            ours, theirs = here.get(e2eid), there.get(e2eid)
            tx.add(DayDifference(day=day, e2eid=e2eid, kind=kind, here=ours and ours.net, there=theirs and theirs.net))
    await tx.flush()
    return await tx.get_one(ReconciledDay, day)


async def compare_last_days(database: Database, payments: Payments) -> None:
    """Compare the days before today, the oldest first.

    Raises:
        PaymentProviderDown, ProviderRefused.
    """
    today = clock.today()
    for back in range(AGAIN, 0, -1):
        await compare(database, payments, today - timedelta(days=back))


async def observe(tx: Tx) -> None:
    """Set the metrics of days with differences, and of the instant up to which the provider's list was read."""
    since = clock.today() - timedelta(days=TOLD_DAYS)
    days = select(
        func.sum(ReconciledDay.missing_here),
        func.sum(ReconciledDay.missing_there),
        func.sum(ReconciledDay.amount_differs),
        func.max(ReconciledDay.checked_at),
    ).where(ReconciledDay.day >= since)
    missing_here, missing_there, differs, checked_at = (await tx.execute(days)).one()
    metrics.unreconciled.labels("missing_here").set(missing_here or 0)
    metrics.unreconciled.labels("missing_there").set(missing_there or 0)
    metrics.unreconciled.labels("amount_differs").set(differs or 0)
    if checked_at is not None:
        metrics.reconciled_at.set(checked_at.timestamp())
    if (read_until := await tx.scalar(select(ReadPlace.read_until))) is not None:
        metrics.read_until.set(read_until.timestamp())
