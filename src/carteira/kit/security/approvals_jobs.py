"""The desk's work in the background: what waited too long ends, and how much waits is told."""

from procrastinate import Blueprint, JobContext
from prometheus_client import Gauge

from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.security import approvals
from carteira.kit.values.clock import clock

pending_operations = Gauge(
    "carteira_pending_operations",
    "Operations that wait for a second person",
    ["kind"],
    multiprocess_mode="mostrecent",
)
pending_oldest_seconds = Gauge(
    "carteira_pending_oldest_seconds",
    "For how long the oldest operation has waited for a second person; 0 if none does",
    ["kind"],
    multiprocess_mode="mostrecent",
)

blueprint = Blueprint()


@blueprint.periodic(cron="* * * * *")
@blueprint.task(name="expire_pending", queueing_lock="kit.expire_pending", pass_context=True)
async def expire_pending(context: JobContext, timestamp: int) -> None:  # noqa: ARG001 - procrastinate passes it
    """End what nobody approved in time, each minute, in short transactions, and tell how much waits."""
    database: Database = context.additional_context["database"]
    while True:
        async with database.transaction() as tx:
            if await approvals.expire(tx) == 0:
                break
    async with database.transaction() as tx:
        await tell_waiting(tx)


async def tell_waiting(tx: Tx) -> None:
    """Set the metrics of what waits; a kind whose last operation was decided waits for nobody."""
    now = clock.now()
    for kind, count, oldest in await approvals.waiting(tx):
        pending_operations.labels(kind).set(count)
        pending_oldest_seconds.labels(kind).set((now - oldest).total_seconds() if oldest else 0)
