"""Deliveries: an endpoint's due events are sent, some at a time, and their outcomes stored.

A run leases due deliveries in one short transaction, calls out without one, and stores the outcomes in another. If a
run dies, its lease expires and the next run sends them again: at least once, each time under the same `webhook-id`. Two
kinds of failure:

- of one delivery (a status that is no 2xx): it is tried again by itself, later and later, with jitter, for a day;
- of the endpoint (no name, no connection, no TLS, a refused network, no answer to any delivery of a batch; 429 or 503):
  it is paused, and from time to time one delivery tries it, so that thousands of waiting deliveries do not each wait
  for a time-out.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import Update, func, select, update

from carteira import identity
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx, locked
from carteira.kit.outbound.targets import Target, TargetDown, TargetRefused, Targets
from carteira.kit.security.sealing import Sealer
from carteira.kit.values.clock import clock
from carteira.kit.web.access import Principal
from carteira.webhooks import metrics
from carteira.webhooks.catalog import TEST
from carteira.webhooks.fanning import deliver_soon, may_receive
from carteira.webhooks.models import WebhookDelivery, WebhookEndpoint
from carteira.webhooks.secrets import signatures, valid_secrets

AT_ONCE = 16
"""Calls of one endpoint at a time."""
RUN_SECONDS = 8.0
"""The longest time of a run. Runs of other endpoints come before the endpoint's next run. Even after one more call, a
run ends within the time that a worker has to stop.
"""
LEASE = timedelta(seconds=60)
"""The length of a lease: longer than a call; a dead run's deliveries are due again after it."""
BACKOFF_SECONDS = (5, 30, 120, 600, 1_800, 3_600, 7_200)
"""The waits after failed attempts of a delivery; the last one repeats until it is given up."""
PAUSE_SECONDS = (5, 15, 60, 300)
"""The same for an unreachable endpoint."""
JITTER = 0.2
GONE, TOO_MANY, UNAVAILABLE = 410, 429, 503
USER_AGENT = "Carteira-Webhooks/1"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends deliveries."""

    database: Database
    targets: Targets
    sealer: Sealer
    standing: identity.ClientStanding


class _Due(NamedTuple):
    """A leased delivery."""

    message_id: UUID
    body: bytes


class _Outcome(NamedTuple):
    """The outcome of an attempt: a status, or the reason why there is none."""

    message_id: UUID
    status: int | None
    error: str | None
    retry_after: int | None = None

    @property
    def delivered(self) -> bool:
        return self.error is None

    @property
    def asks_to_wait(self) -> bool:
        """Whether the endpoint asks to wait."""
        return self.status in {TOO_MANY, UNAVAILABLE}


class _Batch(NamedTuple):
    """A batch of a run: the endpoint's address, client and secrets, and its due deliveries."""

    url: str
    client_id: UUID
    secrets: Sequence[bytes]
    due: Sequence[_Due]


async def deliver(sender: Sender, endpoint_id: UUID) -> None:
    """Send an endpoint's due deliveries; a job calls it, one per endpoint at a time."""
    until = time.monotonic() + RUN_SECONDS
    async with AsyncExitStack() as stack:
        line = _Line(sender.targets, stack)
        while time.monotonic() < until:
            async with sender.database.transaction() as tx:
                batch = await _lease(tx, sender, endpoint_id)
            if batch is None:
                return
            outcomes = await _send(line, batch)
            async with sender.database.transaction() as tx:
                await _store_outcomes(tx, endpoint_id, outcomes)
            for outcome in outcomes:
                metrics.attempts.labels("delivered" if outcome.delivered else _kind(outcome)).inc()
    async with sender.database.transaction() as tx:
        await deliver_soon(tx, endpoint_id, clock.now())


def _kind(outcome: _Outcome) -> str:
    return outcome.error or "" if outcome.status is None else "status"


