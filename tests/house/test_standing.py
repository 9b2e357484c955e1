"""Every route is called with a session that lacks the second factor, and with a suspended person's session."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from carteira import demo
from carteira.cli import tokens
from carteira.demo_people import Demo
from carteira.kit.web.access import Claims, Public, StepUp
from carteira.modules import OPTIONAL_MODULES
from carteira.web.routing import PageRoute
from tests.house.test_routes import accesses, routes_of
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.databases import NewDatabase
from tests.support.people import Person

SELF_SERVICE = {"reseller"}
GRANTS = {
    ("DELETE", "/roles/{role_id}"),
    ("PATCH", "/roles/{role_id}"),
    ("POST", "/roles"),
    ("PUT", "/roles/{role_id}/claims"),
    ("PATCH", "/claims/{claim_id}"),
    ("POST", "/claims"),
    ("DELETE", "/users/{user_id}/claims"),
    ("DELETE", "/users/{user_id}/claims/{claim_id}"),
    ("PUT", "/users/{user_id}/claims"),
    ("PUT", "/users/{user_id}/claims/{claim_id}"),
    ("PUT", "/users/{user_id}/role"),
    ("GET", "/users/export"),
    ("POST", "/pending/{operation_id}/approve"),
    ("POST", "/users/{user_id}/second-factor/reset"),
    ("POST", "/users/{user_id}/cpf-proof"),
    ("DELETE", "/users/{user_id}/cpf-proof"),
    ("POST", "/users/cpf-disputes/{dispute_id}/close"),
    ("PUT", "/benefits/employers/{employer_id}/members/{member_id}"),
    ("DELETE", "/benefits/employers/{employer_id}/members/{member_id}"),
}
"""Routes that a stolen session must not use: grants, exports, approvals, proofs of a CPF, binding to employers."""
GRANTING = ("/roles", "/claims", "/users/{user_id}/role", "/users/{user_id}/claims")
PURCHASE = {
    "account": "123",
    "totalAmount": 1.00,
    "mcc": "5811",
    "merchant": "PADARIA DO ZE               SAO PAULO BR",
}


@pytest.fixture
async def app(new_database: NewDatabase, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[RunningApp]:
    url = new_database("standing")
    await demo.seed(url, OPTIONAL_MODULES)
    required: str = getattr(request, "param", "off")
    async with running_app(settings_for(tmp_path, database_url=url, operators_second_factor=required)) as app:
        yield app


async def sign_in(app: RunningApp, who: Demo) -> Person:
    form = {"username": who.person.email, "password": demo.PASSWORD}
    answer = await app.client.post("/auth/login", data=form)
    assert answer.status_code == 200, answer.text
    return Person(app.client, who.id, {"Authorization": f"Bearer {answer.json()['access_token']}"})


def filled(path: str) -> str:
    return re.sub(r"\{[^}]+\}", lambda _: str(uuid4()), path)


@pytest.mark.parametrize("app", ["required"], indirect=True)
async def test_each_claim_waits_for_the_second_factor(app: RunningApp) -> None:
    """The administrator holds every claim, so each refusal is due to the missing factor alone."""
    administrator = await sign_in(app, demo.PEOPLE[1])
    tried = 0
    for route in routes_of(app.application):
        demanded = {
            claim for access in accesses(route.dependant) if isinstance(access, Claims) for claim in access.claims
        }
        if not demanded - SELF_SERVICE or isinstance(route.original_route, PageRoute):
            continue
        for method in route.methods or ():
            answer = await administrator.call(method, filled(route.path or ""))
            assert (answer.status_code, answer.json()["code"]) == (403, "second_factor_required"), (method, route.path)
            assert answer.json()["enrol_at"] == "/auth/totp"
            tried += 1
    assert tried >= 50
    for path in ("/benefits/accounts/123", f"/users/{demo.PERSON_ID}", "/transactions/simulate"):
        method = "POST" if path.endswith("simulate") else "GET"
        answer = await administrator.call(method, path, json=PURCHASE if method == "POST" else None)
        assert answer.json()["code"] == "second_factor_required", (
            "a verb that checks a claim refuses with the same problem"
        )


async def test_where_it_is_off_no_claim_waits(app: RunningApp) -> None:
    administrator = await sign_in(app, demo.PEOPLE[1])
    assert (await administrator.get("/users")).status_code == 200
    assert (await administrator.get("/ledger/reconciliation")).status_code == 200


async def test_grants_exports_and_approvals_ask_for_step_up(app: RunningApp) -> None:
    asking = {
        (method, route.path)
        for route in routes_of(app.application)
        if any(isinstance(inner.call, StepUp) for inner in route.dependant.dependencies)
        for method in route.methods or ()
    }
    assert asking >= GRANTS
    granting = {
        (method, path)
        for route in routes_of(app.application)
        for method in (route.methods or set()) - {"GET"}
        if (path := route.path or "").startswith(
            ("/roles", "/claims", "/users/{user_id}/role", "/users/{user_id}/claims")
        )
    }
    assert granting <= asking, "a new route that grants must require it, too"


async def entries(app: RunningApp) -> int:
    async with app.database.transaction() as tx:
        return await tx.scalar(text("SELECT count(*) FROM ledger_entries")) or 0


async def test_a_suspended_session_moves_nothing_and_its_persons_cards_continue(app: RunningApp) -> None:
    maria, administrator = await sign_in(app, demo.PEOPLE[0]), await sign_in(app, demo.PEOPLE[1])
    (card,) = (await maria.get("/transport-cards")).json()["items"]
    recharge = f"/transport-cards/{card['card_number']}/recharge"
    assert (await maria.post(recharge, {"amount": 100})).status_code == 200, "it works before"
    answer = await administrator.call("PUT", f"/users/{maria.id}/suspension", json={"reason": "suspected_fraud"})
    assert answer.status_code == 200
    before, tried = await entries(app), 0
    assert (await maria.post(recharge, {"amount": 100})).status_code == 401
    for route in routes_of(app.application):
        if any(isinstance(access, Public) for access in accesses(route.dependant)):
            continue
        for method in route.methods or ():
            body = {"amount": 100} if method in {"POST", "PUT", "PATCH"} else None
            gone = await maria.call(method, filled(route.path or ""), json=body)
            told = {303, 403} if isinstance(route.original_route, PageRoute) else {401}  # a page takes a cookie
            assert gone.status_code in told, (method, route.path)
            tried += 1
    assert tried >= 100
    assert await entries(app) == before
    processor = tokens.processor(app.settings, tokens.TTL)
    bought = await app.client.post(
        "/transactions/authorizer",
        headers={"Authorization": f"Bearer {processor}"},
        json={
            "account": "123",
            "totalAmount": 1.00,
            "mcc": "5811",
            "merchant": "PADARIA DO ZE               SAO PAULO BR",
        },
    )
    assert bought.json()["code"] == "00", "purchases with benefit cards go on"
    assert await entries(app) == before + 1
