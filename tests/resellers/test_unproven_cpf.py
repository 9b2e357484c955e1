"""With `UNPROVEN_CPF=refuse` an unproven CPF earns nothing from outside, and nothing is lost."""

from collections.abc import AsyncIterator
from datetime import date
from uuid import UUID

import pytest
from sqlalchemy import text as sql

from carteira.resellers.sandbox import Sandbox
from carteira.settings import Settings
from tests.support.app import RunningApp, running_app
from tests.support.people import new_person
from tests.support.resellers import APPROVED, PENDING, Buyer, new_month, new_operator, text


@pytest.fixture
async def strict_app(settings: Settings) -> AsyncIterator[RunningApp]:
    async with running_app(settings.model_copy(update={"unproven_cpf": "refuse"})) as app:
        yield app


def new_reseller_body(cpf: str | None = None) -> dict[str, str]:
    """Return the body of a reseller's registration."""
    body = {name: value for name, value in new_person().items() if name not in {"birth_date", "phone"}}
    return body | ({"cpf": cpf} if cpf else {})


async def registered(app: RunningApp) -> Buyer:
    """A reseller with a CPF that nobody has proven."""
    body = new_reseller_body()
    answer = await app.client.post("/resellers", json=body)
    assert answer.status_code == 201, answer.text
    user_id = UUID(answer.json()["user_id"])
    return Buyer(app.client, user_id, app.bearer("reseller", user_id=user_id), body["cpf"], body["email"])


async def prove(app: RunningApp, person: Buyer) -> None:
    answer = await app.person("identity:prove").post(
        f"/users/{person.id}/cpf-proof", {"cpf": person.cpf, "paper": "cnh"}
    )
    assert answer.status_code == 200, answer.text


async def approve_automatically(app: RunningApp, person: Buyer, month: date) -> None:
    await new_operator(app).submit("/cashback/auto-approvals", json={"cpf": person.cpf, "valid_from": text(month)})


async def test_an_automatic_approval_waits_for_the_proof(strict_app: RunningApp) -> None:
    me, month = await registered(strict_app), new_month()
    await approve_automatically(strict_app, me, month)
    assert (await me.buy(1_000, month))["status"] == PENDING
    lines = f"code,amount,date\nb-{me.cpf},1000,{month}\n"
    csv = {"content": lines, "headers": {"Content-Type": "text/csv"}}
    assert (await me.submit("/purchases/bulk", **csv))["results"][0]["status"] == PENDING
    await prove(strict_app, me)
    assert (await me.buy(1_000, month))["status"] == APPROVED


async def test_an_operator_enters_no_purchase_for_an_unproven_cpf(strict_app: RunningApp) -> None:
    me, month, operator = await registered(strict_app), new_month(), new_operator(strict_app)
    refused = await operator.post("/purchases", operator.purchase(1_000, month, cpf=me.cpf))
    assert (refused.status_code, refused.json()["code"]) == (403, "cpf_not_proven")
    assert "gov.br" in refused.json()["detail"]
    assert refused.json()["ways"] == ["govbr", "operator"]
    csv = {
        "content": f"code,amount,date,cpf\nc-{me.cpf},1000,{month},{me.cpf}\n",
        "headers": {"Content-Type": "text/csv"},
    }
    (line,) = (await operator.submit("/purchases/bulk", **csv))["results"]
    assert (line["result"], line["error"]) == ("failed", "cpf_not_proven")
    assert (await me.read("/purchases"))["items"] == []
    await prove(strict_app, me)
    assert (await operator.buy(1_000, month, cpf=me.cpf))["status"] == PENDING


async def test_accumulated_cashback_needs_a_proven_cpf(strict_app: RunningApp, sandbox: Sandbox) -> None:
    me = await registered(strict_app)
    refused = await me.get("/cashback/accumulated")
    assert (refused.status_code, refused.json()["code"]) == (403, "cpf_not_proven")
    assert (await me.get("/cashback/accumulated", cpf=me.cpf)).status_code == 403
    assert sandbox.requests.total() == 0, "the service was not called"
    await prove(strict_app, me)
    assert (await me.read("/cashback/accumulated"))["cpf"] == me.cpf


async def test_development_lets_a_typed_cpf_earn(app: RunningApp, sandbox: Sandbox) -> None:
    me, month = await registered(app), new_month()
    await approve_automatically(app, me, month)
    assert (await me.buy(1_000, month))["status"] == APPROVED
    assert (await me.read("/cashback/accumulated"))["cpf"] == me.cpf
    assert sandbox.requests.total() == 1


async def test_an_operators_approval_of_a_cpf_follows_its_proven_person_only(app: RunningApp) -> None:
    me, month, operator = await registered(app), new_month(), new_operator(app)
    await approve_automatically(app, me, month)
    assert (await app.client.delete(f"/users/{me.id}", headers=me.headers)).status_code == 204
    assert me.cpf in [approval["cpf"] for approval in await operator.read("/cashback/auto-approvals")]
    answer = await app.client.post("/resellers", json=new_reseller_body(me.cpf))
    back = Buyer(app.client, UUID(answer.json()["user_id"]), {}, me.cpf)
    await prove(app, back)
    erased = await app.client.delete(f"/users/{back.id}", headers=app.bearer(user_id=back.id))
    assert erased.status_code == 204
    assert me.cpf not in [approval["cpf"] for approval in await operator.read("/cashback/auto-approvals")]


def test_production_refuses_unproven_cpfs_by_default(settings: Settings) -> None:
    assert settings.unproven_cpf_policy == "allow"
    production = settings.model_copy(update={"environment": "production"})
    assert production.unproven_cpf_policy == "refuse"
    assert production.model_copy(update={"unproven_cpf": "allow"}).unproven_cpf_policy == "allow"


async def test_a_reseller_whose_cpf_changed_long_ago_is_not_in_the_way(app: RunningApp) -> None:
    behind, rightful = await registered(app), await registered(app)
    async with app.database.transaction() as tx:  # as older releases left it, which followed no change of a CPF
        await tx.execute(sql("UPDATE users SET cpf = NULL WHERE id = :id"), {"id": behind.id})
    rightful.cpf = behind.cpf
    await prove(app, rightful)
    assert (await rightful.buy(1_000, new_month()))["cpf"] == behind.cpf


async def test_a_proven_cpf_moves_and_the_former_reseller_keeps_their_earnings(app: RunningApp) -> None:
    squatter, month = await registered(app), new_month()
    bought = await squatter.buy(1_000, month)
    await new_operator(app).submit(f"/purchases/{bought['id']}/approve")
    await new_operator(app).submit(f"/cashback/months/{text(month)}/close")
    assert await squatter.balance() == 100
    rightful = await registered(app)
    rightful.cpf = squatter.cpf
    await prove(app, rightful)
    assert await squatter.balance() == 100
    assert [item["cpf"] for item in (await squatter.read("/purchases"))["items"]] == ["***.***.***-**"]
    refused = await squatter.post("/purchases", squatter.purchase(1, month))
    assert (refused.status_code, refused.json()["code"]) == (409, "no_cpf")
    assert (await squatter.get("/cashback/accumulated")).json()["code"] == "no_cpf"
    assert (await rightful.buy(1_000, date(2026, 6, 1)))["cpf"] == squatter.cpf
    listed = (await new_operator(app).read(f"/purchases?cpf={rightful.cpf}"))["items"]
    assert len(listed) == 1, "only what the CPF's owner bought"
