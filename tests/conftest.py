"""One set of embedded servers per run, a database per worker, a rolled-back transaction per test."""

import json
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from carteira import schema
from carteira.embedded import EmbeddedServers, Endpoints
from carteira.kit.db.engine import Database
from carteira.kit.values.clock import clock

ENDPOINTS = "CARTEIRA_TEST_ENDPOINTS"
TEMPLATE = "carteira_template"

_running: list[EmbeddedServers] = []


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers once, in the process that all workers are children of."""
    if hasattr(config, "workerinput") or config.option.collectonly or config.option.markexpr == "unit":
        return
    folder = tempfile.TemporaryDirectory(prefix="carteira-tests-")
    config.add_cleanup(folder.cleanup)
    # The suite is about rules, not about disks; the tests of faults start servers of their own that sync.
    servers = EmbeddedServers(
        Path(folder.name),
        mail=True,
        postgres_settings={"fsync": "off", "full_page_writes": "off", "max_connections": "300"},
    )
    endpoints = servers.start()
    _running.append(servers)
    config.add_cleanup(servers.stop)
    with psycopg.connect(endpoints.superuser_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE carteira OWNER carteira")
    schema.migrate(_named(endpoints.database_url, TEMPLATE))
    os.environ[ENDPOINTS] = json.dumps(asdict(endpoints))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that uses a server is an integration test, any other a unit test; nobody has to remember it."""
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        if item.get_closest_marker("integration") is None and item.get_closest_marker("unit") is None:
            item.add_marker("integration" if "endpoints" in names else "unit")


def _named(url: str, database: str) -> str:
    return url.rpartition("/")[0] + "/" + database


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def endpoints() -> Endpoints:
    return Endpoints(**json.loads(os.environ[ENDPOINTS]))


@pytest.fixture(scope="session")
def new_database(endpoints: Endpoints, worker_id: str) -> Iterator[object]:
    """Make fresh databases out of the migrated template."""
    made: list[str] = []

    def make(name: str) -> str:
        database = f"test_{worker_id}_{name}"
        with psycopg.connect(endpoints.superuser_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {database} TEMPLATE {TEMPLATE} OWNER carteira")
        made.append(database)
        return _named(endpoints.database_url, database)

    yield make
    with psycopg.connect(endpoints.superuser_url, autocommit=True) as connection:
        for database in made:
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")


@pytest.fixture(scope="session")
def worker_id(request: pytest.FixtureRequest) -> str:
    """Name this process among pytest-xdist's workers."""
    workerinput: dict[str, str] = getattr(request.config, "workerinput", {"workerid": "main"})
    return workerinput["workerid"]


@pytest.fixture(scope="session")
def database_url(new_database: object) -> str:
    """This worker's own database."""
    return new_database("shared")  # type: ignore[operator,no-any-return]


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    """The worker's database; what is committed here stays for the rest of the run."""
    database = Database(database_url, pool_size=20)
    yield database
    await database.close()


@pytest.fixture
async def tx(database: Database) -> AsyncIterator[AsyncSession]:
    """A transaction that is rolled back at the end of the test, whatever the test commits."""
    async with database.engine.connect() as connection:
        outer = await connection.begin()
        async with AsyncSession(
            connection, expire_on_commit=False, join_transaction_mode="create_savepoint"
        ) as session:
            yield session
        await outer.rollback()


@pytest.fixture(autouse=True)
def _running_clock() -> Iterator[None]:
    yield
    clock.run()
