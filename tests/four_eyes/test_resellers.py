"""Purchases and the rules of cashback: nobody approves their own, and above a limit it takes two."""

from datetime import date
from typing import Any

import pytest
from sqlalchemy import text

from tests.four_eyes.world import DAILY, LIMIT, World, approve
from tests.support.people import Person, register
from tests.support.resellers import APPROVED, PENDING, Buyer, new_month, new_operator, new_reseller

DAY = date(2026, 5, 4)
BILLION = 10**12


async def purchase(world: World, amount: int, *, by: Buyer | None = None, reseller: Buyer | None = None) -> str:
    """Register a purchase, by its reseller unless told otherwise; return its id."""
    reseller = reseller or await new_reseller(world.app)
    bought = await (by or reseller).buy(amount, DAY, cpf=reseller.cpf)
    assert bought["status"] == PENDING
    return str(bought["id"])


async def status_of(world: World, purchase_id: str) -> str:
    answer = await new_operator(world.app).read(f"/purchases/{purchase_id}")
    return str(answer["status"])


async def decide(who: Person, purchase_id: str) -> Any:  # noqa: ANN401 - httpx's type
    return await who.post(f"/purchases/{purchase_id}/approve")


async def test_up_to_the_limit_one_operator_approves(world: World) -> None:
    bought = await purchase(world, LIMIT)
    answer = await decide(new_operator(world.app), bought)
    assert (answer.status_code, answer.json()["status"]) == (200, APPROVED)


async def test_above_the_limit_two_operators_approve(world: World) -> None:
    bought, maker = await purchase(world, LIMIT + 1), new_operator(world.app)
    answer = await decide(maker, bought)
    assert answer.status_code == 202
    operation = answer.json()["pending"]["id"]
    assert await status_of(world, bought) == PENDING
    assert (await approve(world.app.person("money:approve", user_id=maker.id), operation)).status_code == 403
    checker = world.checker()
    outcome = (await approve(checker, operation)).json()["outcome"]
    assert (outcome["status"], outcome["cpf"][:4]) == (APPROVED, "***.")
    assert await status_of(world, bought) == APPROVED
    async with world.app.database.transaction() as tx:
        query = text("SELECT decided_by FROM resellers_purchases WHERE id = :id")
        assert await tx.scalar(query, {"id": bought}) == checker.id
        query = text(
            "SELECT actor_id FROM audit_log WHERE action = 'purchase_approved' AND details->>'purchase_id' = :id"
        )
        assert await tx.scalar(query, {"id": bought}) == maker.id


@pytest.mark.parametrize("amount", [1, LIMIT, LIMIT + 1])
async def test_the_registrant_of_a_purchase_does_not_approve_it(world: World, amount: int) -> None:
    """The former attack: one operator registers a purchase of a billion for an accomplice and approves it."""
    operator = new_operator(world.app)
    bought = await purchase(world, amount, by=operator)
    answer = await decide(operator, bought)
    assert (answer.status_code, answer.json()["code"]) == (403, "own_operation")
    assert await status_of(world, bought) == PENDING
    other = await decide(new_operator(world.app), bought)
    if amount > LIMIT:
        operation = other.json()["pending"]["id"]
        theirs = world.app.person("*", user_id=operator.id)
        assert (await approve(theirs, operation)).json()["code"] == "own_operation"
        assert (await approve(world.checker(), operation)).status_code == 200
    assert await status_of(world, bought) == APPROVED


async def test_the_editor_of_a_purchase_does_not_approve_it(world: World) -> None:
    """Not even when somebody else has changed it after them."""
    first, second = new_operator(world.app), new_operator(world.app)
    reseller = await new_reseller(world.app)
    bought = await purchase(world, 5, reseller=reseller)
    for amount, who in ((LIMIT, first), (LIMIT - 1, second)):
        changed = await who.call("PUT", f"/purchases/{bought}", json=who.purchase(amount, DAY, cpf=reseller.cpf))
        assert changed.status_code == 200, changed.text
    for who in (first, second):
        assert (await decide(who, bought)).json()["code"] == "own_operation"
    assert (await decide(new_operator(world.app), bought)).status_code == 200


async def test_nobody_approves_their_own_purchase_by_user_or_by_cpf(world: World) -> None:
    reseller = await new_reseller(world.app, None, "purchases:approve")
    bought = await purchase(world, 5, by=new_operator(world.app), reseller=reseller)
    assert (await decide(reseller, bought)).json()["code"] == "own_operation"

    person = await register(world.app)
    namesake = await new_reseller(world.app, person.cpf)  # another user, who is a reseller under this CPF
    bought = await purchase(world, 5, by=new_operator(world.app), reseller=namesake)
    person.headers = world.app.bearer("purchases:approve", user_id=person.id)
    assert (await decide(person, bought)).json()["code"] == "own_operation"
    assert await status_of(world, bought) == PENDING


