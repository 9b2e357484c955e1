"""Taps: rides that validators recorded, perhaps offline, accounted for exactly once (ADR 0010).

A tap is a ride that has taken place. The part that the card's balance does not cover is owed, and paid from the next
incoming money: balance and debt are the same in the end, whatever the order of the taps and however often they are
sent.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol
from uuid import UUID

import orjson
from fastapi import Response
from sqlalchemy import select, text

from carteira import ledger
from carteira.kit.db.insert import Insert
from carteira.kit.db.outbox import EVENTS, as_rows
from carteira.kit.db.session import LeanTx, Tx
from carteira.kit.security import audit
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.web.idempotency import RECORDS
from carteira.kit.web.state import StateKey
from carteira.transit import metrics
from carteira.transit.errors import RideSettled
from carteira.transit.models import CardBlock, Tap, TransportCard
from carteira.transit.service import (
    FARE_BOX,
    RECEIVABLE,
    RIDE_PAID,
    Payment,
    emit_paid,
    emit_reversed,
    events_of_paid,
)

IMPOSSIBLE = "clock_impossible"
"""The reason of a tap that waits for an operator, or was denied by one."""

_CLAIM = text("""
    INSERT INTO transit_taps (id, tap_id, fingerprint, client_id, amount, tapped_at, line, vehicle, received_at)
    SELECT new.id, new.tap_id, new.fingerprint, :client_id, new.amount, new.tapped_at, new.line, new.vehicle, :now
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:tap_ids AS text[]), CAST(:fingerprints AS bytea[]), CAST(:amounts AS bigint[]),
        CAST(:tapped_at AS timestamptz[]), CAST(:lines AS text[]), CAST(:vehicles AS text[])
    ) AS new (id, tap_id, fingerprint, amount, tapped_at, line, vehicle)
    ON CONFLICT (tap_id) DO NOTHING
    RETURNING tap_id
""")
_DECIDE = text("""
    UPDATE transit_taps tap
    SET card_id = new.card_id, user_id = new.user_id, result = new.result, reason = new.reason, paid = new.paid,
        owed = new.owed, outstanding = new.owed, entry_id = new.entry_id
    FROM unnest(
        CAST(:tap_ids AS text[]), CAST(:card_ids AS uuid[]), CAST(:user_ids AS uuid[]), CAST(:results AS text[]),
        CAST(:reasons AS text[]), CAST(:paid AS bigint[]), CAST(:owed AS bigint[]), CAST(:entry_ids AS uuid[])
    ) AS new (tap_id, card_id, user_id, result, reason, paid, owed, entry_id)
    WHERE tap.tap_id = new.tap_id
""")


class RecordedTap(Protocol):
    """A tap as a validator reports it; the amount in centavos."""

    id: str
    card_number: str
    amount: int
    tapped_at: datetime
    line: str | None
    vehicle: str | None


@dataclass(frozen=True, slots=True)
class TapResult:
    """The outcome of a tap."""

    id: str
    result: str
    reason: str | None
    paid: int
    owed: int
    replayed: bool


@dataclass(frozen=True, slots=True)
class ClockBounds:
    """The bounds of a validator's clock against ours; a ride beyond them took place at another time, or never."""

    ahead: timedelta
    behind: timedelta

    def hold(self, tapped_at: datetime) -> bool:
        """Return whether a tap may have taken place at an instant."""
        now = clock.now()
        return now - self.behind <= tapped_at <= now + self.ahead


TAP_BOUNDS = StateKey[ClockBounds]("tap_bounds")


class _Card(NamedTuple):
    """A card as a ride needs it; `blocks` are the instants of its blocking and unblocking."""

    id: UUID
    user_id: UUID | None
    account_id: UUID
    cancelled_at: datetime | None
    blocks: Sequence[tuple[datetime, datetime | None]] = ()


@dataclass(slots=True)
class _Decision:
    tap_id: str
    result: str
    card: _Card | None = None
    reason: str | None = None
    paid: int = 0
    owed: int = 0
    entry_id: UUID | None = None


_Fleet = dict[str, _Card]
"""The cards of a batch, by number."""


