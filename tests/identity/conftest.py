"""Applications of identity: with a database and a Valkey of these tests' own, each at its own address."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from carteira.embedded import Endpoints
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.databases import NewDatabase
from tests.support.people import Person, register, sign_in


@pytest.fixture(scope="session")
def identity_url(new_database: NewDatabase) -> str:
    return new_database("identity")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
async def start_app(
    endpoints: Endpoints, identity_url: str, redis_url: str, home: Path
) -> AsyncIterator[Callable[..., Awaitable[RunningApp]]]:
    """Return what starts an application; several are like the processes of one installation."""
    usual: dict[str, object] = {
        "database_url": identity_url,
        "redis_url": redis_url,
        "smtp_url": endpoints.smtp_url,
        "carteira_modules": "none",
    }
    async with AsyncExitStack() as stack:

        async def start(**changes: object) -> RunningApp:
            return await stack.enter_async_context(running_app(settings_for(home, **usual | changes)))

        yield start


@pytest.fixture
async def app(start_app: Callable[..., Awaitable[RunningApp]]) -> RunningApp:
    return await start_app()


@pytest.fixture
async def person(app: RunningApp) -> Person:
    """A registered, signed-in person."""
    return await sign_in(await register(app))
