"""Every route that moves a person's money by itself, and how to call it once more."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import httpx

from tests.support.people import Person
from tests.support.things import PathIds


@dataclass(frozen=True)
class MoneyMove:
    """A route, who calls it (the person, or an operator), and with which body."""

    route: str
    by_operator: bool
    body: Callable[[PathIds], object]

    async def ask(self, who: Person, things: PathIds) -> httpx.Response:
        """Call it once, under a key of its own."""
        method, path = self.route.split(" ")
        return await who.call(
            method, path.format(**things), json=self.body(things), headers={"Idempotency-Key": str(uuid4())}
        )


def _one(_things: PathIds) -> object:
    return {"amount": 1}


def _tap(things: PathIds) -> object:
    tap = {"id": str(uuid4()), "card_number": things["card_number"], "amount": 1, "tapped_at": "2026-01-15T12:00:00Z"}
    return {"taps": [tap]}


MONEY_MOVES = (
    MoneyMove("POST /transport-cards/{card_number}/recharge", False, _one),
    MoneyMove("POST /transport-cards/{card_number}/debit", False, _one),
    MoneyMove("POST /transit/cards/{card_number}/recharge", True, _one),
    MoneyMove("POST /transit/taps", True, _tap),
    MoneyMove("POST /benefits/accounts/{account}/credits", True, lambda _: {"category": "FOOD", "amount": 1}),
    MoneyMove(
        "POST /benefits/credits", True, lambda things: [{"account": things["account"], "category": "FOOD", "amount": 1}]
    ),
    MoneyMove("POST /transactions/{transaction_id}/refund", True, _one),
)
