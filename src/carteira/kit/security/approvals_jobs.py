"""The desk's background work: expires pending operations, and counts them."""

from procrastinate import Blueprint, JobContext
from prometheus_client import Gauge

from carteira.kit.db.batches import run_batches
from carteira.kit.db.session import Tx
from carteira.kit.security import approvals, approvals_queries
from carteira.kit.values.clock import clock

pending_operations = Gauge(
    "carteira_pending_operations",
    "Operations that wait for a second person",
    ["kind"],
    multiprocess_mode="mostrecent",
)
pending_oldest_seconds = Gauge(
    "carteira_pending_oldest_seconds",
    "Age of the oldest operation that waits for a second person; 0 if none waits",
    ["kind"],
    multiprocess_mode="mostrecent",
)

blueprint = Blueprint()


@blueprint.periodic(cron="* * * * *")
@blueprint.task(name="expire_pending", queueing_lock="kit.expire_pending", pass_context=True)
async def expire_pending(context: JobContext, timestamp: int) -> None:  # noqa: ARG001 - procrastinate passes it
    """End expired operations, each minute, in short transactions."""
    await run_batches(context.additional_context["database"], approvals.expire)


_seen_kinds: set[str] = set()


async def observe(tx: Tx) -> None:
    """Set the metrics of pending operations; a kind without any is set to 0."""
    waiting = {kind: (count, oldest) for kind, count, oldest in await approvals_queries.waiting(tx)}
    now = clock.now()
    _seen_kinds.update(waiting)
    for kind in _seen_kinds:
        count, oldest = waiting.get(kind, (0, now))
        pending_operations.labels(kind).set(count)
        pending_oldest_seconds.labels(kind).set((now - oldest).total_seconds())
