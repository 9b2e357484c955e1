"""What operators read: payments that came in, days as they agreed, and the account at the provider."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select, tuple_

from carteira import ledger
from carteira.kit.db.session import Tx
from carteira.kit.values.days import Instant
from carteira.kit.web.pagination import CursorOf
from carteira.payments import accounts
from carteira.payments.errors import DayNotReconciled, ReceivedNotFound
from carteira.payments.models import Charge, DayDifference, ReceivedPayment, ReconciledDay


class ReceivedKey(NamedTuple):
    """What payments are sorted by."""

    paid_at: Instant
    e2eid: str


RECEIVED = CursorOf(ReceivedKey, at=lambda instant: ReceivedKey(instant, ""))
DAYS = CursorOf(date)


def key_of(row: ReceivedPayment) -> ReceivedKey:
    """Give a payment's place in the list."""
    return ReceivedKey(row.paid_at, row.e2eid)


async def received(
    tx: Tx, *, to_return: bool | None, limit: int, before: ReceivedKey | None
) -> Sequence[ReceivedPayment]:
    """Give payments, newest first; only those that wait to be returned, or only the others, if asked."""
    query = select(ReceivedPayment).order_by(ReceivedPayment.paid_at.desc(), ReceivedPayment.e2eid.desc()).limit(limit)
    if before is not None:
        query = query.where(tuple_(ReceivedPayment.paid_at, ReceivedPayment.e2eid) < before)
    if to_return is not None:
        query = query.where(ReceivedPayment.unplaced > 0 if to_return else ReceivedPayment.unplaced == 0)
    return (await tx.scalars(query)).all()


async def one_received(tx: Tx, e2eid: str) -> ReceivedPayment:
    """Give a payment.

    Raises:
        ReceivedNotFound: there is none.
    """
    row = await tx.get(ReceivedPayment, e2eid)
    if row is None:
        raise ReceivedNotFound
    return row


async def people_of(tx: Tx, rows: Sequence[ReceivedPayment]) -> set[UUID]:
    """Give the people who made the charges of some payments."""
    ids = {row.charge_id for row in rows if row.charge_id}
    if not ids:
        return set()
    makers = await tx.scalars(select(Charge.maker_id).where(Charge.id.in_(ids), Charge.maker_kind == "person"))
    return {maker for maker in makers if maker}


async def days(tx: Tx, *, limit: int, before: date | None) -> Sequence[ReconciledDay]:
    """Give the days that were compared, newest first."""
    query = select(ReconciledDay).order_by(ReconciledDay.day.desc()).limit(limit)
    if before is not None:
        query = query.where(ReconciledDay.day < before)
    return (await tx.scalars(query)).all()


async def one_day(tx: Tx, day: date) -> tuple[ReconciledDay, Sequence[DayDifference]]:
    """Give a day that was compared, and what does not agree.

    Raises:
        DayNotReconciled: it was not.
    """
    row = await tx.get(ReconciledDay, day)
    if row is None:
        raise DayNotReconciled
    found = select(DayDifference).where(DayDifference.day == day).order_by(DayDifference.e2eid)
    return row, (await tx.scalars(found)).all()


async def at_provider(tx: Tx) -> tuple[int, int, int]:
    """Give what lies at the provider by our books, and of that what waits to be returned and is being, in centavos."""
    there = -(await ledger.account(tx, accounts.PROVIDER)).balance
    to_return = (await ledger.account(tx, accounts.TO_RETURN)).balance
    return there, to_return, (await ledger.account(tx, accounts.RETURNING)).balance
