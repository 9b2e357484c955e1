"""kit: idempotency keys, the outbox with its followers, and the job queue."""

from importlib.resources import files

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

PROCRASTINATE = "03.04.00_50"
"""The queue's schema is built from the package's own migrations up to this one; later ones get migrations of ours."""


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger()),
        sa.Column("body", sa.LargeBinary()),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("caller", "key", name="pk_idempotency_keys"),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "xid", sa.BigInteger(), server_default=sa.text("(pg_current_xact_id()::text::bigint)"), nullable=False
        ),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(), nullable=False),
        sa.Column("occurred_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
    )
    op.create_index("ix_events_xid_id", "events", ["xid", "id"])
    op.create_table(
        "event_followers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("xid", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "last_id", sa.Uuid(), server_default=sa.text("'00000000-0000-0000-0000-000000000000'"), nullable=False
        ),
        sa.Column("moved_at", postgresql.TIMESTAMP(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_event_followers"),
    )
    _create_queue()


def _create_queue() -> None:
    scripts = sorted(
        (file for file in files("procrastinate.sql.migrations").iterdir() if file.name.endswith(".sql")),
        key=lambda file: file.name,
    )
    for script in scripts:
        if script.name[: len(PROCRASTINATE)] > PROCRASTINATE:
            break
        sql = script.read_text()
        context = op.get_context()
        if context.as_sql:
            context.impl.static_output(sql)
        else:
            # The driver itself: several statements in one text, and percent signs that are no parameters.
            driver = op.get_bind().connection.driver_connection
            assert driver is not None, "an online migration has a connection"
            driver.execute(sql)
