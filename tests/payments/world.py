"""A product that is paid by Pix, with its stand-in provider, and what the tests do with both."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text

from carteira import ledger
from carteira.app import payments_of
from carteira.payments import jobs
from carteira.payments.config import Payments
from tests.support.app import RunningApp
from tests.support.people import Person
from tests.support.pix import StandIn

_SUMS = text("""
    SELECT (SELECT coalesce(sum(amount), 0) FROM payments_received)
         - (SELECT coalesce(sum(amount), 0) FROM payments_returns WHERE state = 'returned'),
           (SELECT coalesce(sum(unplaced), 0) FROM payments_received),
           (SELECT coalesce(sum(amount), 0) FROM payments_returns WHERE state = 'asked'),
           (SELECT count(*) FROM payments_received)
""")


@dataclass
class Wallet:
    app: RunningApp
    stand_in: StandIn

    @property
    def payments(self) -> Payments:
        payments: Payments = self.app.api.state.payments
        return payments

    async def poll(self) -> None:
        """Do what the worker does every half minute."""
        await jobs.run_round(self.app.database, payments_of(self.app.settings))

    async def card(self, person: Person) -> str:
        cards = (await person.get("/transport-cards")).json()["items"]
        return str(cards[0]["card_number"])

    async def balance(self, person: Person) -> int:
        balance: int = (await person.get(f"/transport-cards/{await self.card(person)}/balance")).json()["balance"]
        return balance

    async def charge(self, person: Person, amount: int = 2_000, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
        body = {"purpose": "transport_recharge", "amount": amount, "card_number": await self.card(person)} | more
        answer = await person.post("/payments/charges", body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def state(self, person: Person, charge: dict[str, Any]) -> str:
        state: str = (await person.get(f"/payments/charges/{charge['id']}")).json()["state"]
        return state

    async def received(self, e2eid: str) -> dict[str, Any]:
        answer = await self.app.person("payments:read").get(f"/payments/received/{e2eid}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def check_books(self) -> None:
        """Assert that the money at the provider, settled and waiting, is the same in the ledger and in our tables."""
        await self.poll()
        told = (await self.app.person("payments:read").get("/payments/account")).json()
        async with self.app.database.transaction() as tx:
            net, unplaced, asked, count = (await tx.execute(_SUMS)).one()
        async with self.app.database.transaction() as tx:
            assert (await ledger.reconcile(tx)).differences == []
        assert told == {"balance": net, "to_return": unplaced, "returning": asked}
        there = self.stand_in.account()
        assert (there["balance"], there["payments"]) == (net, count)


def txid(charge: dict[str, Any]) -> str:
    return UUID(charge["id"]).hex
