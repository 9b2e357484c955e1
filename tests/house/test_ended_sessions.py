"""A session that ends during its request, or before it, moves no money on any route, and makes nothing."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from carteira import demo
from carteira.embedded import Endpoints
from carteira.modules import OPTIONAL_MODULES
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.databases import NewDatabase
from tests.support.marks import meanwhile
from tests.support.money_moves import MONEY_MOVES, MoneyMove
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
    assert (await move.ask(who, things)).is_success, "it works before, and the standing is cached"
    before = await entries(here)

    async def end() -> None:
        assert (await there.client.delete("/auth/sessions", headers=who.headers)).status_code == 204

    async with meanwhile(here, end):
        answer = await move.ask(who, things)
    assert answer.status_code == 401, answer.text
    assert await entries(here) == before


async def test_erased_people_get_no_first_card(apps: tuple[RunningApp, RunningApp]) -> None:
    """The one read that creates something; the card of an erased person would stay with them for ever."""
    here, _ = apps
    who = await sign_in(await register(here))
    assert (await who.get("/users/me")).status_code == 200, "the standing is cached"
    assert (await who.call("DELETE", f"/users/{who.id}")).status_code == 204
    assert (await who.get("/transport-cards")).status_code == 401
    async with here.database.transaction() as tx:
        made = text("SELECT count(*) FROM transport_cards WHERE user_id = :who")
        assert await tx.scalar(made, {"who": who.id}) == 0
