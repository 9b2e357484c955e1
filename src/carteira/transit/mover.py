"""A person's own debit or recharge as one request: by the lane, or else by `service` in a session's transaction."""

from dataclasses import dataclass

import orjson
import structlog
from fastapi import Request, Response

from carteira import ledger
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import OperationInProgress
from carteira.kit.ops import tracing
from carteira.kit.ops.turns import Busy
from carteira.kit.values.card_number import is_card_number
from carteira.kit.web.access import Principal
from carteira.kit.web.idempotency import Call, answer_of
from carteira.kit.web.state import DATABASE
from carteira.transit import service
from carteira.transit.errors import CardNotFound
from carteira.transit.moves import CARD_MOVES, Direction, MoveQueue, MoveRequest, count_move
from carteira.transit.schemas import NewBalanceOut


@dataclass(frozen=True, slots=True)
class Mover:
    """Moves money on a person's own card, once under the call's key."""

    queue: MoveQueue
    database: Database
    call: Call

    async def answer(
        self, who: Principal, direction: Direction, card_number: str, amount: int, **asked_with: str
    ) -> Response:
        """Answer a debit or a recharge; a refusal under a key is an answer, too.

        A request is the same one under its key if its amount and what else it was `asked_with` are the same.

        Raises:
            CardNotFound, CardOfAnother: it is not the person's card.
            Refusal: without a key, as `service`.
            IdempotencyKeyReused: the key belongs to another request.
            Busy: too many wait.
            OperationInProgress: the card was locked for too long.
        """
        if not is_card_number(card_number):
            raise CardNotFound
        call = self.call
        key = (call.caller, call.key) if call.key else None
        payload = {"amount": amount, **asked_with}
        content = call.fingerprint(orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)) if key else b""
        request_id = structlog.contextvars.get_contextvars().get("request_id", "")
        asked = MoveRequest(
            card_number, direction, amount, who.user_id, who.actor, key, content, request_id, tracing.traceparent()
        )
        try:
            answer = await self.queue.decide(asked)
        except ledger.Overloaded as error:
            raise Busy(1) from error
        except ledger.AccountLocked as error:
            raise OperationInProgress from error
        if answer.status:
            count_move(answer)
            return answer_of(answer.status, answer.body, replayed=answer.replayed)
        verb = service.debit if direction == "debit" else service.recharge
        async with self.database.transaction() as tx:

            async def work() -> NewBalanceOut:
                balance = await verb(tx, who.user_id, card_number, amount, actor=who.actor)
                return NewBalanceOut(card_number=card_number, new_balance=balance)

            return await call.answer(tx, payload, work, alone=True)


def mover_of(request: Request, call: Call) -> Mover:
    """Return what moves money for a request."""
    return Mover(CARD_MOVES.of(request.app), DATABASE.of(request.app), call)
