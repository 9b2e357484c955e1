"""Fixtures of every test: servers started on demand, a database per worker, a transaction that is rolled back.

Fixtures import what needs a server, so that a test of plain values starts at once.
"""
# ruff: noqa: PLC0415 - a test that needs no server must not wait for the imports of those that do

import contextlib
import inspect
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.pytest_plugin
import pytest
from hypothesis import HealthCheck, settings
from prometheus_client import REGISTRY

from carteira.kit.values.clock import clock

if TYPE_CHECKING:
    import httpx
    from sqlalchemy.ext.asyncio import AsyncSession

    from carteira.embedded import Endpoints
    from carteira.kit.db.engine import Database
    from tests.support.app import RunningApp
    from tests.support.databases import NewDatabase

pytest.register_assert_rewrite("tests.support")
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

FOLDER = "servers_folder"
_folder = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Set the folder of the run's servers; nothing starts yet."""
    if hasattr(config, "workerinput"):
        config.stash[_folder] = Path(config.workerinput[FOLDER])
    elif not config.option.collectonly:
        from tests.support.servers import servers_folder

        stack = contextlib.ExitStack()
        config.add_cleanup(stack.close)
        config.stash[_folder] = stack.enter_context(servers_folder())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - pytest-xdist has no type for it
    """Pass the folder to a worker of pytest-xdist."""
    node.workerinput[FOLDER] = str(node.config.stash[_folder])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test that uses a server as an integration test, and every other as a unit test.

    Raises:
        pytest.UsageError: a test that is no coroutine has a fixture that is one: it would run only after one that is.
    """
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        if "anyio_backend" not in names and _has_coroutine(item):
            raise pytest.UsageError(f"{item.nodeid} has a fixture that is a coroutine: be one too (async def)")
        if item.get_closest_marker("integration") is None and item.get_closest_marker("unit") is None:
            item.add_marker("integration" if "endpoints" in names else "unit")


def _has_coroutine(item: pytest.Item) -> bool:
    assert isinstance(item, pytest.Function)
    made = (fixtures[-1].func for fixtures in item._fixtureinfo.name2fixturedefs.values())  # noqa: SLF001 - the library has no public way
    return any(inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one) for one in made)


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def worker_id(request: pytest.FixtureRequest) -> str:
    """Return this process's name among pytest-xdist's workers."""
    workerinput: dict[str, str] = getattr(request.config, "workerinput", {"workerid": "main"})
    return workerinput["workerid"]


@pytest.fixture(scope="session")
def endpoints(request: pytest.FixtureRequest) -> "Iterator[Endpoints]":
    """Return the servers that all tests of the run share; the first test that needs them starts them.

    From then on, hashing a password costs this process next to nothing.
    """
    from tests.support.hashing import CHEAP, HASHER
    from tests.support.servers import shared_endpoints

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HASHER, CHEAP)
        yield shared_endpoints(request.config.stash[_folder])


@pytest.fixture(scope="session")
def redis_url(endpoints: "Endpoints", worker_id: str) -> str:
    """This worker's own database of the one Valkey, so that other workers' counts do not matter."""
    number = int("".join(filter(str.isdigit, worker_id)) or 14) % 15 + 1
    return f"{endpoints.redis_url.removesuffix('/0').rstrip('/')}/{number}"


@pytest.fixture(scope="session")
def new_database(endpoints: "Endpoints", worker_id: str) -> "Iterator[NewDatabase]":
    """Return what makes fresh databases from the migrated template."""
    from tests.support.databases import databases

    with databases(endpoints, worker_id) as make:
        yield make


@pytest.fixture(scope="session")
def database_url(new_database: "NewDatabase") -> str:
    """This worker's own database."""
    return new_database("shared")


@pytest.fixture(scope="session")
async def database(database_url: str) -> "AsyncIterator[Database]":
    """The worker's database; what is committed here stays for the rest of the run."""
    from tests.support.databases import open_database

    async with open_database(database_url, pool_size=20) as database:
        yield database


@pytest.fixture
async def tx(database: "Database") -> "AsyncIterator[AsyncSession]":
    """A transaction that is rolled back at the end of the test, whatever the test commits."""
    from tests.support.databases import rolled_back

    async with rolled_back(database) as session:
        yield session


@pytest.fixture
def client(app: "RunningApp") -> "httpx.AsyncClient":
    """Return the client of the application that the package's tests share."""
    return app.client


@pytest.fixture(autouse=True)
def _running_clock() -> Iterator[None]:
    yield
    clock.run()


@pytest.fixture(autouse=True)
def _no_cancellation_left() -> Iterator[None]:
    """Clear cancellations that a test's time-outs left on the shared task because other code swallowed them.

    Before Python 3.11.3 the next time-out in the task takes one for its own, which ends the task and all later tests.
    """
    yield
    task = getattr(anyio.pytest_plugin._current_runner, "_runner_task", None)  # noqa: SLF001 - the library has no public name for it
    while task is not None and task.cancelling():
        task.uncancel()


@pytest.fixture(autouse=True)
def _whole_audit() -> Iterator[None]:
    """Check after each test that every request left the audit rows that its route promises."""
    before = _missing_audits()
    yield
    assert _missing_audits() == before, "a request left other audit rows than its route declares"


@pytest.fixture(autouse=True)
def _whole_contract() -> Iterator[None]:
    """Check after each test that every problem answered is one that the operation declares."""
    before = _counted("carteira_problems_undeclared_total")
    yield
    undeclared = _counted("carteira_problems_undeclared_total")
    assert undeclared == before, "a problem that /openapi.json does not declare: see tools/problems.py"


def _missing_audits() -> dict[str, float]:
    return _counted("carteira_audit_missing_total")


def _counted(name: str) -> dict[str, float]:
    """Return the value of one counter.

    Collecting all of them four times a test took as long as the tests themselves do.
    """
    metrics = REGISTRY.restricted_registry([name]).collect()
    return {str(sample.labels): sample.value for metric in metrics for sample in metric.samples}
