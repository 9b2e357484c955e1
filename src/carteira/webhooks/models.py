"""The tables of webhooks."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, LargeBinary, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import INSTANT, Base
from carteira.kit.values.actor import ActorKind

_ENDPOINT = "webhook_endpoints.id"
State = Literal["enabled", "disabled"]
DeliveryState = Literal["waiting", "delivered", "dead"]
DisabledBy = Literal["request", "gone", "overrun"]


class WebhookEndpoint(Base):
    """A client's address for events, and its state."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        CheckConstraint("state IN ('enabled', 'disabled')", name="state"),
        CheckConstraint("disabled_by IN ('request', 'gone', 'overrun')", name="disabled_by"),
        Index("ix_webhook_endpoints_client_id", "client_id", "id"),
        Index("ix_webhook_endpoints_enabled", "id", postgresql_where="state = 'enabled'"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    client_id: Mapped[UUID]
    url: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, server_default="")
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))
    state: Mapped[State] = mapped_column(Text)
    disabled_by: Mapped[DisabledBy | None] = mapped_column(Text)
    """The cause: a request, the endpoint's own 410, or too many waiting deliveries."""
    failures: Mapped[int] = mapped_column(server_default="0")
    """The number of times in a row that it was unreachable."""
    paused_until: Mapped[datetime | None] = mapped_column(INSTANT)
    """While it is unreachable, one delivery tries it from time to time."""
    actor_kind: Mapped[ActorKind] = mapped_column(Text)
    actor_id: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(INSTANT)


class WebhookSecret(Base):
    """A signing secret, sealed for its own row; the present one, and for a while the former one."""

    __tablename__ = "webhook_secrets"
    __table_args__ = (Index("ix_webhook_secrets_endpoint_id", "endpoint_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey(_ENDPOINT))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    expires_at: Mapped[datetime | None] = mapped_column(INSTANT)


class WebhookDelivery(Base):
    """An event for an endpoint, with the exact signed bytes, and its outcome."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'delivered', 'dead')", name="state"),
        CheckConstraint("(state = 'waiting') = (next_attempt_at IS NOT NULL)", name="next_attempt_at"),
        CheckConstraint("octet_length(body) <= 65536", name="body"),
        Index("ix_webhook_deliveries_due", "endpoint_id", "next_attempt_at", postgresql_where="state = 'waiting'"),
        Index("ix_webhook_deliveries_oldest", "created_at", postgresql_where="state = 'waiting'"),
        Index("ix_webhook_deliveries_dead", "endpoint_id", "message_id", postgresql_where="state = 'dead'"),
        Index("ix_webhook_deliveries_message_id", "message_id"),
    )

    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey(_ENDPOINT), primary_key=True)
    message_id: Mapped[UUID] = mapped_column(primary_key=True)
    """The event's id, which is its `webhook-id` at each endpoint and at each attempt."""
    event: Mapped[str] = mapped_column(Text)
    scope: Mapped[UUID | None]
    """Its employer; clients bound to others do not get it."""
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[DeliveryState] = mapped_column(Text, server_default="waiting")
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    retry_until: Mapped[datetime] = mapped_column(INSTANT)
    next_attempt_at: Mapped[datetime | None] = mapped_column(INSTANT)
    last_attempt_at: Mapped[datetime | None] = mapped_column(INSTANT)
    last_status: Mapped[int | None]
    last_error: Mapped[str | None] = mapped_column(Text)
