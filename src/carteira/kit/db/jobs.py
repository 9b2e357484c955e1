"""Jobs: work for the worker, deferred in the transaction that asks for it (procrastinate's tables).

A job runs at least once: if its worker dies it runs again. Every job must tolerate running twice, also concurrently.
"""

import time
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import structlog
from procrastinate import App, Blueprint, JobContext, PsycopgConnector
from procrastinate.exceptions import ConnectorException, UniqueViolation
from procrastinate.jobs import Job, Status
from procrastinate.middleware import AsyncCallNext
from procrastinate.worker import Worker
from sqlalchemy import BigInteger, Numeric, TextClause, column, select, text

from carteira.kit.db.address import DatabaseAddress
from carteira.kit.db.one_row import OneRow, ask
from carteira.kit.db.session import Tx
from carteira.kit.db.silence import WatchedConnection
from carteira.kit.ops import metrics, tracing
from carteira.kit.values.ids import uuid5

HEARTBEAT_SECONDS = 10.0
STALLED_SECONDS = 30.0
"""A worker without a heartbeat for so long is dead, and others take over its jobs."""
ATTEMPTS = 5
"""A job is given up after so many workers died while running it."""

TRACEPARENT = "traceparent"
"""The argument that carries a job's trace; the job's function never sees it."""
FAILURE = "failure"
"""The argument of a given-up job that holds its exception's classes; the job's function does not get it."""
_LETTERS = UUID("5d3c7a5e-6f0b-5b5e-9d0e-0c1f7c1d9a44")

log = structlog.get_logger(__name__)

DEFAULT = "default"
CALLS = "calls"
"""The queue of jobs that call other people's servers, so that slow calls do not delay other jobs."""


def connector(address: DatabaseAddress, *, most: int) -> PsycopgConnector:
    """Return an application's connector to the queue, with up to `most` connections and those on which it listens."""

    async def configure(connection: WatchedConnection) -> None:
        connection.address = address

    return PsycopgConnector(
        conninfo=address.conninfo,
        min_size=1,
        max_size=most,
        connection_class=WatchedConnection,
        configure=configure,
    )


_DEFER = text("""
    SELECT procrastinate_defer_jobs_v1(ARRAY[ROW(
        CAST(:queue AS text), CAST(:task AS text), 0, CAST(:lock AS text), CAST(:queueing_lock AS text),
        CAST(:args AS jsonb), CAST(:scheduled_at AS timestamptz)
    )::procrastinate_job_to_defer_v1])
""")
_BRING_FORWARD = text("""
    UPDATE procrastinate_jobs
    SET scheduled_at = CASE WHEN scheduled_at > CAST(:at AS timestamptz) THEN :at ELSE scheduled_at END
    WHERE queueing_lock = :queueing_lock AND status = 'todo' RETURNING id
""")
_TURN = text("SELECT pg_advisory_xact_lock(hashtextextended(:queueing_lock, 23))")


async def defer(  # noqa: PLR0913 - a job's options and arguments
    tx: Tx,
    task: str,
    *,
    lock: str | None = None,
    queueing_lock: str | None = None,
    scheduled_at: datetime | None = None,
    queue: str = DEFAULT,
    **args: Any,  # noqa: ANN401 - a job's arguments are any JSON
) -> None:
    """Queue a job (`module:task`) when the transaction commits; it continues the trace.

    Jobs with the same `lock` run one after the other. Only one job with a `queueing_lock` waits at a time; a second
    raises `sqlalchemy.exc.IntegrityError`.
    """
    traceparent = tracing.traceparent()
    if traceparent is not None:
        args[TRACEPARENT] = traceparent
    await tx.execute(
        _DEFER,
        {
            "queue": queue,
            "task": task,
            "lock": lock,
            "queueing_lock": queueing_lock,
            "args": orjson.dumps(args).decode(),
            "scheduled_at": scheduled_at,
        },
    )


async def waiting(tx: Tx, task: str) -> list[dict[str, Any]]:
    """Return the arguments of the jobs of a task that have not begun, due or not."""
    statement = text("SELECT args FROM procrastinate_jobs WHERE task_name = :task AND status = 'todo'")
    return list(await tx.scalars(statement, {"task": task}))


