"""Debits and recharges of people's own cards by the ledger's lane.

Requests that need more than a card and its balance (rides still owed, a missing or another's card, a reused key) are
not decided here: status 0 sends them to `service`.
"""

from collections.abc import Sequence
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
from carteira.transit.service import ACCOUNT_KIND, FARE_BOX, TOP_UP, count, event_of

Direction = Literal["debit", "recharge"]
Key = tuple[str, str]
"""Caller and `Idempotency-Key`."""
CARDS_CHANGED: Final = "CT001"
"""The SQLSTATE of `transit_require_cards` for decisions on outdated cards."""
_RECORDER: Final = ledger.Recorder(RECORDS, EVENTS, guard="transit_require_cards({0}, {1}, {2})", guarded=3)
_OWES: Final = "EXISTS (SELECT FROM transit_taps tap WHERE tap.user_id = holder_row.user_id AND tap.outstanding > 0)"

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


class MoveBatch(ledger.Batch[MoveRequest, MoveAnswer]):
    """A batch of debits and recharges; the answer holds the balance, so versions are compared."""

    source = ledger.Holders("transport_cards", name="card_number", more=("user_id", "status", _OWES))
    actor = None

    def __init__(self, requests: Sequence[MoveRequest]) -> None:
        asked: dict[ledger.Payer, int] = {}
        for request in requests:
            payer = (request.account, ACCOUNT_KIND)
            asked[payer] = asked.get(payer, 0) + (request.amount if request.direction == "debit" else 0)
        super().__init__(requests, asked)

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
        """Return whether an error means that a card has changed since it was read or cached."""
        return ledger.StaleBook() if sqlstate == CARDS_CHANGED else None

    def decide(self, place: int, request: MoveRequest, earlier: MoveAnswer | None) -> MoveAnswer:
        """Move the money if the card is the person's, active, and covers it."""
        del place
        payer = (request.account, ACCOUNT_KIND)
        card_id, user_id, status, owes = self.holders.get(request.account) or (None, None, "", False)
        account = self.accounts.get(payer)
        is_recharge = request.direction == "recharge"
        if earlier is not None or account is None or user_id != request.user_id or (is_recharge and owes):
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
        body = orjson.dumps({"card_number": request.account, "new_balance": account.balance})
        return MoveAnswer(request.key, request.content, 200, body, card_id=card_id, move=request, entry_id=entry.id)

    def _refuse(self, request: MoveRequest, refusal: Refusal) -> MoveAnswer:
        self.doubtful.add((request.account, ACCOUNT_KIND))
        body = orjson.dumps({**refusal.body(), "request_id": request.request_id})
        return MoveAnswer(request.key, request.content, refusal.status, body)

    def record(self) -> ledger.Records | None:
        """Return the answers under keys and the events as rows, which are written only if the cards are unchanged."""
        keyed = sorted((answer for answer in self.fresh if answer.key), key=lambda answer: answer.key or ("", ""))
        moved = [(answer, answer.move) for answer in self.fresh if answer.move]
        if not (keyed or moved):
            return None
        owners = {answer.card_id: move.user_id for answer, move in moved}
        return _RECORDER.record(
            list(owners),
            list(owners.values()),
            list({move.user_id for _, move in moved if move.direction == "recharge"}),
            [answer.key[0] for answer in keyed if answer.key],
            [answer.key[1] for answer in keyed if answer.key],
            [answer.content for answer in keyed],
            [answer.status for answer in keyed],
            [answer.body for answer in keyed],
            [uuid7() for _ in moved],
            [_TOPICS[move.direction] for _, move in moved],
            [_payload(answer, move) for answer, move in moved],
            [move.traceparent for _, move in moved],
        )


_TOPICS: Final = {"debit": "transit.debited", "recharge": "transit.recharged"}


def _payload(answer: MoveAnswer, move: MoveRequest) -> str:
    event = event_of(move.user_id, answer.card_id, amount=move.amount, entry_id=str(answer.entry_id))
    return orjson.dumps(event).decode()


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
