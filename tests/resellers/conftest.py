from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
import pytest

from carteira import ledger
from carteira.app import access_key, create_app
from carteira.kit.security import tokens
from carteira.resellers.sandbox import Sandbox
from carteira.settings import Settings
from tests.resellers.support import Shop, standing_in
from tests.support.databases import NewDatabase


@pytest.fixture(scope="session")
def stand_in() -> Iterator[tuple[Sandbox, str]]:
    with standing_in() as (sandbox, url):
        yield sandbox, url


@pytest.fixture
def sandbox(stand_in: tuple[Sandbox, str]) -> Iterator[Sandbox]:
    """The external service's stand-in, well at the beginning and the end of each test."""
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
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        carteira_home=tmp_path_factory.mktemp("home"),
        carteira_modules="resellers",
        base_url_cashback=stand_in[1] + "/",
        token_cashback="the-token",
        cashback_attempt_seconds=0.2,
        cashback_budget_seconds=0.5,
    )


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Shop]:
    key = access_key(settings)

    def token_for(user_id: UUID, *claims: str) -> str:
        return tokens.sign(key, subject=str(user_id), ttl_seconds=600, claims={"claims": list(claims)})

    app = create_app(settings)
    transport = httpx.ASGITransport(app)
    async with (
        app.api.router.lifespan_context(app.api),
        httpx.AsyncClient(transport=transport, base_url="http://carteira") as client,
    ):
        yield Shop(client, app.api.state.database, token_for)


@pytest.fixture(scope="session")
async def shop(settings: Settings) -> AsyncIterator[Shop]:
    """A server that the tests share; each uses months and people of its own."""
    async with serving(settings) as shop:
        yield shop


@pytest.fixture
async def own_shop(settings: Settings, new_database: NewDatabase) -> AsyncIterator[Shop]:
    """A server with a fresh database, for tests of what is the same for everybody; its ledger reconciles in the end."""
    fresh = settings.model_copy(update={"database_url": new_database("own_shop"), "database_pool_size": 16})
    async with serving(fresh) as shop:
        yield shop
        async with shop.database.transaction() as tx:
            assert (await ledger.reconcile(tx)).differences == []
