"""Debits and recharges of people's own cards by the ledger's lane.

Requests that need more than a card, its balance and the rides that its person owes (a missing or another's card, a
reused key) are not decided here: status 0 sends them to `service`.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple
from uuid import UUID

import orjson
from prometheus_client import Gauge

from carteira import ledger
from carteira.kit.db.outbox import EVENTS
from carteira.kit.db.session import LeanTx
from carteira.kit.values.actor import Actor
from carteira.kit.values.ids import uuid7
from carteira.kit.web.idempotency import RECORDS, recorded
from carteira.kit.web.problems import Refusal
from carteira.kit.web.state import StateKey
from carteira.transit import metrics
from carteira.transit.errors import CardNotActive, InsufficientBalance
from carteira.transit.service import ACCOUNT_KIND, FARE_BOX, RECEIVABLE, RIDE_PAID, TOP_UP, count, event_of

Direction = Literal["debit", "recharge"]
Key = tuple[str, str]
"""Caller and `Idempotency-Key`."""
CARDS_CHANGED: Final = "CT001"
"""The SQLSTATE of `transit_settle` for decisions on outdated cards or debts."""
MOST_DEBTS: Final = 100
"""With more unpaid rides, `service` recharges."""


def _debts(column: str) -> str:
    """Return the expression of a column of a holder's unpaid rides, the oldest first, one more than are paid here."""
    return f"""NULLIF(ARRAY(
        SELECT tap.{column} FROM transit_taps tap WHERE tap.user_id = holder_row.user_id AND tap.outstanding > 0
        ORDER BY tap.tapped_at, tap.id LIMIT {MOST_DEBTS + 1}), '{{}}')"""  # noqa: S608 - constants


CARDS: Final = ledger.Holders(
    "transport_cards", name="card_number", more=("user_id", "status", _debts("id"), _debts("outstanding"))
)
"""Cards, by number, with their person, their state, and the person's unpaid rides."""
SETTLE: Final = "transit_settle({0}, {1}, {2}, {3}, {4}, {5})"
"""The guard of recharges and debits: cards, their persons, the recharging ones, and `Debts.settled` of all."""

_RECORDER: Final = ledger.Recorder(RECORDS, EVENTS, guard=SETTLE, guarded=6)

deferred_gauge = Gauge(
    "carteira_transit_moves_held_up",
    "Debits and recharges whose card another transaction keeps locked",
    multiprocess_mode="livesum",
)


class MoveRequest(NamedTuple):
    """A debit or a recharge of a person's own card: `account` is the card's number, `amount` in centavos."""

    account: str
    direction: Direction
    amount: int
    user_id: UUID
    actor: Actor
    key: Key | None
    content: bytes
    """The request's fingerprint under its key."""
    request_id: str
    traceparent: str | None = None
    """The trace that it is part of."""


class MoveAnswer(NamedTuple):
    """The result as an HTTP answer; `status` 0: `service` decides."""

    key: Key | None
    content: bytes
    status: int
    body: bytes = b""
    replayed: bool = False
    card_id: UUID | None = None
    move: MoveRequest | None = None
    entry_id: UUID | None = None
    paid: tuple[UUID, int] | None = None
    """The entry that paid the person's rides, and the paid amount."""


class Debts:
    """A person's unpaid rides in a batch, by id and the oldest first: in centavos as read, and as of now."""

    def __init__(self, taps: Sequence[UUID] | None, owed: Sequence[int] | None) -> None:
        self.read = dict(zip(taps or (), owed or (), strict=True))
        self.left = dict(self.read)

    def pay(self, available: int) -> int:
        """Pay rides with an amount, the oldest first; return the paid centavos."""
        paid = 0
        for tap, owed in self.left.items():
            part = min(owed, available - paid)
            self.left[tap] -= part
            paid += part
        return paid

    def columns(self) -> tuple[list[UUID] | None, list[int] | None]:
        """Return the ids of the rides that are still owed, and their debts; None for both if there are none."""
        left = {tap: owed for tap, owed in self.left.items() if owed}
        return (list(left), list(left.values())) if left else (None, None)