async def _lease(tx: Tx, sender: Sender, endpoint_id: UUID) -> _Batch | None:
    """Lease due deliveries that may be sent, and return them as a batch.

    If nothing can be sent now, return None, which ends the run. If deliveries wait, the next run is deferred to them.
    """
    endpoint = await locked(tx, WebhookEndpoint, endpoint_id)
    if endpoint is None:
        return None
    now = clock.now()
    if endpoint.state == "disabled":
        await _give_up(tx, endpoint_id, "disabled")
        return None
    await _give_up_old(tx, endpoint, now)
    if endpoint.paused_until is not None and endpoint.paused_until > now:
        await _defer_next(tx, endpoint_id, endpoint.paused_until)
        return None
    rows = (
        await tx.scalars(
            select(WebhookDelivery)
            .where(
                WebhookDelivery.endpoint_id == endpoint_id,
                WebhookDelivery.state == "waiting",
                WebhookDelivery.next_attempt_at <= now,
            )
            .order_by(WebhookDelivery.next_attempt_at)
            .limit(1 if endpoint.failures else AT_ONCE)
            .with_for_update(skip_locked=True)
        )
    ).all()
    if not rows:
        await _defer_next(tx, endpoint_id, now)
        return None
    client = await sender.standing(tx, endpoint.client_id)
    due: list[_Due] = []
    for row in rows:
        if (why := _why_not_sent(endpoint, client, row)) is not None:
            row.state, row.next_attempt_at, row.last_error = "dead", None, why
            continue
        row.attempts += 1
        row.last_attempt_at = now
        row.next_attempt_at = now + LEASE
        due.append(_Due(row.message_id, row.body.encode()))
    await tx.flush()
    try:
        secrets = await valid_secrets(tx, sender.sealer, endpoint_id)
    except ValueError:
        log.error("webhook secret not opened", endpoint=str(endpoint_id))  # noqa: TRY400 - nothing to trace
        secrets = []
    return _Batch(endpoint.url, endpoint.client_id, secrets, due)


def _why_not_sent(endpoint: WebhookEndpoint, client: Principal, row: WebhookDelivery) -> str | None:
    """Return why an event is no longer sent: the endpoint unsubscribed, or its client may not read it any more."""
    if row.event == TEST:
        return None
    if row.event not in endpoint.events:
        return "not_subscribed"
    return None if may_receive(client, row.event, row.scope) else "not_allowed"


async def _give_up(tx: Tx, endpoint_id: UUID, why: str) -> None:
    """Give up all of an endpoint's waiting deliveries."""
    await tx.execute(_waiting(endpoint_id).values(state="dead", next_attempt_at=None, last_error=why))


async def _give_up_old(tx: Tx, endpoint: WebhookEndpoint, now: datetime) -> None:
    """Give up deliveries whose retries have ended; untried ones are tried once, unless the endpoint is down."""
    old = _waiting(endpoint.id).where(WebhookDelivery.next_attempt_at <= now, WebhookDelivery.retry_until <= now)
    if not endpoint.failures:
        old = old.where(WebhookDelivery.attempts > 0)
    error = func.coalesce(WebhookDelivery.last_error, "unreachable")
    await tx.execute(old.values(state="dead", next_attempt_at=None, last_error=error))


def _waiting(endpoint_id: UUID) -> Update:
    return (
        update(WebhookDelivery)
        .where(WebhookDelivery.endpoint_id == endpoint_id, WebhookDelivery.state == "waiting")
        .execution_options(synchronize_session=False)
    )


async def _defer_next(tx: Tx, endpoint_id: UUID, earliest: datetime) -> None:
    """Defer the next run until something is due."""
    next_at = await tx.scalar(
        select(func.min(WebhookDelivery.next_attempt_at)).where(
            WebhookDelivery.endpoint_id == endpoint_id, WebhookDelivery.state == "waiting"
        )
    )
    if next_at is not None:
        await deliver_soon(tx, endpoint_id, max(next_at, earliest))


class _Line:
    """A run's connection to an endpoint: its address is resolved and checked once, at the first call."""

    def __init__(self, targets: Targets, stack: AsyncExitStack) -> None:
        self._targets = targets
        self._stack = stack
        self._to: tuple[str, Target] | None = None

    async def to(self, url: str, client_id: UUID) -> Target:
        """Return the target of a client's address. Raises as `Targets.reach`."""
        if self._to is None or self._to[0] != url:
            reached = self._targets.reach(url, connections=AT_ONCE, whose=str(client_id))
            self._to = url, await self._stack.enter_async_context(reached)
        return self._to[1]