def _denial(card: _Card | None, tap: RecordedTap) -> str | None:
    """Return why a card must not pay for a ride; None: it must."""
    if card is None:
        return "unknown_card"
    for blocked_at, unblocked_at in card.blocks:
        if blocked_at <= tap.tapped_at and (unblocked_at is None or tap.tapped_at < unblocked_at):
            return "card_blocked"
    if card.cancelled_at is not None and card.cancelled_at <= tap.tapped_at:
        return "card_cancelled"
    return None


def _fingerprint(tap: RecordedTap) -> bytes:
    instant = int(tap.tapped_at.timestamp() * 1_000_000)
    return hashlib.sha256(orjson.dumps([tap.card_number, tap.amount, instant, tap.line, tap.vehicle])).digest()


async def account_for(
    tx: Tx, client_id: UUID, taps: Sequence[RecordedTap], *, bounds: ClockBounds, actor: Actor
) -> list[TapResult]:
    """Account for taps in any order, each id once whoever sends it; return the results in the order of the taps.

    A repeated id returns its first result; with other content it is a `conflict` and moves nothing. A tap with an
    impossible clock is stored, charges nothing and waits for an operator.
    """
    first: dict[str, RecordedTap] = {}
    for tap in taps:
        first.setdefault(tap.id, tap)
    claimed = await _claim(tx, client_id, [first[tap_id] for tap_id in sorted(first)])
    if claimed:
        await decide(tx, [first[tap_id] for tap_id in claimed], actor, bounds)
    rows = await tx.scalars(select(Tap).where(Tap.tap_id.in_(first)))
    known = {row.tap_id: row for row in rows}
    results = []
    for tap in taps:
        results.append(_result(tap, known[tap.id], replayed=tap.id not in claimed))
        claimed.discard(tap.id)  # a second copy in the same batch is a replay
    for result in results:
        metrics.taps.labels("replayed" if result.replayed else result.result).inc()
    return results


def _result(tap: RecordedTap, row: Tap, *, replayed: bool) -> TapResult:
    if row.fingerprint != _fingerprint(tap):
        return TapResult(tap.id, "conflict", "tap_id_reused", 0, 0, replayed=False)
    assert row.result is not None, "a claimed tap commits with its result"
    return TapResult(tap.id, row.result, row.reason, row.paid, row.owed, replayed)


async def _claim(tx: Tx, client_id: UUID, taps: Sequence[RecordedTap]) -> set[str]:
    """Insert taps with new ids, waiting for concurrent writers of the same ones; sorted, to avoid deadlocks."""
    rows = await tx.scalars(
        _CLAIM,
        {
            "client_id": client_id,
            "now": clock.now(),
            "ids": [uuid7() for _ in taps],
            "tap_ids": [tap.id for tap in taps],
            "fingerprints": [_fingerprint(tap) for tap in taps],
            "amounts": [tap.amount for tap in taps],
            "tapped_at": [tap.tapped_at for tap in taps],
            "lines": [tap.line for tap in taps],
            "vehicles": [tap.vehicle for tap in taps],
        },
    )
    return set(rows)


async def _lock_fleet(tx: Tx, taps: Sequence[RecordedTap]) -> _Fleet:
    cards = (
        await tx.scalars(
            select(TransportCard)
            .where(TransportCard.card_number.in_({tap.card_number for tap in taps}))
            .order_by(TransportCard.id)
            .with_for_update(key_share=True)
        )
    ).all()
    blocks: dict[UUID, list[tuple[datetime, datetime | None]]] = {}
    for block in await tx.scalars(select(CardBlock).where(CardBlock.card_id.in_([card.id for card in cards]))):
        blocks.setdefault(block.card_id, []).append((block.blocked_at, block.unblocked_at))
    return {
        card.card_number: _Card(card.id, card.user_id, card.account_id, card.cancelled_at, blocks.get(card.id, ()))
        for card in cards
    }