async def test_an_approval_of_a_rejected_purchase_fails(world: World) -> None:
    bought = await purchase(world, LIMIT + 1)
    operation = (await decide(new_operator(world.app), bought)).json()["pending"]["id"]
    assert (await new_operator(world.app).post(f"/purchases/{bought}/reject")).status_code == 200
    answer = await approve(world.checker(), operation)
    assert (answer.json()["code"], answer.json()["reason"]["code"]) == ("pending_failed", "purchase_decided")


async def test_an_operation_that_has_grown_meanwhile_fails(world: World) -> None:
    reseller = await new_reseller(world.app)
    bought = await purchase(world, LIMIT + 1, reseller=reseller)
    operation = (await decide(new_operator(world.app), bought)).json()["pending"]["id"]
    await reseller.call("PUT", f"/purchases/{bought}", json=reseller.purchase(LIMIT + 2, DAY))
    assert (await approve(world.checker(), operation)).json()["reason"]["code"] == "operation_changed"
    assert await status_of(world, bought) == PENDING


async def test_a_days_approvals_have_a_ceiling(world: World) -> None:
    operator = new_operator(world.app)
    too_much = await purchase(world, DAILY + 1)
    assert (await decide(operator, too_much)).json()["left"] == DAILY
    assert (await decide(operator, await purchase(world, DAILY))).status_code == 202
    assert (await decide(operator, await purchase(world, 1))).json()["left"] == 0


async def test_an_automatic_approval_takes_two_and_stops_at_the_limit(world: World) -> None:
    """Automatic approval has no end and works in advance: an operator who may grant it would pass every limit."""
    reseller, operator = await new_reseller(world.app), new_operator(world.app)
    answer = await operator.post("/cashback/auto-approvals", {"cpf": reseller.cpf, "valid_from": "2026-05"})
    assert answer.status_code == 202
    operation = answer.json()["pending"]["id"]
    seen = await operator.read(f"/pending/{operation}")
    assert seen["order"] == {
        "cpf": f"***.{reseller.cpf[3:6]}.{reseller.cpf[6:9]}-**",
        "valid_from": "2026-05",
        "valid_until": None,
    }
    assert seen["changes"] is None, "its maker decides nothing"
    checks = await world.checker().get(f"/pending/{operation}")
    assert checks.json()["changes"] == [], "there was none from this month on"
    assert (await reseller.buy(5, DAY))["status"] == PENDING
    theirs = world.app.person("money:approve", user_id=reseller.id)
    assert (await approve(theirs, operation)).json()["code"] == "own_operation"
    assert (await approve(world.checker(), operation)).status_code == 200
    assert (await reseller.buy(LIMIT, DAY))["status"] == APPROVED
    assert (await reseller.buy(LIMIT + 1, DAY))["status"] == PENDING
    lines = f"code,amount,date\nB-{reseller.cpf},{LIMIT},2026-05-04\nC-{reseller.cpf},{BILLION},2026-05-04\n"
    bulk = await reseller.submit("/purchases/bulk", content=lines, headers={"Content-Type": "text/csv"})
    assert [result["status"] for result in bulk["results"]] == [APPROVED, PENDING]


async def test_nobody_has_their_own_purchases_approved_automatically(world: World) -> None:
    me = await new_reseller(world.app, None, "purchases:approve")
    answer = await me.post("/cashback/auto-approvals", {"cpf": me.cpf, "valid_from": "2026-05"})
    assert (answer.status_code, answer.json()["code"]) == (403, "own_operation")


@pytest.mark.parametrize(("percentage", "status"), [(19, 200), (20, 200), (21, 202)])
async def test_tiers_above_the_limit_take_two(world: World, percentage: int, status: int) -> None:
    month, maker = f"2027-{percentage - 18:02}", new_operator(world.app)
    tiers = {"tiers": [{"above": 0, "percentage": 5}, {"above": 1_000, "percentage": percentage}]}
    answer = await maker.call("PUT", f"/cashback/tiers/{month}", json=tiers, headers={"Idempotency-Key": month})
    assert answer.status_code == status, answer.text
    tables = {table["valid_from"] for table in await maker.read("/cashback/tiers")}
    assert (month in tables) == (status == 200)
    if status == 202:
        again = await maker.call("PUT", f"/cashback/tiers/{month}", json=tiers, headers={"Idempotency-Key": month})
        assert again.json() == answer.json()
        operation = answer.json()["pending"]["id"]
        reseller = await new_reseller(world.app, None, "money:approve")
        assert (await approve(reseller, operation)).json()["code"] == "own_operation", "every reseller gains"
        assert (await approve(world.checker(), operation)).json()["outcome"]["tiers"][1]["percentage"] == percentage
        assert month in {table["valid_from"] for table in await maker.read("/cashback/tiers")}


