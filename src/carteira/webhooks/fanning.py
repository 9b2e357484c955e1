"""Fans events out: followers of the modules' tables write a delivery for each endpoint that may read them.

An endpoint gets the events that its client may read at that moment, by its claims and employers. Each person concerned
sees the delivery among the looks at their data.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import RowMapping, exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql import FromClause

from carteira import identity
from carteira.kit.db import jobs
from carteira.kit.db.outbox import Handler
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.web.access import Principal
from carteira.webhooks.catalog import CATALOG
from carteira.webhooks.models import WebhookDelivery, WebhookEndpoint

DELIVER = "webhooks:deliver"


class EventMessage(NamedTuple):
    """An event as it is sent."""

    id: UUID
    event: str
    data: Mapping[str, Any]
    at: datetime
    scope: UUID | None = None
    """Its employer; None: it has none, and bound clients do not get it."""
    subject: UUID | None = None
    """The person concerned, by the audit's id."""


@dataclass(frozen=True, slots=True)
class MessageSource:
    """A table to follow, and the event of each row; None: there is none."""

    name: str
    table: FromClause
    message_of: Callable[[RowMapping], EventMessage | None]


def body_of(message: EventMessage) -> str:
    """Return the exact bytes to send."""
    content = {
        "type": message.event,
        "timestamp": message.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": {key: message.data[key] for key in sorted(message.data)},
    }
    return orjson.dumps(content).decode()


def may_receive(client: Principal, event: str, scope: UUID | None) -> bool:
    """Return whether a client may read an event now."""
    kind = CATALOG.get(event)
    if kind is None:
        return False
    return kind.claim in client.claims and (client.scopes is None or scope in client.scopes)


async def has_endpoints(tx: Tx) -> bool:
    """Return whether there is any enabled endpoint."""
    return bool(await tx.scalar(select(exists().where(WebhookEndpoint.state == "enabled"))))


def fan_out(source: MessageSource, standing: identity.ClientStanding, retry: timedelta) -> Handler:
    """Return the handler of a batch of a source's rows."""

    async def handle(tx: Tx, rows: Sequence[RowMapping]) -> None:
        query = select(WebhookEndpoint).where(WebhookEndpoint.state == "enabled").order_by(WebhookEndpoint.id)
        endpoints = (await tx.scalars(query)).all()
        if not endpoints:
            return
        messages = [found for found in map(source.message_of, rows) if found is not None]
        receivers: dict[UUID, list[UUID]] = defaultdict(list)
        clients: dict[UUID, Principal] = {}
        for endpoint in endpoints:
            subscribed = [one for one in messages if one.event in endpoint.events]
            if not subscribed:
                continue
            if endpoint.client_id not in clients:
                clients[endpoint.client_id] = await standing(tx, endpoint.client_id)
            due = [one for one in subscribed if may_receive(clients[endpoint.client_id], one.event, one.scope)]
            if due:
                await _store_deliveries(tx, endpoint.id, due, retry)
                receivers[endpoint.client_id] += [one.subject for one in due if one.subject is not None]
        for client_id, people in receivers.items():
            await audit.record_looks(tx, "webhook_told", people, actor=clients[client_id].actor)

    return handle


async def _store_deliveries(tx: Tx, endpoint_id: UUID, due: Sequence[EventMessage], retry: timedelta) -> None:
    """Store an endpoint's new deliveries and queue them; existing ones are not repeated."""
    now = clock.now()
    rows = [
        {
            "endpoint_id": endpoint_id,
            "message_id": one.id,
            "event": one.event,
            "scope": one.scope,
            "body": body_of(one),
            "created_at": now,
            "retry_until": now + retry,
            "next_attempt_at": now,
        }
        for one in due
    ]
    await tx.execute(insert(WebhookDelivery).on_conflict_do_nothing(), rows)
    await deliver_soon(tx, endpoint_id, now)


async def deliver_soon(tx: Tx, endpoint_id: UUID, at: datetime) -> None:
    """Queue an endpoint's run at an instant: each endpoint has a queue of its own."""
    await jobs.soon(
        tx, DELIVER, one=f"webhooks.deliver:{endpoint_id}", at=at, queue=jobs.CALLS, endpoint_id=str(endpoint_id)
    )
