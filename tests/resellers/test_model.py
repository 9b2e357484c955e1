"""Random sequences of purchases against a plain model: after every step, every figure that a person sees."""

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest

from carteira.kit.values.clock import clock
from tests.support.app import RunningApp
from tests.support.resellers import APPROVED, PENDING, REJECTED, Buyer, new_operator, new_reseller, text

MONTHS = [date(2026, month, 1) for month in (4, 5, 6)]


def cashback_of(total: int) -> int:
    percentage = 10 if total <= 100_000 else 15 if total <= 150_000 else 20
    return int((Decimal(total) * percentage / 100).quantize(Decimal(1), ROUND_HALF_EVEN))


@dataclass
class Bought:
    amount: int
    month: date
    status: str
    spent: int


@dataclass
class Model:
    """The expected state."""

    purchases: dict[str, Bought] = field(default_factory=dict)
    closed: dict[date, int] = field(default_factory=dict)

    def total(self, month: date) -> int:
        return sum(one.amount for one in self.purchases.values() if one.month == month and one.status != REJECTED)

    @property
    def balance(self) -> int:
        return sum(self.closed.values()) - sum(one.spent for one in self.purchases.values())

    def is_pending(self, month: date) -> bool:
        return any(one.month == month and one.status == PENDING for one in self.purchases.values())


class Life:
    """One reseller with an operator, step by step."""

    def __init__(self, me: Buyer, operator: Buyer, chance: random.Random) -> None:
        self.me, self.operator, self.chance = me, operator, chance
        self.model = Model()

    def wish(self) -> tuple[int, date, int]:
        amount = self.chance.choice([1, 5, 15, 33_333, 49_999, 50_000, 50_001, self.chance.randint(1, 160_000)])
        month = self.chance.choice(MONTHS)
        spend = self.chance.choice([0, 0, 1, min(amount, 7_000), min(amount, max(self.model.balance, 0))])
        return amount, month, spend

    async def buy(self) -> None:
        amount, month, spend = self.wish()
        body = self.me.purchase(amount, month.replace(day=self.chance.randint(1, 28)), cashback_to_spend=spend)
        answer = await self.me.call("POST", "/purchases", json=body)
        expected = 409 if month in self.model.closed else 400 if spend > self.model.balance else 201
        assert answer.status_code == expected, answer.text
        if expected == 201:
            self.model.purchases[answer.json()["id"]] = Bought(amount, month, PENDING, spend)

    async def change(self) -> None:
        identifier, bought = self.pick()
        amount, month, spend = self.wish()
        answer = await self.me.call(
            "PUT", f"/purchases/{identifier}", json=self.me.purchase(amount, month, cashback_to_spend=spend)
        )
        if bought.status != PENDING or month in self.model.closed:
            expected = 409
        else:
            expected = 400 if spend > self.model.balance + bought.spent else 200
        assert answer.status_code == expected, answer.text
        if expected == 200:
            self.model.purchases[identifier] = Bought(amount, month, PENDING, spend)

    async def delete(self) -> None:
        identifier, bought = self.pick()
        answer = await self.me.call("DELETE", f"/purchases/{identifier}")
        assert answer.status_code == (204 if bought.status == PENDING else 409)
        if bought.status == PENDING:
            del self.model.purchases[identifier]

    async def decide(self) -> None:
        identifier, bought = self.pick()
        action, status = self.chance.choice([("approve", APPROVED), ("approve", APPROVED), ("reject", REJECTED)])
        answer = await self.operator.call("POST", f"/purchases/{identifier}/{action}")
        assert answer.status_code == (200 if bought.status == PENDING else 409)
        if bought.status == PENDING:
            bought.status = status
            bought.spent = 0 if status == REJECTED else bought.spent

    async def close(self) -> None:
        month = self.chance.choice(MONTHS)
        answer = await self.operator.call("POST", f"/cashback/months/{text(month)}/close")
        refused = month == MONTHS[-1] or self.model.is_pending(month)
        assert answer.status_code == (409 if refused else 200), answer.text
        if not refused:
            self.model.closed.setdefault(month, cashback_of(self.model.total(month)))

    def pick(self) -> tuple[str, Bought]:
        return self.chance.choice(list(self.model.purchases.items()))

    async def look(self) -> None:
        """Compare everything that the reseller sees with the model."""
        model = self.model
        assert await self.me.balance() == model.balance >= 0
        figures = {item["month"]: item for item in (await self.me.read("/cashback/months"))["items"]}
        for month in {one.month for one in model.purchases.values()}:
            seen = figures[text(month)]
            total = model.total(month)
            assert (seen["total"], seen["cashback_amount"]) == (total, cashback_of(total))
            assert seen["closed"] is (month in model.closed)
            items: list[dict[str, Any]] = (await self.me.read(f"/purchases?limit=100&month={text(month)}"))["items"]
            assert sum(item["cashback_amount"] for item in items) == cashback_of(total)
            for item in items:
                bought = model.purchases[item["id"]]
                assert (item["amount"], item["status"], item["cashback_spent"]) == (
                    bought.amount,
                    bought.status,
                    bought.spent,
                )


@pytest.mark.parametrize("seed", range(3))
async def test_a_run_matches_the_model(own_app: RunningApp, seed: int) -> None:
    clock.set(datetime(2026, 6, 28, 12, tzinfo=UTC))
    chance = random.Random(seed)
    life = Life(await new_reseller(own_app), new_operator(own_app), chance)
    await life.buy()
    for _ in range(60):
        steps = [life.buy, life.buy, life.close]
        if life.model.purchases:
            steps += [life.decide, life.decide, life.decide, life.change, life.delete]
        await chance.choice(steps)()
        await life.look()
    assert life.model.closed, "no month was closed: the test proves little"