async def test_deleting_a_tier_table_is_weighed_by_the_one_that_then_applies(world: World) -> None:
    maker, high, low = new_operator(world.app), "2026-08", "2026-09"
    operation = (
        await maker.call("PUT", f"/cashback/tiers/{high}", json={"tiers": [{"above": 0, "percentage": 50}]})
    ).json()["pending"]["id"]
    assert (await approve(world.checker(), operation)).status_code == 200
    assert (
        await maker.call("PUT", f"/cashback/tiers/{low}", json={"tiers": [{"above": 0, "percentage": 10}]})
    ).status_code == 200
    answer = await maker.call("DELETE", f"/cashback/tiers/{low}")
    assert answer.status_code == 202
    assert low in {table["valid_from"] for table in await maker.read("/cashback/tiers")}
    assert (await approve(world.checker(), answer.json()["pending"]["id"])).status_code == 200
    assert low not in {table["valid_from"] for table in await maker.read("/cashback/tiers")}
    gone = await maker.call("DELETE", f"/cashback/tiers/{high}")
    assert (gone.status_code, gone.content) == (204, b"")


async def test_a_correction_of_a_closed_month_above_the_limit_takes_two(world: World) -> None:
    reseller, maker, checker = await new_reseller(world.app), new_operator(world.app), world.checker()
    month = new_month()
    bought = await reseller.buy(10 * LIMIT, month)
    await approve(checker, (await decide(maker, bought["id"])).json()["pending"]["id"])
    await maker.submit(f"/cashback/months/{month:%Y-%m}/close")

    async def correct(amount: int) -> Any:  # noqa: ANN401 - httpx's type
        body = {"cpf": reseller.cpf, "month": f"{month:%Y-%m}", "amount": amount, "reason": "Nota errada"}
        return await maker.post("/cashback/adjustments", body)

    assert (await correct(LIMIT)).status_code == 201
    waits = await correct(LIMIT + 1)
    assert waits.status_code == 202
    assert len((await reseller.read("/cashback/adjustments"))["items"]) == 1
    theirs = world.app.person("*", user_id=reseller.id)
    operation = waits.json()["pending"]["id"]
    assert (await approve(theirs, operation)).json()["code"] == "own_operation"
    assert (await approve(checker, operation)).json()["outcome"]["amount"] == LIMIT + 1
    taken_back = await correct(-LIMIT)
    assert taken_back.status_code == 201
    undone = await maker.post(f"/cashback/adjustments/{taken_back.json()['id']}/undo")
    assert undone.status_code == 200, "it moves no more than the limit"
    assert (await correct(BILLION)).json()["code"] == "daily_ceiling_reached"


@pytest.mark.parametrize("amount", [LIMIT + 1, -LIMIT - 1])
async def test_undoing_an_adjustment_above_the_limit_needs_two(world: World, amount: int) -> None:
    """One person alone does not undo what two agreed on, whether the reseller gains or loses by it."""
    reseller, month = await new_reseller(world.app), new_month()
    for _ in range(2):
        bought = await reseller.buy(10 * LIMIT, month)
        waits = await decide(new_operator(world.app), bought["id"])
        await approve(world.checker(), waits.json()["pending"]["id"])
    await new_operator(world.app).submit(f"/cashback/months/{month:%Y-%m}/close")
    body = {"cpf": reseller.cpf, "month": f"{month:%Y-%m}", "amount": amount, "reason": "Nota errada"}
    waits = await new_operator(world.app).post("/cashback/adjustments", body)
    booked = (await approve(world.checker(), waits.json()["pending"]["id"])).json()["outcome"]
    maker = new_operator(world.app)
    undoing = await maker.post(f"/cashback/adjustments/{booked['id']}/undo")
    assert undoing.status_code == 202, undoing.text
    assert (await reseller.read("/cashback/adjustments"))["items"][0]["status"] == "waiting"
    operation = undoing.json()["pending"]["id"]
    assert (await world.pending(maker, operation))["amount"] == LIMIT + 1
    assert (await approve(world.checker(), operation)).json()["outcome"]["status"] == "undone"
