"""Servers of identity: the whole application on real PostgreSQL, Valkey and SMTP, one address per test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from carteira.app import create_app
from carteira.embedded import Endpoints
from carteira.settings import Settings
from tests.identity.support import Person, Server, address, register, sign_in
from tests.support.databases import NewDatabase


@pytest.fixture(scope="session")
def identity_url(new_database: NewDatabase) -> str:
    return new_database("identity")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
async def start_server(
    endpoints: Endpoints, identity_url: str, redis_url: str, home: Path
) -> AsyncIterator[Callable[..., Awaitable[Server]]]:
    async with AsyncExitStack() as stack:

        async def start(**changes: object) -> Server:
            settings = Settings(
                _env_file=None,
                **{  # type: ignore[arg-type] # settings of any kind
                    "carteira_home": home,
                    "database_url": identity_url,
                    "redis_url": redis_url,
                    "smtp_url": endpoints.smtp_url,
                    "carteira_modules": "none",
                }
                | changes,
            )
            app = create_app(settings)
            await stack.enter_async_context(app.api.router.lifespan_context(app.api))
            transport = httpx.ASGITransport(app, client=(address(), 1))
            http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://carteira"))
            return Server(app, settings, http, app.api.state.database)

        yield start


@pytest.fixture
async def server(start_server: Callable[..., Awaitable[Server]]) -> Server:
    return await start_server()


@pytest.fixture
async def person(server: Server) -> Person:
    """A registered, signed-in person."""
    return await sign_in(server, await register(server))
