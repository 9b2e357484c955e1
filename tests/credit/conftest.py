from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from carteira.app import credit_config
from carteira.credit import Stores
from carteira.credit.keys import load_or_create_key_file
from carteira.embedded import Endpoints
from carteira.kit.db.engine import Database
from carteira.settings import Settings
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.credit import analyst_of
from tests.support.databases import NewDatabase, open_database
from tests.support.people import Person


@pytest.fixture(scope="session")
def settings(
    database_url: str, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Settings:
    return settings_for(
        tmp_path_factory.mktemp("credit-home"),
        database_url=database_url,
        redis_url=endpoints.redis_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
        credit_table=f"credit-{worker_id}",
    )


@pytest.fixture(scope="session")
async def app(settings: Settings) -> AsyncIterator[RunningApp]:
    async with running_app(settings) as app:
        yield app


@pytest.fixture
def analyst(app: RunningApp) -> Person:
    """A credit analyst with every claim."""
    return analyst_of(app, "*")


@pytest.fixture(scope="session")
async def stores(settings: Settings, app: RunningApp) -> AsyncIterator[Stores]:
    """The application's bases, opened separately."""
    del app  # it made the key file and the table
    async with Stores(credit_config(settings)).opened() as stores:
        yield stores


@pytest.fixture
def own_url(new_database: NewDatabase) -> str:
    """A database of the test's own, so that it contains the test's records only."""
    return new_database("own")


@pytest.fixture
async def own_database(own_url: str) -> AsyncIterator[Database]:
    async with open_database(own_url, pool_size=5) as database:
        yield database


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "credit.json"
    load_or_create_key_file(path)
    return path