async def decide(tx: Tx, taps: Sequence[RecordedTap], actor: Actor, bounds: ClockBounds | None = None) -> None:
    """Lock the cards, charge the rides in the order of their times, and store the outcomes.

    With `bounds`, rides beyond them wait for an operator.
    """
    fleet = await _lock_fleet(tx, taps)
    book = await ledger.lock(tx, [card.account_id for card in fleet.values()])
    decisions = _decide(fleet, book, taps, bounds)
    if book.entries:
        await ledger.write(tx, book, actor=actor)
    await emit_paid(tx, _payments(decisions))
    await tx.execute(
        _DECIDE,
        {
            "tap_ids": [decision.tap_id for decision in decisions],
            "card_ids": [decision.card and decision.card.id for decision in decisions],
            "user_ids": [decision.card and decision.card.user_id for decision in decisions],
            "results": [decision.result for decision in decisions],
            "reasons": [decision.reason for decision in decisions],
            "paid": [decision.paid for decision in decisions],
            "owed": [decision.owed for decision in decisions],
            "entry_ids": [decision.entry_id for decision in decisions],
        },
    )


def _decide(
    fleet: _Fleet, book: ledger.Book, taps: Sequence[RecordedTap], bounds: ClockBounds | None
) -> list[_Decision]:
    """Decide the rides in the order of their times, and post those that are charged to the book."""
    decisions = []
    for tap in sorted(taps, key=lambda tap: (tap.tapped_at, tap.id)):
        card = fleet.get(tap.card_number)
        reason = _denial(card, tap)
        if card is not None and bounds is not None and not bounds.hold(tap.tapped_at):
            decisions.append(_Decision(tap.id, "waiting", card, IMPOSSIBLE))
        elif reason is not None or card is None:
            decisions.append(_Decision(tap.id, "denied", card, reason))
        else:
            decisions.append(_charge(book, card, tap))
    return decisions


def _payments(decisions: Iterable[_Decision]) -> Iterator[Payment]:
    for made in decisions:
        if made.card and made.entry_id and made.paid:
            yield made.card.user_id, made.card.id, made.entry_id, made.paid


MOST_AT_ONCE: Final = 100
"""Larger uploads are accounted for in a session's transaction: so many cards seldom stay as they were read."""


def _instants(column: str) -> str:
    return f"""NULLIF(ARRAY(SELECT block.{column} FROM transit_card_blocks block
        WHERE block.card_id = holder_row.id ORDER BY block.blocked_at), '{{}}')"""  # noqa: S608 - constants


_CARDS: Final = ledger.Holders(
    "transport_cards",
    name="card_number",
    more=("user_id", "cancelled_at", _instants("blocked_at"), _instants("unblocked_at")),
)
_COLUMNS: Final = (
    ("id", "uuid"),
    ("tap_id", "text"),
    ("fingerprint", "bytea"),
    ("amount", "bigint"),
    ("tapped_at", "timestamptz"),
    ("line", "text"),
    ("vehicle", "text"),
    ("card_id", "uuid"),
    ("user_id", "uuid"),
    ("result", "text"),
    ("reason", "text"),
    ("paid", "bigint"),
    ("owed", "bigint"),
    ("outstanding", "bigint"),
    ("entry_id", "uuid"),
    ("client_id", "uuid"),
    ("received_at", "timestamptz"),
)
_ARRAYS: Final = ", ".join(f"{{{place}}}::{kind}[]" for place, (_, kind) in enumerate(_COLUMNS))
_TAPS: Final = Insert(
    (f"transit_taps ({', '.join(name for name, _ in _COLUMNS)})", f"SELECT * FROM unnest({_ARRAYS})"),  # noqa: S608 - constants
    parameters=len(_COLUMNS),
)
_RECORDER: Final = ledger.Recorder(
    RECORDS, EVENTS, audit.ACTS, _TAPS, guard="transit_keep_cards({0}, {1}, {2}, {3})", guarded=4
)
SENT: Final = "transit_taps_sent"
"""The act of an upload."""