async def soon(
    tx: Tx,
    task: str,
    *,
    one: str,
    at: datetime,
    queue: str = DEFAULT,
    **args: Any,  # noqa: ANN401 - a job's arguments are any JSON
) -> None:
    """Run a job at an instant or sooner, after the commit, and never two with the same `one` at once.

    A job that waits for a later instant is moved forward; while one runs, the next waits for its end.
    """
    await tx.execute(_TURN, {"queueing_lock": one})
    if not (await tx.execute(_BRING_FORWARD, {"queueing_lock": one, "at": at})).all():
        await defer(tx, task, lock=one, queueing_lock=one, scheduled_at=at, queue=queue, **args)


def message_id_of(context: JobContext, to: str) -> str:
    """Return the `Message-ID` of a job's e-mail to an address; it is the same when the job runs again.

    A job whose worker died after sending runs twice; mail programs recognise the second e-mail by its id.
    """
    job = context.job
    return str(uuid5(_LETTERS, orjson.dumps([job.id, job.task_name, job.task_kwargs, to]).decode()))


def add_tasks(app: App, blueprint: Blueprint, *, namespace: str) -> None:
    """Add a module's jobs to an application; each application gets copies.

    procrastinate renames the blueprint's own tasks, so a second application would not find them.
    """
    app.add_tasks_from(deepcopy(blueprint), namespace=namespace)


async def observed(run: AsyncCallNext, context: JobContext, _worker: Worker) -> Any:  # noqa: ANN401 - the task's own
    """Run a job; log and count its outcome. Successful periodic jobs are logged at debug level."""
    job = context.job
    job.task_kwargs.pop(FAILURE, None)
    carried = job.task_kwargs.pop(TRACEPARENT, None)
    traceparent = carried if isinstance(carried, str) else None
    with tracing.root(
        f"job {job.task_name}", "consumer", attributes={"job.attempt": job.attempts + 1}, parent=traceparent
    ):
        return await _observed(run, context)


_KEEP_FAILURE = """
    UPDATE procrastinate_jobs SET args = args || jsonb_build_object('failure', %(classes)s::jsonb) WHERE id = %(id)s
"""


async def _keep_failure(context: JobContext, error: Exception) -> None:
    """Store the classes of the exception of a job that is not tried again; its message may name people."""
    if context.task.get_retry_exception(error, context.job) is not None:
        return
    classes = [kind.__name__ for kind in type(error).__mro__ if issubclass(kind, Exception) and kind is not Exception]
    try:
        await context.app.connector.execute_query_async(
            _KEEP_FAILURE, id=context.job.id, classes=orjson.dumps(classes).decode()
        )
    except ConnectorException as lost:
        log.info("job's failure not kept", job=context.job.id, error=type(lost).__name__)


async def _observed(run: AsyncCallNext, context: JobContext) -> Any:  # noqa: ANN401 - the task's own
    job = context.job
    began = time.perf_counter()
    outcome = "failed"
    try:
        result = await run()
        outcome = "done"
    except Exception as error:
        await _keep_failure(context, error)
        raise
    finally:
        seconds = time.perf_counter() - began
        metrics.jobs_total.labels(job.task_name, outcome).inc()
        metrics.job_seconds.labels(job.task_name).observe(seconds)
        if outcome == "done":
            metrics.job_succeeded_at.labels(job.task_name).set_to_current_time()
        write = log.warning if outcome == "failed" else log.debug if "timestamp" in job.task_kwargs else log.info
        write(f"job {outcome}", task=job.task_name, job=job.id, attempt=job.attempts + 1, seconds=round(seconds, 3))
    return result


async def rescue(app: App) -> int:
    """Queue the jobs of dead workers again, and return how many there were."""
    await app.job_manager.prune_stalled_workers(STALLED_SECONDS)
    stalled = list(await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS))
    for job in stalled:
        await _rescue(app, job)
    return len(stalled)


async def _rescue(app: App, job: Job) -> None:
    given_up = job.attempts + 1 >= ATTEMPTS
    log.warning("job lost its worker", task=job.task_name, job=job.id, attempt=job.attempts + 1, given_up=given_up)
    try:
        if given_up:
            await app.job_manager.finish_job(job, Status.FAILED, delete_job=False)
        else:
            await app.job_manager.retry_job(job)
    except UniqueViolation:  # an equal job waits already
        await app.job_manager.finish_job(job, Status.FAILED, delete_job=True)
    except ConnectorException as error:
        log.info("job rescued by another worker", job=job.id, error=type(error).__name__)


