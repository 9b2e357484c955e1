from collections.abc import AsyncIterator, Iterator

import pytest
from pydantic import SecretStr

from carteira import ledger
from carteira.resellers.sandbox import Sandbox
from carteira.settings import Settings
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.databases import NewDatabase
from tests.support.resellers import standing_in


@pytest.fixture(scope="session")
def stand_in() -> Iterator[tuple[Sandbox, str]]:
    with standing_in() as (sandbox, url):
        yield sandbox, url


@pytest.fixture
def sandbox(stand_in: tuple[Sandbox, str]) -> Iterator[Sandbox]:
    """The stand-in for the external service, well-behaved at the start and the end of each test."""
    stand_in[0].recover()
    yield stand_in[0]
    stand_in[0].recover()


@pytest.fixture(scope="session")
def settings(
    database_url: str,
    redis_url: str,
    stand_in: tuple[Sandbox, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Settings:
    return settings_for(
        tmp_path_factory.mktemp("home"),
        database_url=database_url,
        redis_url=redis_url,
        carteira_modules="resellers",
        base_url_cashback=stand_in[1] + "/",
        token_cashback="the-token",
        cashback_attempt_seconds=0.2,
        cashback_budget_seconds=0.5,
    )


@pytest.fixture(scope="session")
async def app(settings: Settings) -> AsyncIterator[RunningApp]:
    """An application that the tests share; each test uses months and people of its own."""
    async with running_app(settings) as app:
        yield app


@pytest.fixture
async def own_app(settings: Settings, new_database: NewDatabase) -> AsyncIterator[RunningApp]:
    """An application on a fresh database, for settings that apply to everybody; its ledger reconciles in the end."""
    fresh = settings.model_copy(update={"database_url": SecretStr(new_database("own_app")), "database_pool_size": 16})
    async with running_app(fresh) as app:
        yield app
        async with app.database.transaction() as tx:
            assert (await ledger.reconcile(tx)).differences == []
