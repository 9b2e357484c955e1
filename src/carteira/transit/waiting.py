"""Taps from a validator with an impossible clock; an operator charges them as of another instant, or dismisses them.

A validator with a clock at 1970, or a day ahead, has still recorded a ride. The ride's time decides whether the card
was blocked then, and so whether it pays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select

from carteira import identity
from carteira.kit.db.keyset import keyset
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.security.approvals import OwnOperation
from carteira.kit.web.access import Principal
from carteira.kit.web.problems import InvalidInput
from carteira.transit import metrics
from carteira.transit.errors import TapDecided, TapNotFound
from carteira.transit.models import Tap, TransportCard
from carteira.transit.taps import IMPOSSIBLE, ClockBounds, TapResult, decide


@dataclass(frozen=True, slots=True)
class WaitingTap:
    """A waiting tap; the amount in centavos, `tapped_at` by the validator's clock."""

    id: UUID
    tap_id: str
    client_id: UUID
    user_id: UUID | None
    card_number: str
    amount: int
    tapped_at: datetime
    received_at: datetime
    line: str | None
    vehicle: str | None


@dataclass(slots=True)
class _Recorded:
    """A tap as `decide` reads it."""

    id: str
    card_number: str
    amount: int
    tapped_at: datetime
    line: str | None
    vehicle: str | None


async def listed(tx: Tx, *, limit: int, after: UUID | None = None, turned: bool = False) -> list[WaitingTap]:
    """List waiting taps, the oldest first."""
    query = (
        select(
            Tap.id,
            Tap.tap_id,
            Tap.client_id,
            Tap.user_id,
            TransportCard.card_number,
            Tap.amount,
            Tap.tapped_at,
            Tap.received_at,
            Tap.line,
            Tap.vehicle,
        )
        .join(TransportCard, TransportCard.id == Tap.card_id)
        .where(Tap.result == "waiting")
    )
    query = keyset(query, Tap.id, after=after, limit=limit, turned=turned)
    return [WaitingTap(*tuple(row)) for row in await tx.execute(query)]


async def charge(tx: Tx, tap_id: UUID, *, tapped_at: datetime | None, bounds: ClockBounds, who: Principal) -> TapResult:
    """Account for a waiting tap as of an instant, or of its arrival; the card's state at that time decides.

    Raises:
        TapNotFound, TapDecided: there is none, or it does not wait.
        OwnOperation: it is the operator's own ride.
        InvalidInput: the instant is impossible too.
    """
    tap, card_number = await _waiting(tx, tap_id, who)
    at = tapped_at or tap.received_at
    if tapped_at is not None and not bounds.hold(tapped_at):
        message = "O instante está longe demais de agora: uma viagem não foi feita então."
        raise InvalidInput(errors=[{"field": "tapped_at", "message": message}])
    reported, tap.tapped_at = tap.tapped_at, at
    await tx.flush()
    await decide(tx, [_Recorded(tap.tap_id, card_number, tap.amount, at, tap.line, tap.vehicle)], who.actor)
    await tx.refresh(tap)
    assert tap.result is not None, "it was decided"
    await audit.record(
        tx, "tap_charged", subject=tap.user_id, entry=tap.entry_id, tap=tap.tap_id, clock=reported.isoformat()
    )
    metrics.taps.labels(tap.result).inc()
    return TapResult(tap.tap_id, tap.result, tap.reason, tap.paid, tap.owed, replayed=False)


async def dismiss(tx: Tx, tap_id: UUID, *, reason: str, who: Principal) -> TapResult:
    """Dismiss a waiting tap: nobody pays for it.

    Raises:
        TapNotFound, TapDecided: there is none, or it does not wait.
        OwnOperation: it is the operator's own ride.
    """
    tap, _ = await _waiting(tx, tap_id, who)
    tap.result, tap.reason = "denied", IMPOSSIBLE
    await tx.flush()
    await audit.record(tx, "tap_dismissed", subject=tap.user_id, tap=tap.tap_id, why=reason)
    metrics.taps.labels("denied").inc()
    return TapResult(tap.tap_id, "denied", IMPOSSIBLE, 0, 0, replayed=False)


async def _waiting(tx: Tx, tap_id: UUID, who: Principal) -> tuple[Tap, str]:
    """Lock a waiting tap, and return it with its card's number."""
    tap = await tx.scalar(select(Tap).where(Tap.id == tap_id).with_for_update())
    if tap is None:
        raise TapNotFound
    if tap.result != "waiting":
        raise TapDecided
    if await identity.is_own(tx, who, tap.user_id):
        raise OwnOperation
    card_number = await tx.scalar(select(TransportCard.card_number).where(TransportCard.id == tap.card_id))
    assert card_number is not None, "only a tap of a known card waits"
    return tap, card_number


async def observe(tx: Tx) -> None:
    """Set the metrics of waiting taps."""
    metrics.taps_waiting.set(await tx.scalar(select(func.count()).where(Tap.result == "waiting")) or 0)


def people_of(taps: Sequence[WaitingTap]) -> list[UUID | None]:
    """Return the people of taps."""
    return [tap.user_id for tap in taps]
