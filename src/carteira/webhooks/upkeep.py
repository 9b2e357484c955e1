"""What looks after deliveries: none is left behind, none piles up for ever, and metrics tell how they stand."""

from datetime import timedelta

import structlog
from sqlalchemy import ColumnElement, delete, func, select, tuple_

from carteira.kit.db.session import Tx, locked
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import first_uuid7
from carteira.webhooks import metrics
from carteira.webhooks.fanning import deliver_soon
from carteira.webhooks.models import WebhookDelivery, WebhookEndpoint

MOST_WAITING = 100_000
"""Of an endpoint; one for which more wait is disabled, and its client asks for what it has missed."""
_FORGOTTEN_AT_ONCE = 5_000
log = structlog.get_logger(__name__)


def _waits_at() -> ColumnElement[bool]:
    return (WebhookDelivery.endpoint_id == WebhookEndpoint.id) & (WebhookDelivery.state == "waiting")


async def take_up(tx: Tx) -> None:
    """Have what is due delivered wherever no run has come for it: the worker of the last one died, or lost it."""
    now = clock.now()
    due = select(WebhookDelivery.endpoint_id).where(_waits_at(), WebhookDelivery.next_attempt_at <= now)
    for endpoint_id in await tx.scalars(select(WebhookEndpoint.id).where(due.exists()).order_by(WebhookEndpoint.id)):
        await deliver_soon(tx, endpoint_id, now)


async def disable_overrun(tx: Tx) -> None:
    """Disable endpoints for which more waits than is kept for one."""
    beyond = select(WebhookDelivery.endpoint_id).where(_waits_at()).offset(MOST_WAITING).limit(1)
    overrun = select(WebhookEndpoint.id).where(WebhookEndpoint.state == "enabled", beyond.exists())
    for endpoint_id in (await tx.scalars(overrun.order_by(WebhookEndpoint.id))).all():
        row = await locked(tx, WebhookEndpoint, endpoint_id)
        if row is not None:
            row.state, row.disabled_by = "disabled", "overrun"
            log.warning("webhook overrun", endpoint=str(endpoint_id))
            await tx.flush()
            await deliver_soon(tx, endpoint_id, clock.now())


async def forget_old(tx: Tx, kept: timedelta) -> int:
    """Delete some of the deliveries that are over and older than they are kept; return how many."""
    old = (
        select(WebhookDelivery.endpoint_id, WebhookDelivery.message_id)
        .where(
            WebhookDelivery.message_id < first_uuid7((clock.now() - kept).timestamp()),
            WebhookDelivery.state != "waiting",
        )
        .limit(_FORGOTTEN_AT_ONCE)
    )
    gone = await tx.execute(
        delete(WebhookDelivery)
        .where(tuple_(WebhookDelivery.endpoint_id, WebhookDelivery.message_id).in_(old))
        .returning(WebhookDelivery.message_id)
        .execution_options(synchronize_session=False)
    )
    return len(gone.all())


async def observe(tx: Tx) -> None:
    """Set the metrics that only the database knows."""
    now = clock.now()
    oldest = await tx.scalar(select(func.min(WebhookDelivery.created_at)).where(WebhookDelivery.state == "waiting"))
    metrics.oldest_seconds.set(0 if oldest is None else max((now - oldest).total_seconds(), 0))
    dead = select(func.count()).select_from(WebhookDelivery).where(WebhookDelivery.state == "dead")
    metrics.dead.set(await tx.scalar(dead) or 0)
    down = select(func.count()).select_from(WebhookEndpoint)
    metrics.paused.set(
        await tx.scalar(down.where(WebhookEndpoint.state == "enabled", WebhookEndpoint.failures > 0)) or 0
    )