@dataclass(frozen=True, slots=True)
class QueueState:
    """The queue's state: the number of due jobs, the age of the oldest in seconds, and the number of failed jobs."""

    waiting: int
    oldest_seconds: float
    failed: int


_STATE = text("""
    SELECT count(*) FILTER (WHERE due) AS waiting,
           coalesce(extract(epoch FROM now() - min(since) FILTER (WHERE due)), 0) AS oldest_seconds,
           count(*) FILTER (WHERE status = 'failed') AS failed
    FROM (
        SELECT status, status = 'todo' AND coalesce(scheduled_at <= now(), true) AS due,
               coalesce(scheduled_at, (
                   SELECT max(at) FROM procrastinate_events WHERE job_id = job.id AND type = 'deferred'
               )) AS since
        FROM procrastinate_jobs job WHERE status IN ('todo', 'failed')
    ) job
""")


def _queue(waiting: int, oldest_seconds: float, failed: int) -> QueueState:
    return QueueState(waiting, float(oldest_seconds), failed)


_COLUMNS = (column("waiting", BigInteger), column("oldest_seconds", Numeric), column("failed", BigInteger))
QUEUE_STATE = OneRow(select(_STATE.columns(*_COLUMNS).subquery("queue")), _queue)
"""The query of the queue's state."""


async def queue_state(tx: Tx) -> QueueState:
    """Return the queue's state."""
    found = await ask(tx, QUEUE_STATE)
    assert found is not None, "counts are one row"
    return found


@dataclass(frozen=True, slots=True)
class FailedJob:
    """A job that was given up and is kept."""

    id: int
    task: str
    attempts: int
    failed_at: datetime
    failure: tuple[str, ...]
    """The classes of the exception that ended it, the nearest first; empty: its workers died."""


_FAILED = text("""
    SELECT job.id, job.task_name AS task, job.attempts, coalesce(max(event.at), now()) AS failed_at,
           job.args -> 'failure' AS failure
    FROM procrastinate_jobs job LEFT JOIN procrastinate_events event ON event.job_id = job.id
    WHERE job.status = 'failed' GROUP BY job.id ORDER BY job.id
""")
_DROP_EQUALS = text("""
    DELETE FROM procrastinate_jobs job
    WHERE status = 'failed' AND (CAST(:id AS bigint) IS NULL OR id = :id) AND EXISTS (
        SELECT 1 FROM procrastinate_jobs equal
        WHERE equal.queueing_lock = job.queueing_lock
          AND (equal.status = 'todo' OR CAST(:id AS bigint) IS NULL AND equal.status = 'failed' AND equal.id > job.id)
    ) RETURNING id
""")
_RETRY = text("""
    UPDATE procrastinate_jobs
    SET status = 'todo', attempts = 0, abort_requested = false, scheduled_at = now(), args = args - 'failure'
    WHERE status = 'failed' AND (CAST(:id AS bigint) IS NULL OR id = :id) RETURNING id
""")
_DROP = text("DELETE FROM procrastinate_jobs WHERE status = 'failed' AND id = :id RETURNING id")


async def failed(tx: Tx) -> list[FailedJob]:
    """List the jobs that were given up, the oldest first."""
    return [
        FailedJob(row.id, row.task, row.attempts, row.failed_at, tuple(row.failure or ()))
        for row in await tx.execute(_FAILED)
    ]


async def retry(tx: Tx, job_id: int | None) -> int:
    """Queue a failed job again, or all of them; return how many.

    A job whose equal (by `queueing_lock`) waits already is dropped, and counts.
    """
    dropped = await _changed(tx, _DROP_EQUALS, job_id)
    return dropped + await _changed(tx, _RETRY, job_id)


async def drop(tx: Tx, job_id: int) -> bool:
    """Delete a job that was given up; return whether there was one."""
    return await _changed(tx, _DROP, job_id) == 1


async def _changed(tx: Tx, statement: TextClause, job_id: int | None) -> int:
    return len((await tx.execute(statement, {"id": job_id})).all())