async def _send(line: _Line, batch: _Batch) -> list[_Outcome]:
    """Call an endpoint for each delivery."""
    if not batch.due:
        return []
    if not batch.secrets:
        return [_Outcome(one.message_id, None, "secret") for one in batch.due]
    try:
        target = await line.to(batch.url, batch.client_id)
    except (TargetRefused, TargetDown) as why:
        return [_Outcome(one.message_id, None, why.reason) for one in batch.due]
    async with asyncio.TaskGroup() as calls:
        tasks = [calls.create_task(_call(target, batch.secrets, one)) for one in batch.due]
    return [task.result() for task in tasks]


async def _call(target: Target, secrets: Sequence[bytes], due: _Due) -> _Outcome:
    timestamp = int(clock.now().timestamp())
    message_id = str(due.message_id)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures(secrets, message_id, timestamp, due.body),
    }
    try:
        reply = await target.post(due.body, headers)
    except TargetDown as down:
        return _Outcome(due.message_id, None, down.reason)
    error = None if reply.ok else f"status_{reply.status}"
    return _Outcome(due.message_id, reply.status, error, reply.retry_after)


async def _store_outcomes(tx: Tx, endpoint_id: UUID, outcomes: Sequence[_Outcome]) -> None:
    """Store the attempts' outcomes, and the endpoint's state."""
    endpoint = await locked(tx, WebhookEndpoint, endpoint_id)
    if endpoint is None or not outcomes:
        return
    now = clock.now()
    _judge_endpoint(endpoint, outcomes, now)
    ids = [outcome.message_id for outcome in outcomes]
    query = select(WebhookDelivery).where(
        WebhookDelivery.endpoint_id == endpoint_id, WebhookDelivery.message_id.in_(ids)
    )
    rows = {row.message_id: row for row in await tx.scalars(query.with_for_update())}
    for outcome in outcomes:
        row = rows.get(outcome.message_id)
        if row is None or row.state == "delivered":
            continue
        row.last_status, row.last_error = outcome.status, outcome.error
        if outcome.delivered:
            row.state, row.next_attempt_at = "delivered", None
        elif row.state == "waiting":
            wait = _wait(BACKOFF_SECONDS, row.attempts, outcome.retry_after)
            if now + wait > row.retry_until:
                row.state, row.next_attempt_at = "dead", None
                log.warning("webhook given up", endpoint=str(endpoint_id), message=str(row.message_id))
            else:
                row.next_attempt_at = now + wait
    await tx.flush()


def _judge_endpoint(endpoint: WebhookEndpoint, outcomes: Sequence[_Outcome], now: datetime) -> None:
    """Pause an unreachable endpoint, end the pause of a reachable one, and disable one that answers 410."""
    if any(outcome.status == GONE for outcome in outcomes):
        endpoint.state, endpoint.disabled_by = "disabled", "gone"
        log.warning("webhook endpoint disabled, it is gone", endpoint=str(endpoint.id))
    down = next((outcome for outcome in outcomes if outcome.asks_to_wait), None)
    if down is None and not any(outcome.status is not None for outcome in outcomes):
        down = outcomes[0]
    if down is None:
        endpoint.failures, endpoint.paused_until = 0, None
        return
    endpoint.failures += 1
    endpoint.paused_until = now + _wait(PAUSE_SECONDS, endpoint.failures, down.retry_after)
    log.info("webhook paused", endpoint=str(endpoint.id), error=down.error, failures=endpoint.failures)


def _wait(seconds: Sequence[int], attempts: int, retry_after: int | None) -> timedelta:
    """Return the wait after so many attempts, with jitter, and no less than the endpoint asked for (up to an hour)."""
    wait = seconds[min(attempts, len(seconds)) - 1]
    spread = wait * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
    return timedelta(seconds=max(spread, min(retry_after or 0, 3_600)))
