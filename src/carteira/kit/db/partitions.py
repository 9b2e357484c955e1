"""Tables that are partitioned by month on their time-ordered ids: partitions are made ahead, and counted in a metric.

The database makes them (`partition_make`), as the owner of the tables, when the worker asks. A table's last partition
has no end: it takes rows if no partition was made for a quarter of a year. ADR 0040 has the migration and the limits.
"""

import asyncio

import structlog
from procrastinate import Blueprint, JobContext
from prometheus_client import Gauge
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from carteira.kit.db.engine import Database
from carteira.kit.db.errors import OperationInProgress
from carteira.kit.db.session import Tx

ATTEMPTS = 5
PAUSE_SECONDS = 2.0

months_ahead = Gauge(
    "carteira_partition_months_ahead",
    "Whole months after this one for which a table has partitions",
    ["table"],
    multiprocess_mode="mostrecent",
)
rows_beyond = Gauge(
    "carteira_partition_rows_beyond",
    "1 where a table has rows after its last monthly partition",
    ["table"],
    multiprocess_mode="mostrecent",
)
blueprint = Blueprint()
log = structlog.get_logger(__name__)
_STATES = text("SELECT name, months_ahead, is_beyond FROM partition_states()")


async def observe(tx: Tx) -> None:
    """Set the metrics."""
    for name, ahead, is_beyond in await tx.execute(_STATES):
        months_ahead.labels(name).set(ahead)
        rows_beyond.labels(name).set(is_beyond)


async def make_all(database: Database, *, attempts: int = ATTEMPTS, pause_seconds: float = PAUSE_SECONDS) -> int:
    """Make the missing months of all tables, each table in its own transaction; return how many were made.

    A table whose lock is not free at once is retried after the others.

    Raises:
        OperationInProgress: a table's lock was never free; the others' months are made.
        sqlalchemy.exc.DBAPIError: a table's months cannot be made; the others' are.
    """
    waiting = await _tables(database)
    failures: list[Exception] = []
    made = 0
    for attempt in range(1, attempts + 1):
        locked = []
        for name in waiting:
            try:
                async with database.transaction() as tx:
                    made += await tx.scalar(select(func.partition_make(name))) or 0
            except (DBAPIError, OperationInProgress) as error:
                if isinstance(error, OperationInProgress) and attempt < attempts:
                    locked.append(name)
                    continue
                log.warning(
                    "partitions not created",
                    table=name,
                    error=type(error).__name__,
                    detail=str(error.__cause__ or error),
                )
                failures.append(error)
        waiting = locked
        if not waiting:
            break
        await asyncio.sleep(pause_seconds)
    if made:
        log.info("partitions created", partitions=made)
    if failures:
        raise failures[0]
    return made


async def analyze_all(database: Database) -> None:
    """Update the planner's statistics of each table as a whole."""
    for name in await _tables(database):
        async with database.transaction() as tx:
            await tx.execute(text("SET LOCAL statement_timeout = 0"))
            await tx.execute(select(func.partition_analyze(name)))


async def _tables(database: Database) -> list[str]:
    async with database.transaction() as tx:
        return [row.name for row in await tx.execute(_STATES)]


@blueprint.periodic(cron="25 * * * *")
@blueprint.task(name="make", queueing_lock="partitions.make", pass_context=True)
async def make(context: JobContext, timestamp: int) -> None:  # noqa: ARG001 - procrastinate passes it
    """Make missing months, hourly."""
    await make_all(context.additional_context["database"])


@blueprint.periodic(cron="35 6 * * *")  # 3:35 in São Paulo
@blueprint.task(name="analyze", queueing_lock="partitions.analyze", pass_context=True)
async def analyze(context: JobContext, timestamp: int) -> None:  # noqa: ARG001 - procrastinate passes it
    """Update the planner's statistics of the tables' sizes, daily."""
    await analyze_all(context.additional_context["database"])
