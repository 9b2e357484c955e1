"""Charges: stored, then created at the provider, then shown as a code until they are paid or expire.

The provider is called between two transactions. If the process dies in between, a job creates the charge: its `txid` is
ours, so that repeated requests create one.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import structlog
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from carteira.kit.db import jobs
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx, locked
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.web.access import Principal
from carteira.kit.web.idempotency import IdempotencyKeyReused
from carteira.payments import brcode, events, metrics
from carteira.payments.config import Payments, PaymentsConfig
from carteira.payments.errors import (
    ChargeNotFound,
    PaymentRefusedByProvider,
    PaymentsOff,
    TooManyCharges,
)
from carteira.payments.models import Charge, ReadPlace
from carteira.payments.provider import Cob, PaymentProviderDown, PixProvider, ProviderRefused

MAX_OPEN = 20
"""Most unpaid charges of one maker."""
GRACE = timedelta(seconds=30)
"""For how long after the expiry a payment is still in time, since clocks differ."""
MAKE_AGAIN_AFTER = timedelta(seconds=15)
"""The age from which a job creates a charge; younger ones are still being created by their request."""
_TOLD_AT_ONCE = 500

State = Literal["creating", "active", "paid", "expired", "refused"]
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ChargeView:
    """A charge as other modules see it; `amount` in centavos, `code` the BR Code while it can be paid."""

    id: UUID
    purpose: str
    target_id: UUID
    amount: int
    state: State
    code: str | None
    simulated: bool
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None
    location: str | None


@dataclass(frozen=True, slots=True)
class Order:
    """An order of a charge: centavos for a purpose and a target."""

    purpose: str
    amount: int
    target: str | None


def view(row: Charge, config: PaymentsConfig) -> ChargeView:
    """Return a charge as other modules see it."""
    state: State = row.state
    if state in {"creating", "active"} and clock.now() > row.expires_at:
        state = "expired"
    code = None
    if state == "active" and row.location is not None:
        code = brcode.dynamic(row.location, name=config.merchant, city=config.city)
    return ChargeView(
        row.id,
        row.purpose,
        row.target_id,
        row.amount,
        state,
        code,
        row.simulated,
        row.created_at,
        row.expires_at,
        row.paid_at,
        row.location,
    )


async def store(tx: Tx, payments: Payments, who: Principal, order: Order, *, asked_as: UUID | None) -> Charge:
    """Store a charge; return the existing one if the same request made it before.

    Raises:
        PaymentsOff: no provider is configured.
        TooManyCharges: its maker has `MAX_OPEN` unpaid ones.
        IdempotencyKeyReused: the request was for another one. Whatever the purpose's `aim` raises.
    """
    if payments.config.provider is None or order.purpose not in payments.purposes:
        raise PaymentsOff
    target_id = await payments.purposes[order.purpose].aim(tx, who, order.target)
    there = await _asked_before(tx, asked_as)
    if there is None:
        await _bound(tx, who)
        row = _new(payments, who, order, target_id, asked_as)
        made = insert(Charge).values(row).on_conflict_do_nothing(index_elements=["asked_as"]).returning(Charge.id)
        if await tx.scalar(made) is not None:
            subject = who.id if who.kind == "person" else None
            await audit.record(
                tx,
                "charge_made",
                subject=subject,
                charge_id=str(row["id"]),
                purpose=order.purpose,
                amount=order.amount,
            )
            metrics.charges_total.labels(order.purpose).inc()
            return await tx.get_one(Charge, row["id"])
        there = await _asked_before(tx, asked_as)
    assert there is not None, "the concurrent request has committed"
    if (there.purpose, there.target_id, there.amount) != (order.purpose, target_id, order.amount):
        raise IdempotencyKeyReused
    audit.nothing_done()
    return there


async def _asked_before(tx: Tx, asked_as: UUID | None) -> Charge | None:
    if asked_as is None:
        return None
    found: Charge | None = await tx.scalar(select(Charge).where(Charge.asked_as == asked_as))
    return found


async def _bound(tx: Tx, who: Principal) -> None:
    """Limit a maker's unpaid charges, even for concurrent requests.

    Raises:
        TooManyCharges: the limit is reached.
    """
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"payments:charges:{who.id}", 0))))
    waiting = select(func.count()).where(
        Charge.maker_id == who.id, Charge.state != "paid", Charge.expires_at > clock.now()
    )
    if (await tx.scalar(waiting) or 0) >= MAX_OPEN:
        raise TooManyCharges


def _new(payments: Payments, who: Principal, order: Order, target_id: UUID, asked_as: UUID | None) -> dict[str, Any]:
    fresh, now = uuid7(), clock.now()
    return {
        "id": fresh,
        "txid": fresh.hex,
        "asked_as": asked_as,
        "purpose": order.purpose,
        "target_id": target_id,
        "maker_kind": who.actor.kind,
        "maker_id": who.id,
        "amount": order.amount,
        "state": "creating",
        "simulated": payments.config.simulated,
        "created_at": now,
        "expires_at": now + payments.config.lasts,
    }


async def begin_charge(tx: Tx, payments: Payments, who: Principal, order: Order) -> UUID:
    """Store a charge and queue its creation, for callers that cannot wait for the provider; return its id.

    Raises:
        As `store`.
    """
    row = await store(tx, payments, who, order, asked_as=None)
    await jobs.defer(tx, "payments:make_charge", charge_id=str(row.id))
    return row.id


async def charge_of(tx: Tx, payments: Payments, who: Principal, charge_id: UUID) -> ChargeView:
    """Return a charge to its maker.

    Raises:
        ChargeNotFound: there is none, or it is somebody else's.
    """
    return view(await find(tx, who, charge_id), payments.config)


async def make(provider: PixProvider, row: Charge, payments: Payments) -> Cob | None:
    """Create a charge at the provider; None: the provider is down, and a job keeps trying.

    Raises:
        ProviderRefused: the provider refuses it.
    """
    seconds = int((row.expires_at - clock.now()).total_seconds())
    if row.state != "creating" or seconds <= 0:
        return None
    text = payments.purposes[row.purpose].text
    text = f"SIMULAÇÃO - {text}" if row.simulated else text
    try:
        cob = await provider.charge(row.txid, row.amount, seconds=seconds, text=text)
    except PaymentProviderDown:
        return None
    if cob.amount != row.amount or cob.txid != row.txid:
        log.error("provider created a different charge", txid=row.txid)
        return None
    return cob


async def store_location(tx: Tx, charge_id: UUID, cob: Cob | None) -> Charge:
    """Store the provider's location of a charge, and return the charge."""
    row = await locked(tx, Charge, charge_id)
    if row is None:
        raise ChargeNotFound
    if cob is not None and row.state == "creating":
        row.state, row.location = "active", cob.location
        await tx.flush()
    return row