async def account_at_once(  # noqa: PLR0913 - an upload's parts
    tx: LeanTx,
    client_id: UUID,
    taps: Sequence[RecordedTap],
    *,
    bounds: ClockBounds,
    actor: Actor,
    answer: Callable[[list[TapResult]], tuple[Response, tuple[object, ...]]],
) -> Response | None:
    """Account for new taps as `account_for` does, by one read and one write; None: it is to be done there.

    `answer` returns the response, and the parameters of `RECORDS` by which it is kept.

    Raises:
        StaleBook, PostgresError: as `ledger.at_once` knows them; nothing was written.
    """
    by_id = {tap.id: tap for tap in taps}
    numbers = {tap.card_number for tap in taps}
    if len(by_id) < len(taps) or len(numbers) > MOST_AT_ONCE:
        return None
    fleet: _Fleet = {}
    accounts = []
    for number, (card_id, user_id, cancelled_at, blocked, unblocked), account in await ledger.accounts_held(
        tx, _CARDS, numbers
    ):
        assert account is not None, "each card has its account"
        blocks = tuple(zip(blocked or (), unblocked or (), strict=True))
        fleet[number] = _Card(card_id, user_id, account.id, cancelled_at, blocks)
        accounts.append(account)
    book = ledger.Book(accounts)
    for account in accounts:
        book.keep(account.id)  # a ride that the balance does not cover at all depends on it, too
    decisions = {made.tap_id: made for made in _decide(fleet, book, taps, bounds)}
    results = [
        TapResult(tap.id, made.result, made.reason, made.paid, made.owed, replayed=False)
        for tap in taps
        for made in (decisions[tap.id],)
    ]
    response, record = answer(results)
    cards = list(fleet.values())
    records = _RECORDER.record(
        [card.id for card in cards],
        [card.user_id for card in cards],
        [card.cancelled_at for card in cards],
        [sum(1 if unblocked is None else 2 for _, unblocked in card.blocks) for card in cards],
        *record,
        *as_rows(RIDE_PAID, events_of_paid(_payments(decisions.values()))),
        audit.acts_of(SENT, taps=len(results)),
        *_columns(by_id, decisions, client_id),
    )
    await ledger.write(tx, book, actor=actor, records=records)
    audit.done(SENT)
    for result in results:
        metrics.taps.labels(result.result).inc()
    return response


def _columns(
    taps: Mapping[str, RecordedTap], decisions: Mapping[str, _Decision], client_id: UUID
) -> tuple[list[object], ...]:
    """Return the columns of decided taps, sorted by their ids, so that two uploads of the same ones cannot deadlock."""
    now = clock.now()
    rows = [
        (
            uuid7(), tap.id, _fingerprint(tap), tap.amount, tap.tapped_at, tap.line, tap.vehicle,
            made.card and made.card.id, made.card and made.card.user_id,
            made.result, made.reason, made.paid, made.owed, made.owed, made.entry_id, client_id, now,
        )
        for _, tap in sorted(taps.items())
        for made in (decisions[tap.id],)
    ]  # fmt: skip
    return tuple(list(column) for column in zip(*rows, strict=True))


async def forgive_reversed(tx: Tx, reversal: ledger.NewEntry) -> None:
    """Cancel a ride's remaining debt when its entry is reversed.

    Raises:
        RideSettled: another entry has paid a part of the debt since.
    """
    of_entry = Tap.entry_id == reversal.reverses_id
    card_id = await tx.scalar(select(Tap.card_id).where(of_entry))
    await tx.execute(select(TransportCard.id).where(TransportCard.id == card_id).with_for_update(key_share=True))
    tap = await tx.scalar(select(Tap).where(of_entry).with_for_update())
    if tap is None:
        return
    if tap.outstanding != tap.owed:
        raise RideSettled
    tap.outstanding = 0
    await emit_reversed(tx, reversal)


async def refuse_reversal(_tx: Tx, _reversal: ledger.NewEntry) -> None:
    """Refuse the reversal of a debt's payment, which would leave rides paid without money.

    Raises:
        RideSettled: always.
    """
    raise RideSettled


def _charge(book: ledger.Book, card: _Card, tap: RecordedTap) -> _Decision:
    """Charge the fare as far as the balance covers it; the rest is owed."""
    paid = min(book.account(card.account_id).available, tap.amount)
    owed = tap.amount - paid
    lines = ((card.account_id, -paid), (RECEIVABLE, -owed), (FARE_BOX, tap.amount))
    entry = ledger.NewEntry(
        "transit.tap",
        [ledger.Posting(account_id, amount) for account_id, amount in lines if amount],
        key=f"transit.tap:{tap.id}",
    )
    book.post(entry)
    return _Decision(tap.id, "owed" if owed else "debited", card, None, paid, owed, entry.id)
