"""Every route that moves money: those that tests can call repeatedly, and the others with the reason."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import uuid4

import httpx

from tests.support.app import RunningApp
from tests.support.people import Person
from tests.support.things import PathIds, pay


@dataclass(frozen=True)
class MoneyMove:
    """A route, who calls it (the person, or an operator), with which body, and what is made anew for each call."""

    route: str
    by_operator: bool
    body: Callable[[PathIds], object]
    make_anew: Callable[[RunningApp], Awaitable[PathIds]] | None = None

    async def renew(self, app: RunningApp, things: PathIds) -> PathIds:
        """Return the objects for one call: a call that uses one up gets a new one."""
        return things if self.make_anew is None else things | await self.make_anew(app)

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


async def _purchase(app: RunningApp) -> PathIds:
    return {"transaction_id": await pay(app)}


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
    MoneyMove("POST /transactions/{transaction_id}/reversal", True, lambda _: None, make_anew=_purchase),
)

_SELDOM = "an operator's, a few times a day: a session's transaction around a verb that other routes share"
_PROVIDER = "the provider calls it, not a person"
SELDOM: dict[str, str] = {
    "POST /transactions/authorizer": "the processor calls it; its lane has tests and benchmarks of its own",
    "POST /transactions/authorizer/reversal": "the processor calls it",
    "POST /payments/provider/pix": _PROVIDER,
    "POST /chatbot/chat": "a turn that moves money calls transit's verb in the conversation's own transaction",
    "POST /purchases": "a purchase that spends cashback: a reseller's own form",
    "PUT /purchases/{purchase_id}": "a purchase that spends cashback: a reseller's own form",
    "DELETE /purchases/{purchase_id}": "cashback that was spent comes back: a reseller's own form",
    "POST /transport-cards/{card_number}/cancel": "once in a card's life",
    **dict.fromkeys(
        (
            "POST /pending/{operation_id}/approve",
            "POST /ledger/entries/{entry_id}/reversal",
            "POST /payments/received/{e2eid}/returns",
            "POST /benefits/accounts",
            "POST /benefits/accounts/bulk",
            "POST /transit/taps/{tap_id}/charge",
            "POST /purchases/{purchase_id}/reject",
            "POST /cashback/months/{month}/close",
            "POST /cashback/adjustments",
            "POST /cashback/adjustments/{adjustment_id}/undo",
        ),
        _SELDOM,
    ),
}
"""Other routes that move money, and why their trips are not counted."""
MOVES_NOTHING = {
    "POST /pending/{operation_id}/refuse",
    "POST /payments/charges",
    "POST /transactions/authorizer/query",
    "POST /transactions/simulate",
    "POST /benefits/employers",
    "PATCH /benefits/employers/{employer_id}",
    "PUT /benefits/employers/{employer_id}/members/{member_id}",
    "DELETE /benefits/employers/{employer_id}/members/{member_id}",
    "POST /benefits/accounts/bulk/preview",
    "POST /benefits/scheduled-credits",
    "DELETE /benefits/scheduled-credits/{scheduled_id}",
    "POST /benefits/accounts/invitations",
    "POST /benefits/accounts/search",
    "POST /benefits/accounts/{account}/block",
    "POST /benefits/accounts/{account}/unblock",
    "POST /benefits/accounts/{account}/close",
    "POST /benefits/accounts/{account}/claim",
    "POST /benefits/accounts/{account}/invite",
    "POST /benefits/invitations/accept",
    "POST /benefits/accounts/{account}/claim/confirm",
    "POST /benefits/credits/preview",
    "PUT /benefits/categories/{category}",
    "PUT /benefits/merchants",
    "PUT /benefits/merchants/{name}",
    "DELETE /benefits/merchants/{name}",
    "POST /transport-cards",
    "POST /transport-cards/{card_number}/block",
    "POST /transport-cards/{card_number}/unblock",
    "POST /transit/taps/{tap_id}/dismiss",
    "POST /resellers",
    "POST /purchases/bulk",
    "POST /purchases/bulk/preview",
    "POST /purchases/{purchase_id}/approve",
    "PUT /cashback/tiers/{valid_from}",
    "DELETE /cashback/tiers/{valid_from}",
    "PUT /cashback/closing-days/{valid_from}",
    "DELETE /cashback/closing-days/{valid_from}",
    "POST /cashback/auto-approvals",
    "DELETE /cashback/auto-approvals/{approval_id}",
    "POST /chatbot/start",
    "PUT /chatbot/topics/{slug}",
    "DELETE /chatbot/unanswered/{question_id}",
    "POST /chatbot/tickets/{ticket_id}/answer",
}
"""The other routes that change something in modules that move money: they post no entry."""
MODULES = {"assistant", "benefits", "ledger", "operation", "payments", "resellers", "transit"}
"""The tags of routes whose modules may post entries: the others do not import the ledger."""
