"""The rules of the PAT, each by its article (`carteira.benefits.pat.PatRule`)."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from carteira.benefits.pat import BLOCK_REASONS, FIXED_REGIMES, PAT, PatRule
from tests.support.app import RunningApp
from tests.support.benefits import (
    AUTHORIZER,
    FOOD,
    MEAL,
    OTHER,
    benefit_balances,
    open_benefit_account,
    purchase,
)
from tests.support.people import Person

Headers = dict[str, str]
_LEFT = text("""
    SELECT DISTINCT entry.kind FROM benefits_categories category
    JOIN ledger_accounts account ON account.kind = 'benefits.' || category.name
    JOIN ledger_postings posting ON posting.account_id = account.id AND posting.amount < 0
    JOIN ledger_entries entry ON entry.id = posting.entry_id AND entry.reverses_id IS NULL
    WHERE category.regime = 'pat'
""")
"""The kinds of entries by which money has left the PAT's categories."""


async def buy(app: RunningApp, processor: Headers, account: str, reais: str, mcc: str) -> str:
    answer = await app.client.post(AUTHORIZER, content=purchase(account, reais, mcc), headers=processor)
    code: str = answer.json()["code"]
    return code


async def test_food_money_buys_food_only(app: RunningApp, operator: Person, processor: Headers) -> None:
    assert "174, I, b" in PatRule.FOOD_ONLY
    account = await open_benefit_account(operator, FOOD=1_000, MEAL=1_000)
    assert await buy(app, processor, account, "1.00", OTHER) == "51"
    assert await buy(app, processor, account, "15.00", FOOD) == "51", "the other category does not pay"
    assert await buy(app, processor, account, "1.00", FOOD) == "00"
    assert await buy(app, processor, account, "2.00", MEAL) == "00"
    assert (await benefit_balances(operator, account)).items() >= {"CASH": 0, "FOOD": 900, "MEAL": 800}.items()


async def test_money_leaves_food_by_purchases_alone(
    app: RunningApp, operator: Person, processor: Headers, tx: AsyncSession
) -> None:
    assert [str(PatRule.NO_WITHDRAWAL), str(PatRule.NO_TRANSFER)] == [
        "Decreto 10.854/2021, art. 174, II, a",
        "Decreto 10.854/2021, art. 174, II, b",
    ]
    account = await open_benefit_account(operator, FOOD=1_000)
    assert await buy(app, processor, account, "1.00", FOOD) == "00"
    bought = (await operator.get(f"/transactions?account={account}")).json()["items"][0]["id"]
    assert (await operator.post(f"/transactions/{bought}/refund", {"amount": 50})).status_code == 201
    assert set(await tx.scalars(_LEFT)) <= {"benefits.purchase"}
    routes = {route for route in app.api.openapi()["paths"] if route.startswith("/benefits/accounts/{account}")}
    assert not [route for route in routes if any(word in route for word in ("withdraw", "transfer", "debit"))]


@pytest.mark.parametrize("category", sorted(FIXED_REGIMES))
async def test_the_law_s_categories_keep_their_regime(operator: Person, category: str) -> None:
    other = "free" if FIXED_REGIMES[category] == PAT else "pat"
    refused = await operator.call("PUT", f"/benefits/categories/{category}", json={"mccs": [], "regime": other})
    assert (refused.status_code, refused.json()["code"]) == (409, "category_regime_fixed")


async def test_food_money_is_given_no_cashback(operator: Person) -> None:
    assert "175-A" in PatRule.NO_CASHBACK
    account = await open_benefit_account(operator, FOOD=1_000)
    lines = (await operator.get(f"/benefits/accounts/{account}/statement")).json()["items"]
    assert {line["kind"] for line in lines} == {"benefits.credit"}


async def test_after_dismissal_all_of_it_is_spent(app: RunningApp, operator: Person, processor: Headers) -> None:
    assert str(PatRule.AFTER_DISMISSAL) == "Decreto 10.854/2021, art. 174, III"
    account = await open_benefit_account(operator, FOOD=1_000, MEAL=500)
    assert "dismissed" not in BLOCK_REASONS
    refused = await operator.post(f"/benefits/accounts/{account}/block", {"reason": "dismissed"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "reason")
    closed = await operator.post(f"/benefits/accounts/{account}/close")
    assert (closed.status_code, closed.json()["code"]) == (409, "balance_left")
    assert await buy(app, processor, account, "10.00", FOOD) == "00"
    assert await buy(app, processor, account, "5.00", MEAL) == "00"
    assert (await operator.post(f"/benefits/accounts/{account}/close")).status_code == 200