class MoveBatch(ledger.Batch[MoveRequest, MoveAnswer]):
    """A batch of debits and recharges; the answer holds the balance, so versions are compared."""

    source = CARDS
    actor = None

    def __init__(self, requests: Sequence[MoveRequest]) -> None:
        asked: dict[ledger.Payer, int] = {}
        for request in requests:
            payer = (request.account, ACCOUNT_KIND)
            asked[payer] = asked.get(payer, 0) + (request.amount if request.direction == "debit" else 0)
        super().__init__(requests, asked)
        self._debts: dict[UUID, Debts] = {}
        """The debts of the recharging people."""

    async def find_answered(self, tx: LeanTx, keys: Sequence[Key]) -> dict[Key, MoveAnswer]:
        """Return earlier answers by their keys."""
        return {
            (found.caller, found.key): MoveAnswer(
                (found.caller, found.key), found.fingerprint, found.status, found.body, replayed=True
            )
            for found in await recorded(tx, keys)
        }

    def repeat(self, earlier: MoveAnswer) -> MoveAnswer:
        """Return the first answer as a replay."""
        return earlier._replace(replayed=True)

    def conflict_from(self, sqlstate: str | None) -> Exception | None:
        """Return `StaleBook` for an error which means that a card has changed since it was read or cached."""
        return ledger.StaleBook() if sqlstate == CARDS_CHANGED else None

    def decide(self, place: int, request: MoveRequest, earlier: MoveAnswer | None) -> MoveAnswer:
        """Move the money if the card is the person's, active, and covers it; a recharge pays rides still owed."""
        del place
        payer = (request.account, ACCOUNT_KIND)
        card_id, user_id, status, taps, owed = self.holders.get(request.account) or (None, None, "", None, None)
        account = self.accounts.get(payer)
        is_recharge = request.direction == "recharge"
        owes_many = is_recharge and len(taps or ()) > MOST_DEBTS
        if earlier is not None or account is None or user_id != request.user_id or owes_many:
            self.doubtful.add(payer)
            return MoveAnswer(None, b"", 0)
        if status != "active":
            return self._refuse(request, CardNotActive())
        source, target = (TOP_UP, account.id) if is_recharge else (account.id, FARE_BOX)
        entry = ledger.transfer(f"transit.{request.direction}", source=source, target=target, amount=request.amount)
        try:
            self.book.post(entry, actor=request.actor)
        except ledger.InsufficientFunds:
            return self._refuse(request, InsufficientBalance())
        paid = self._pay(request, account, self._debts.setdefault(user_id, Debts(taps, owed))) if is_recharge else None
        body = orjson.dumps({"card_number": request.account, "new_balance": account.balance})
        return MoveAnswer(
            request.key, request.content, 200, body, card_id=card_id, move=request, entry_id=entry.id, paid=paid
        )

    def _pay(self, request: MoveRequest, account: ledger.Account, debts: Debts) -> tuple[UUID, int] | None:
        """Pay unpaid rides from a recharged card; the cached holder owes the rest."""
        amount = debts.pay(account.available)
        if not amount:
            return None
        entry = ledger.transfer("transit.debt_payment", source=account.id, target=RECEIVABLE, amount=amount)
        self.book.post(entry, actor=request.actor)
        card_id, user_id, status, *_ = self.holders[request.account]
        self.holders[request.account] = (card_id, user_id, status, *debts.columns())
        return entry.id, amount

    def _refuse(self, request: MoveRequest, refusal: Refusal) -> MoveAnswer:
        self.doubtful.add((request.account, ACCOUNT_KIND))
        body = orjson.dumps({**refusal.body(), "request_id": request.request_id})
        return MoveAnswer(request.key, request.content, refusal.status, body)

    def record(self) -> ledger.Records | None:
        """Return the answers under keys and the events as rows, which are written only if the cards are unchanged.

        Rides are paid in the same statement, if they are owed as they were read.
        """
        keyed = sorted((answer for answer in self.fresh if answer.key), key=lambda answer: answer.key or ("", ""))
        moved = [(answer, answer.move) for answer in self.fresh if answer.move]
        if not (keyed or moved):
            return None
        owners = {answer.card_id: move.user_id for answer, move in moved}
        events = [event for answer, move in moved for event in _events(answer, move)]
        debts = self._debts.values()
        return _RECORDER.record(
            list(owners),
            list(owners.values()),
            list(self._debts),
            [tap for one in debts for tap in one.read],
            [owed for one in debts for owed in one.read.values()],
            [owed for one in debts for owed in one.left.values()],
            [answer.key[0] for answer in keyed if answer.key],
            [answer.key[1] for answer in keyed if answer.key],
            [answer.content for answer in keyed],
            [answer.status for answer in keyed],
            [answer.body for answer in keyed],
            [uuid7() for _ in events],
            [topic for topic, _, _ in events],
            [payload for _, payload, _ in events],
            [traceparent for _, _, traceparent in events],
        )


_TOPICS: Final = {"debit": "transit.debited", "recharge": "transit.recharged"}


def _events(answer: MoveAnswer, move: MoveRequest) -> Iterator[tuple[str, str, str | None]]:
    """Return topic, payload and trace of a movement's events."""
    if answer.paid is not None:
        yield RIDE_PAID, _payload(answer, move, *answer.paid), move.traceparent
    assert answer.entry_id is not None, "it moved money"
    yield _TOPICS[move.direction], _payload(answer, move, answer.entry_id, move.amount), move.traceparent


def _payload(answer: MoveAnswer, move: MoveRequest, entry_id: UUID, amount: int) -> str:
    return orjson.dumps(event_of(move.user_id, answer.card_id, amount=amount, entry_id=str(entry_id))).decode()


class CardMoves(ledger.Writer[MoveRequest, MoveAnswer]):
    """Decides and writes debits and recharges. An unknown commit is resolved by repeating the same key."""

    async def begin(self, requests: Sequence[MoveRequest]) -> MoveBatch:
        """Make a batch."""
        return MoveBatch(requests)


MoveQueue = ledger.Queue[MoveRequest, MoveAnswer]
CARD_MOVES = StateKey[MoveQueue]("card_moves")


def count_move(answer: MoveAnswer) -> None:
    """Count a new decision, not a replay."""
    if answer.move is not None and not answer.replayed:
        count(answer.move.direction, answer.move.amount)
    elif answer.status == InsufficientBalance.status and not answer.replayed:
        metrics.refusals.inc()