async def record_refusal(tx: Tx, charge_id: UUID, refused: ProviderRefused) -> None:
    """Record that the provider refused a charge."""
    row = await locked(tx, Charge, charge_id)
    log.error("charge refused by the provider", charge=str(charge_id), status=refused.status, kind=refused.kind)
    metrics.refused_total.inc()
    if row is not None and row.state == "creating":
        row.state = "refused"
        await tx.flush()
        await events.charge_refused(tx, row)


async def emit_expired(database: Database) -> int:
    """Emit an event, once, for each unpaid charge that expired before the last read of the provider's list; count them.

    So a payment at the last moment is found before the event is emitted.
    """
    number = 0
    while True:
        async with database.transaction() as tx:
            read_until = await tx.scalar(select(ReadPlace.read_until))
            if read_until is None:
                return number
            until = min(read_until, clock.now()) - GRACE
            expired = select(Charge).where(Charge.state.in_(("creating", "active")), ~Charge.expiry_told)
            expired = expired.where(Charge.expires_at <= until).order_by(Charge.expires_at).limit(_TOLD_AT_ONCE)
            rows = (await tx.scalars(expired.with_for_update(skip_locked=True))).all()
            for row in rows:
                row.expiry_told = True
            await tx.flush()
            await events.charges_expired(tx, rows)
        number += len(rows)
        if len(rows) < _TOLD_AT_ONCE:
            return number


async def make_missing(database: Database, payments: Payments) -> int:
    """Create the charges whose request failed or died, and return how many there were."""
    async with database.transaction() as tx:
        due = (
            await tx.scalars(
                select(Charge)
                .where(
                    Charge.state == "creating",
                    Charge.created_at < clock.now() - MAKE_AGAIN_AFTER,
                    Charge.expires_at > clock.now(),
                )
                .order_by(Charge.id)
                .limit(100)
            )
        ).all()
    for row in due:
        with suppress(PaymentRefusedByProvider):  # it is stored, counted and logged
            await finish(database, payments, row)
    return len(due)


async def make_written(database: Database, payments: Payments, charge_id: UUID) -> None:
    """Create a stored charge at the provider, unless it was created."""
    async with database.transaction() as tx:
        row = await tx.get_one(Charge, charge_id)
    if row.state == "creating":
        with suppress(PaymentRefusedByProvider):
            await finish(database, payments, row)


async def finish(database: Database, payments: Payments, row: Charge) -> None:
    """Create a stored charge at the provider, and store the result.

    Raises:
        PaymentRefusedByProvider: the provider refuses it.
    """
    async with payments.asking() as provider:
        try:
            cob = await make(provider, row, payments)
        except ProviderRefused as refused:
            async with database.transaction() as tx:
                await record_refusal(tx, row.id, refused)
            raise PaymentRefusedByProvider from refused
    if cob is not None:
        async with database.transaction() as tx:
            await store_location(tx, row.id, cob)


async def find(tx: Tx, who: Principal, charge_id: UUID) -> Charge:
    """Return a charge to its maker.

    Raises:
        ChargeNotFound: there is none, or it is somebody else's.
    """
    row = await tx.get(Charge, charge_id)
    if row is None or row.maker_id != who.id:
        raise ChargeNotFound
    return row


async def listed(tx: Tx, *, maker_id: UUID, limit: int, before: UUID | None) -> Sequence[Charge]:
    """Return one maker's charges, newest first."""
    query = select(Charge).where(Charge.maker_id == maker_id).order_by(Charge.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Charge.id < before)
    return (await tx.scalars(query)).all()
