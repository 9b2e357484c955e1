"""Cashback pays for a purchase, and is returned once, whatever becomes of the purchase."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.support.app import RunningApp
from tests.support.resellers import Buyer, buyer, earn_cashback, new_month, new_operator, new_reseller


async def amounts(person: Buyer) -> list[int]:
    return [line["amount"] for line in (await person.read("/cashback/statement"))["items"]]


@pytest.fixture
async def rich(app: RunningApp) -> Buyer:
    """A reseller with R$ 50,00 of cashback."""
    person = await new_reseller(app)
    await earn_cashback(app, person, 5_000)
    return person


async def test_cashback_pays_for_the_next_purchase(app: RunningApp, rich: Buyer) -> None:
    month = new_month()
    bought = await rich.buy(8_000, month, cashback_to_spend=3_000)
    assert (bought["cashback_spent"], await rich.balance()) == (3_000, 2_000)
    assert await amounts(rich) == [-3_000, 5_000]
    item = await rich.read(f"/purchases/{bought['id']}")
    assert (item["cashback_spent"], item["cashback_amount"]) == (3_000, 800)  # earned on the whole amount
    body = rich.purchase(8_000, month, cashback_to_spend=2_001)
    short = await rich.call("POST", "/purchases", json=body)
    assert (short.status_code, short.json()["code"]) == (400, "insufficient_funds")
    assert short.json()["detail"] == "Saldo de cashback insuficiente: faltam R$ 0,01."
    assert (await rich.call("POST", "/purchases", json=body | {"cashback_to_spend": 2_000})).status_code == 201
    await new_operator(app).submit(f"/purchases/{bought['id']}/approve")
    assert await rich.balance() == 0


async def test_a_refused_spend_is_refused_again_under_its_key(rich: Buyer) -> None:
    body, key = rich.purchase(9_000, new_month(), cashback_to_spend=5_001), {"Idempotency-Key": str(uuid4())}
    answers = [await rich.call("POST", "/purchases", json=body, headers=key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [400, 400]
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert len((await rich.read("/purchases"))["items"]) == 1


async def test_spent_cashback_comes_back_when_the_purchase_is_deleted_or_rejected(app: RunningApp, rich: Buyer) -> None:
    month = new_month()
    deleted = await rich.buy(5_000, month, cashback_to_spend=1_000)
    rejected = await rich.buy(5_000, month, cashback_to_spend=2_000)
    assert await rich.balance() == 2_000
    assert (await rich.call("DELETE", f"/purchases/{deleted['id']}")).status_code == 204
    assert await rich.balance() == 3_000
    again = await new_operator(app).submit(f"/purchases/{rejected['id']}/reject")
    assert (again["cashback_spent"], await rich.balance()) == (0, 5_000)
    assert await amounts(rich) == [2_000, 1_000, -2_000, -1_000, 5_000]


async def test_editing_changes_keeps_or_returns_the_spent_cashback(rich: Buyer) -> None:
    month = new_month()
    bought = await rich.buy(5_000, month, cashback_to_spend=1_000)
    path = f"/purchases/{bought['id']}"

    async def put(amount: int, **more: object) -> int:
        return (await rich.call("PUT", path, json=rich.purchase(amount, month + timedelta(days=1), **more))).status_code

    for amount, more, status, balance in [
        (4_000, {}, 200, 4_000),  # kept
        (999, {}, 422, 4_000),  # less than was paid with cashback
        (4_000, {"cashback_to_spend": 4_000}, 200, 1_000),
        (5_001, {"cashback_to_spend": 5_001}, 400, 1_000),  # what is returned is not enough
        (4_000, {"cashback_to_spend": 4_001}, 422, 1_000),
        (5_000, {"cashback_to_spend": 5_000}, 200, 0),  # with what is returned
        (700, {"cashback_to_spend": 700}, 200, 4_300),
        (700, {"cashback_to_spend": 0}, 200, 5_000),
        (1, {}, 200, 5_000),
    ]:
        assert await put(amount, **more) == status, (amount, more)
        assert await rich.balance() == balance, (amount, more)


async def test_many_purchases_at_once_never_spend_the_same_centavo(rich: Buyer) -> None:
    month = new_month()
    posts = [
        rich.call("POST", "/purchases", json=rich.purchase(5_000, month, cashback_to_spend=1_000)) for _ in range(20)
    ]
    answers = await asyncio.gather(*posts)
    assert sorted(answer.status_code for answer in answers) == [201] * 5 + [400] * 15
    assert await rich.balance() == 0


async def test_deleting_rejecting_and_editing_at_once_give_back_once(app: RunningApp, rich: Buyer) -> None:
    operator, month = new_operator(app), new_month()
    bought = await rich.buy(5_000, month, cashback_to_spend=5_000)
    path = f"/purchases/{bought['id']}"
    body = rich.purchase(5_000, month, code=bought["code"], cashback_to_spend=0)
    answers = await asyncio.gather(
        *(rich.call("DELETE", path) for _ in range(3)),
        *(operator.call("POST", f"{path}/reject") for _ in range(3)),
        *(rich.call("PUT", path, json=body) for _ in range(3)),
    )
    assert {answer.status_code for answer in answers} <= {200, 204, 404, 409}
    assert (await rich.balance(), await amounts(rich)) == (5_000, [5_000, -5_000, 5_000])


async def test_the_ledger_does_not_reverse_a_purchases_payment(app: RunningApp, rich: Buyer) -> None:
    bought = await rich.buy(5_000, new_month(), cashback_to_spend=1_000)
    entry = (await rich.read("/cashback/statement"))["items"][0]["entry_id"]
    reverser = buyer(app, "ledger:write")
    response = await reverser.call("POST", f"/ledger/entries/{entry}/reversal")
    assert (response.status_code, response.json()["code"]) == (409, "spent_on_purchase")
    await rich.call("DELETE", f"/purchases/{bought['id']}")
    assert (await reverser.call("POST", f"/ledger/entries/{entry}/reversal")).status_code == 409
    assert await rich.balance() == 5_000


async def test_the_statement_pages(rich: Buyer) -> None:
    month = new_month()
    for _ in range(4):
        await rich.buy(100, month, cashback_to_spend=100)
    seen, cursor = [], ""
    while True:
        page = await rich.read(f"/cashback/statement?limit=2{cursor}")
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert [line["balance_after"] for line in seen] == [4_600, 4_700, 4_800, 4_900, 5_000]
