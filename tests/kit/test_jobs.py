"""Jobs keep their names, survive the worker that ran them, and are counted."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial

import asyncpg
import pytest
import structlog
from procrastinate import App, Blueprint, PsycopgConnector, RetryStrategy
from procrastinate.testing import InMemoryConnector
from sqlalchemy import text

from carteira.kit.db import jobs
from carteira.kit.db.engine import Database
from carteira.kit.ops import metrics
from tests.support.databases import NewDatabase, open_database
from tests.support.metric_values import value_of


@pytest.mark.unit
def test_a_second_application_knows_the_jobs_by_the_same_names() -> None:
    blueprint = Blueprint()

    @blueprint.periodic(cron="0 * * * *")
    @blueprint.task(name="sweep", queueing_lock="module.sweep")
    async def sweep(timestamp: int) -> None:
        assert timestamp

    for _ in range(2):
        app = App(connector=InMemoryConnector())
        jobs.add_tasks(app, blueprint, namespace="module")
        assert app.tasks["module:sweep"].name == "module:sweep"
        assert [periodic.task.name for periodic in app.periodic_registry.periodic_tasks.values()] == ["module:sweep"]


async def _begin(url: str, task: str, *, silent: float, attempts: int = 0, queueing_lock: str | None = None) -> None:
    """Leave a job behind as a worker does that was last seen `silent` seconds ago."""
    connection = await asyncpg.connect(url)
    worker_id = await connection.fetchval(
        "INSERT INTO procrastinate_workers (last_heartbeat) VALUES ($1) RETURNING id",
        datetime.now(UTC) - timedelta(seconds=silent),
    )
    await connection.execute(
        """INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock, status, attempts, worker_id)
           VALUES ('default', $1, $2, 'doing', $3, $4)""",
        task,
        queueing_lock,
        attempts,
        worker_id,
    )
    await connection.close()


async def _jobs(database: Database) -> list[tuple[str, str]]:
    async with database.transaction() as tx:
        rows = await tx.execute(text("SELECT task_name, status::text FROM procrastinate_jobs ORDER BY id"))
        return [(row.task_name, row.status) for row in rows]


@pytest.fixture
async def queue(new_database: NewDatabase) -> AsyncIterator[tuple[App, Database, str]]:
    """Return a queue of its own."""
    url = new_database("jobs")
    app = App(connector=PsycopgConnector(conninfo=url, min_size=1, max_size=2))
    async with open_database(url, 2) as database, app.open_async():
        yield app, database, url


async def test_jobs_of_a_worker_that_died_run_again_and_a_poisonous_one_is_given_up(
    queue: tuple[App, Database, str],
) -> None:
    app, database, url = queue
    await _begin(url, "died", silent=jobs.STALLED_SECONDS + 5)
    await _begin(url, "poison", silent=jobs.STALLED_SECONDS + 5, attempts=jobs.ATTEMPTS - 1)
    await _begin(url, "lives", silent=1)

    assert await jobs.rescue(app) == 2
    assert await _jobs(database) == [("died", "todo"), ("poison", "failed"), ("lives", "doing")]
    assert await jobs.rescue(app) == 0


async def test_a_job_of_a_dead_worker_whose_equal_waits_already_is_dropped(queue: tuple[App, Database, str]) -> None:
    app, database, url = queue
    await _begin(url, "sweep", queueing_lock="sweep", silent=jobs.STALLED_SECONDS + 5)
    async with database.transaction() as tx:
        await jobs.defer(tx, "sweep", queueing_lock="sweep")

    assert await jobs.rescue(app) == 1
    assert await _jobs(database) == [("sweep", "todo")]


async def test_the_state_of_the_queue_counts_due_jobs(queue: tuple[App, Database, str]) -> None:
    _, database, _ = queue
    async with database.transaction() as tx:
        assert await jobs.queue_state(tx) == jobs.QueueState(0, 0.0, 0)
        await jobs.defer(tx, "now")
        await jobs.defer(tx, "later", scheduled_at=datetime.now(UTC) + timedelta(hours=1))
        await jobs.defer(tx, "late", scheduled_at=datetime.now(UTC) - timedelta(minutes=5))
    async with database.transaction() as tx:
        state = await jobs.queue_state(tx)
    assert (state.waiting, state.failed, state.oldest_seconds >= 300) == (2, 0, True)


async def test_outcomes_of_jobs_are_counted_and_logged(queue: tuple[App, Database, str]) -> None:
    app, _, _ = queue

    @app.task(name="kit:good")
    async def good() -> None:
        """Succeed."""

    @app.task(name="kit:bad")
    async def bad() -> None:
        raise LookupError

    await good.defer_async()
    await bad.defer_async()
    with structlog.testing.capture_logs() as lines:
        await app.run_worker_async(wait=False, install_signal_handlers=False, worker_middleware=[jobs.observed])
    assert {(line["event"], line["task"]) for line in lines} >= {("job done", "kit:good"), ("job failed", "kit:bad")}
    for task, outcome in (("kit:good", "done"), ("kit:bad", "failed")):
        assert value_of(metrics.jobs_total.labels(task, outcome)) == 1


async def test_a_job_that_is_given_up_keeps_the_class_of_its_error_until_it_runs_again(
    queue: tuple[App, Database, str],
) -> None:
    app, database, url = queue
    seen: list[str] = []

    @app.task(name="kit:bad", retry=RetryStrategy(max_attempts=1, wait=0))
    async def bad(name: str) -> None:
        seen.append(name)
        if len(seen) < 3:
            raise ConnectionResetError(f"Maria, {name}")

    await bad.defer_async(name="Ana")
    work = partial(app.run_worker_async, wait=False, install_signal_handlers=False, worker_middleware=[jobs.observed])
    for _ in range(2):
        await work()
    async with database.transaction() as tx:
        [given_up] = await jobs.failed(tx)
        kept = await tx.scalar(text("SELECT args::text FROM procrastinate_jobs"))
    assert given_up.failure == ("ConnectionResetError", "ConnectionError", "OSError")
    assert "Maria" not in kept, "a message may name people"
    await _begin(url, "died", silent=0)
    async with database.transaction() as tx:
        await tx.execute(text("UPDATE procrastinate_jobs SET status = 'failed' WHERE task_name = 'died'"))
        assert [job.failure for job in await jobs.failed(tx)] == [given_up.failure, ()]
        assert await jobs.retry(tx, given_up.id) == 1
        assert await tx.scalar(text("SELECT args ? 'failure' FROM procrastinate_jobs WHERE status = 'todo'")) is False
    await work()
    assert (seen, await _jobs(database)) == (["Ana"] * 3, [("kit:bad", "succeeded"), ("died", "failed")])


async def test_jobs_that_were_given_up_are_listed_run_again_and_dropped(queue: tuple[App, Database, str]) -> None:
    _, database, url = queue
    for task, lock in (("alone", None), ("sweep", "sweep"), ("sweep", "sweep"), ("unwanted", None)):
        await _begin(url, task, silent=0, queueing_lock=lock)
    async with database.transaction() as tx:
        await tx.execute(text("UPDATE procrastinate_jobs SET status = 'failed', attempts = 8"))
        given_up = await jobs.failed(tx)
    assert [(job.task, job.attempts) for job in given_up] == [
        ("alone", 8),
        ("sweep", 8),
        ("sweep", 8),
        ("unwanted", 8),
    ]
    async with database.transaction() as tx:
        assert await jobs.drop(tx, given_up[-1].id)
        assert not await jobs.drop(tx, given_up[-1].id)
        assert await jobs.retry(tx, given_up[0].id) == 1
        assert await jobs.retry(tx, given_up[0].id) == 0, "it is waiting already"
        assert await jobs.retry(tx, None) == 2, "of two equal jobs the newer runs"
    assert await _jobs(database) == [("alone", "todo"), ("sweep", "todo")]
    async with database.transaction() as tx:
        state = await jobs.queue_state(tx)
    assert (state.waiting, state.failed, state.oldest_seconds < 300) == (2, 0, True)


async def test_a_failed_job_whose_equal_waits_is_dropped_when_it_is_to_run_again(
    queue: tuple[App, Database, str],
) -> None:
    _, database, url = queue
    await _begin(url, "sweep", silent=0, queueing_lock="sweep")
    async with database.transaction() as tx:
        await tx.execute(text("UPDATE procrastinate_jobs SET status = 'failed'"))
        await jobs.defer(tx, "sweep", queueing_lock="sweep")
        [given_up] = await jobs.failed(tx)
        assert await jobs.retry(tx, given_up.id) == 1
    assert await _jobs(database) == [("sweep", "todo")]
