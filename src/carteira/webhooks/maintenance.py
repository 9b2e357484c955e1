"""The care of deliveries: recover stuck ones, stop overruns, delete old ones, and set metrics."""

from datetime import timedelta

import structlog
from sqlalchemy import ColumnElement, Select, func, select

from carteira.kit.db.batches import delete_batch
from carteira.kit.db.session import Tx, locked
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import first_uuid7
from carteira.webhooks import metrics
from carteira.webhooks.fanning import deliver_soon
from carteira.webhooks.models import WebhookDelivery, WebhookEndpoint

MOST_WAITING = 100_000
"""Most waiting deliveries of an endpoint; beyond them it is disabled, and its client replays missed events."""
log = structlog.get_logger(__name__)


def _waits_at() -> ColumnElement[bool]:
    return (WebhookDelivery.endpoint_id == WebhookEndpoint.id) & (WebhookDelivery.state == "waiting")


async def recover_stuck(tx: Tx) -> None:
    """Queue a run for endpoints with due deliveries and no run, since its worker died or lost it."""
    now = clock.now()
    due = select(WebhookDelivery.endpoint_id).where(_waits_at(), WebhookDelivery.next_attempt_at <= now)
    for endpoint_id in await tx.scalars(select(WebhookEndpoint.id).where(due.exists()).order_by(WebhookEndpoint.id)):
        await deliver_soon(tx, endpoint_id, now)


async def disable_overrun(tx: Tx) -> None:
    """Disable endpoints with too many waiting deliveries."""
    beyond = select(WebhookDelivery.endpoint_id).where(_waits_at()).offset(MOST_WAITING).limit(1)
    overrun = select(WebhookEndpoint.id).where(WebhookEndpoint.state == "enabled", beyond.exists())
    for endpoint_id in (await tx.scalars(overrun.order_by(WebhookEndpoint.id))).all():
        row = await locked(tx, WebhookEndpoint, endpoint_id)
        if row is not None:
            row.state, row.disabled_by = "disabled", "overrun"
            log.warning("webhook endpoint disabled, backlog too large", endpoint=str(endpoint_id))
            await tx.flush()
            await deliver_soon(tx, endpoint_id, clock.now())


async def forget_old(tx: Tx, kept: timedelta) -> int:
    """Delete some finished deliveries past their retention; return how many."""
    before = first_uuid7((clock.now() - kept).timestamp())
    return await delete_batch(
        tx, WebhookDelivery, WebhookDelivery.message_id < before, WebhookDelivery.state != "waiting"
    )


async def observe(tx: Tx) -> None:
    """Set the metrics that only the database knows."""
    now = clock.now()
    oldest = await tx.scalar(select(func.min(WebhookDelivery.created_at)).where(WebhookDelivery.state == "waiting"))
    metrics.oldest_seconds.set(0 if oldest is None else max((now - oldest).total_seconds(), 0))
    dead = select(func.count()).select_from(WebhookDelivery).where(WebhookDelivery.state == "dead")
    metrics.dead.set(await tx.scalar(dead) or 0)
    metrics.paused.set(await tx.scalar(count_down()) or 0)


def count_down() -> Select[int]:
    """Return the query that counts the enabled endpoints that cannot be reached now."""
    return select(func.count()).where(WebhookEndpoint.state == "enabled", WebhookEndpoint.failures > 0)
