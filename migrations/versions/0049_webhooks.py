"""webhooks: clients' addresses that are told of what happens.

Former release: it knows neither these tables nor the claims, and moves none of these followers.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0049"
down_revision = "0048"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("events", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("disabled_by", sa.Text()),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("paused_until", _INSTANT),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_endpoints"),
        sa.CheckConstraint("state IN ('enabled', 'disabled')", name="state"),
        sa.CheckConstraint("disabled_by IN ('request', 'gone', 'overrun')", name="disabled_by"),
    )
    op.create_index("ix_webhook_endpoints_client_id", "webhook_endpoints", ["client_id", "id"])
    op.create_index(
        "ix_webhook_endpoints_enabled", "webhook_endpoints", ["id"], postgresql_where=sa.text("state = 'enabled'")
    )
    op.create_table(
        "webhook_secrets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_secrets"),
        sa.ForeignKeyConstraint(["endpoint_id"], ["webhook_endpoints.id"], name="fk_webhook_secrets_endpoint_id"),
    )
    op.create_index("ix_webhook_secrets_endpoint_id", "webhook_secrets", ["endpoint_id"])
    _create_deliveries()
    for claim in ("webhooks:read", "webhooks:write", "documents:follow"):
        op.execute(f"SELECT identity_seed_claim('{claim}', 'administrador')")
    # What happened before there were webhooks is told to nobody: their followers begin here.
    op.execute(
        "INSERT INTO event_followers (name, xid, last_id)"
        " SELECT name, position_horizon() - 1, 'ffffffff-ffff-ffff-ffff-ffffffffffff'"
        " FROM unnest(ARRAY['webhooks.decisions', 'webhooks.events', 'webhooks.returns']) AS name"
    )


def _create_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("scope", sa.Uuid()),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'waiting'"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("retry_until", _INSTANT, nullable=False),
        sa.Column("next_attempt_at", _INSTANT),
        sa.Column("last_attempt_at", _INSTANT),
        sa.Column("last_status", sa.Integer()),
        sa.Column("last_error", sa.Text()),
        sa.PrimaryKeyConstraint("endpoint_id", "message_id", name="pk_webhook_deliveries"),
        sa.ForeignKeyConstraint(["endpoint_id"], ["webhook_endpoints.id"], name="fk_webhook_deliveries_endpoint_id"),
        sa.CheckConstraint("state IN ('waiting', 'delivered', 'dead')", name="state"),
        sa.CheckConstraint("(state = 'waiting') = (next_attempt_at IS NOT NULL)", name="next_attempt_at"),
        sa.CheckConstraint("octet_length(body) <= 65536", name="body"),
    )
    waiting = sa.text("state = 'waiting'")
    for name, columns, where in (
        ("due", ["endpoint_id", "next_attempt_at"], waiting),
        ("oldest", ["created_at"], waiting),
        ("dead", ["endpoint_id", "message_id"], sa.text("state = 'dead'")),
        ("message_id", ["message_id"], None),
    ):
        op.create_index(f"ix_webhook_deliveries_{name}", "webhook_deliveries", columns, postgresql_where=where)
