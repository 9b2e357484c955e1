"""Webhooks: events sent to clients' addresses, signed by Standard Webhooks.

It owns endpoints (each a client's), their signing secrets, and deliveries. The composition root passes the tables of
events to follow. Invariants:

- an endpoint gets only events that its client may read by its claims and employers, both when they happen and when they
  are sent;
- an event holds ids, amounts and states, 64 KiB at most, and each delivery is recorded as a look at the person
  concerned;
- addresses are called only through `kit.outbound.targets`: https in production, public, pinned, no redirects;
- each event is delivered at least once under one `webhook-id`, in no order; after a day of failures it is given up and
  can be replayed; a silent endpoint delays no other and no job;
- a secret is shown once and stored sealed; two are valid at most.

Sources: Standard Webhooks 1.0; `docs/reference/webhooks.md`; ADR 0034.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from fastapi import FastAPI

from carteira import identity
from carteira.kit.db.engine import Database
from carteira.kit.db.outbox import Follower
from carteira.kit.module import Module
from carteira.kit.outbound.targets import Targets
from carteira.kit.security.sealing import Sealer
from carteira.webhooks import desk
from carteira.webhooks.catalog import CATALOG, OF_TOPIC, TEST, WebhookEvent
from carteira.webhooks.fanning import EventMessage, MessageSource
from carteira.webhooks.secrets import count_sealed, walk_sealed
from carteira.webhooks.service import KEEPING

__all__ = [
    "CATALOG",
    "OF_TOPIC",
    "SEALED",
    "TEST",
    "EventMessage",
    "MessageSource",
    "WebhookConfig",
    "WebhookEvent",
    "desk",
    "module",
]

SEALED = identity.SealedRows(count_sealed, walk_sealed)
"""The sealed secrets, for the rotation and the check of their keys."""


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """Settings of webhooks."""

    targets: Targets
    sealer: Sealer
    standing: identity.ClientStanding
    retry: timedelta
    """For how long a delivery is retried."""
    kept: timedelta
    """For how long deliveries are kept."""


def module(config: WebhookConfig, sources: Sequence[MessageSource]) -> Module:
    """Hand webhooks to the composition root; `sources` are the tables of events to follow."""
    from carteira.webhooks.delivering import Sender
    from carteira.webhooks.fanning import fan_out, has_endpoints
    from carteira.webhooks.jobs import make_blueprint
    from carteira.webhooks.maintenance import observe
    from carteira.webhooks.routes import router
    from carteira.webhooks.service import Keeping

    def sender_of(database: Database) -> Sender:
        return Sender(database, config.targets, config.sealer, config.standing)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        KEEPING.set(app, Keeping(config.targets, config.sealer, config.standing, config.retry))
        yield

    return Module(
        name="webhooks",
        routers=(router,),
        jobs=make_blueprint(sender_of, kept=config.kept),
        followers=tuple(
            Follower(
                f"webhooks.{source.name}",
                source.table,
                fan_out(source, config.standing, config.retry),
                wanted=has_endpoints,
            )
            for source in sources
        ),
        lifespan=lifespan,
        observe=observe,
    )
