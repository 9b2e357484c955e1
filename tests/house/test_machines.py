"""A client without claims reaches no route: what needs no claim is a person's own."""

import re
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from carteira.embedded import Endpoints
from carteira.kit.web.access import Public
from carteira.web.routing import PageRoute
from tests.house.test_routes import accesses, routes_of
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.databases import NewDatabase
from tests.support.machines import new_acting
from tests.support.people import Person

EVERYBODYS = {("GET", "/pending"), ("GET", "/cashback/tiers"), ("GET", "/payments/charges")}
"""What anybody who is signed in may read: operations that they proposed, the tiers, and their own charges."""


@pytest.fixture(scope="module")
async def app(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningApp]:
    settings = settings_for(
        tmp_path_factory.mktemp("machines"),
        database_url=new_database("machines"),
        redis_url=endpoints.redis_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
        credit_table="machines",
        assistant_vectors=False,
    )
    async with running_app(settings) as running:
        yield running


@pytest.fixture(scope="module")
async def machine(app: RunningApp) -> Person:
    return await new_acting(app.operator())


async def test_without_a_claim_a_client_gets_nowhere(app: RunningApp, machine: Person) -> None:
    answers: dict[tuple[str, str], tuple[int, str | None]] = {}
    for route in routes_of(app.application):
        if any(isinstance(access, Public) for access in accesses(route.dependant)):
            continue
        path = re.sub(r"\{cpf\}", "52998224725", route.path or "")
        path = re.sub(r"\{card_number\}", "6061450000000006", path)
        path = re.sub(r"\{[^}]+\}", str(uuid4()), path)
        for method in route.methods or ():
            answer = await machine.call(method, path)
            if isinstance(route.original_route, PageRoute):
                assert answer.status_code in {303, 403}, f"{method} {path}: a page takes a cookie, not a token"
                continue
            code = answer.json()["code"] if answer.status_code >= 400 else None
            answers[method, route.path or ""] = (answer.status_code, code)
    assert len(answers) > 100
    assert {asked for asked, told in answers.items() if told[0] == 200} == EVERYBODYS
    wrong = {asked: told for asked, told in answers.items() if told[0] not in {200, 400, 403, 404, 409, 415, 422}}
    assert not wrong
    assert sum(code == "person_required" for _, code in answers.values()) >= 20
