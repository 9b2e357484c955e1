"""A session that ends during its request, or before it, moves no money on any route, and makes nothing."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from carteira import demo
from carteira.embedded import Endpoints
from carteira.modules import OPTIONAL_MODULES
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.contract import openapi_document
from tests.support.databases import NewDatabase
from tests.support.marks import meanwhile
from tests.support.money_moves import MODULES, MONEY_MOVES, MOVES_NOTHING, SELDOM, MoneyMove
from tests.support.people import register, sign_in
from tests.support.things import PathIds, make_one_of_each, sign_in_demo


@pytest.fixture(scope="module")
async def apps(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[RunningApp, RunningApp]]:
    """Two processes of one installation."""
    url, home = new_database("ended"), Path(tmp_path_factory.mktemp("ended"))
    await demo.seed(url, OPTIONAL_MODULES)
    settings = settings_for(
        home, database_url=url, redis_url=endpoints.redis_url, aws_endpoint_url=endpoints.aws_endpoint_url
    )
    async with running_app(settings) as here, running_app(settings) as there:
        yield here, there


@pytest.fixture(scope="module")
async def things(apps: tuple[RunningApp, RunningApp]) -> PathIds:
    here, _ = apps
    return await make_one_of_each(here, await sign_in_demo(here, demo.PEOPLE[0]))


async def entries(app: RunningApp) -> int:
    async with app.database.transaction() as tx:
        return await tx.scalar(text("SELECT count(*) FROM ledger_entries")) or 0


@pytest.mark.parametrize("move", MONEY_MOVES, ids=lambda move: move.route)
async def test_erased_people_move_nothing(
    apps: tuple[RunningApp, RunningApp], things: PathIds, move: MoneyMove
) -> None:
    here, there = apps
    who = await sign_in_demo(here, demo.PEOPLE[1 if move.by_operator else 0])
    worked = await move.ask(who, await move.renew(here, things))
    assert worked.is_success, "it works before, and the standing is cached"
    things = await move.renew(here, things)
    before = await entries(here)

    async def end() -> None:
        assert (await there.client.delete("/auth/sessions", headers=who.headers)).status_code == 204

    async with meanwhile(here, end):
        answer = await move.ask(who, things)
    assert answer.status_code == 401, answer.text
    assert await entries(here) == before


MINE = "/transactions/authorizer", "/payments/provider"
"""Routes of the card processor and of the payment provider: their callers have no session."""
OTHERS = sorted(route for route in {*SELDOM, *MOVES_NOTHING} if not route.partition(" ")[2].startswith(MINE))


@pytest.mark.parametrize("routes", [OTHERS[place::4] for place in range(4)], ids=lambda routes: routes[0])
async def test_ended_sessions_change_nothing_by_any_other_route(
    apps: tuple[RunningApp, RunningApp], things: PathIds, routes: list[str]
) -> None:
    """Whatever else is wrong with the request, the route first refuses that nobody is signed in."""
    here, there = apps
    known = things | {"tap_id": things["entry_id"], "adjustment_id": things["entry_id"], "e2eid": "E1"}
    known |= {"scheduled_id": things["entry_id"]}
    before = await entries(here)
    for route in routes:
        who = await sign_in_demo(here, demo.PEOPLE[1])
        assert (await who.get("/users/me")).status_code == 200, "the standing is cached"
        method, path = route.split(" ")
        async with meanwhile(here, partial(there.client.delete, "/auth/sessions", headers=who.headers)):
            answer = await who.call(method, path.format(**known), json={}, headers={"Idempotency-Key": str(uuid4())})
        assert answer.status_code == 401, f"{route}: {answer.text}"
    assert await entries(here) == before


def test_every_route_that_moves_money_is_known() -> None:
    known = {move.route for move in MONEY_MOVES} | SELDOM.keys() | MOVES_NOTHING
    there = {
        f"{method.upper()} {path}"
        for path, operations in openapi_document()["paths"].items()
        for method, operation in operations.items()
        if method != "get" and MODULES.intersection(operation["tags"])
    }
    assert known == there


async def test_erased_people_get_no_first_card(apps: tuple[RunningApp, RunningApp]) -> None:
    """Reading cards creates the first one; an erased person's card would never be removed."""
    here, _ = apps
    who = await sign_in(await register(here))
    assert (await who.get("/users/me")).status_code == 200, "the standing is cached"
    assert (await who.call("DELETE", f"/users/{who.id}")).status_code == 204
    assert (await who.get("/transport-cards")).status_code == 401
    async with here.database.transaction() as tx:
        made = text("SELECT count(*) FROM transport_cards WHERE user_id = :who")
        assert await tx.scalar(made, {"who": who.id}) == 0
