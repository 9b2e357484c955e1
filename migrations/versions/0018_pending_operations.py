"""kit: operations that wait for a second person, and what an operator did on a day under each limit."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.create_table(
        "operator_days",
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("limit_name", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_operator_days_amount")),
        sa.PrimaryKeyConstraint("actor_kind", "actor_id", "limit_name", "day", name=op.f("pk_operator_days")),
    )
    op.create_table(
        "pending_operations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=True),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("limit_name", sa.Text(), nullable=True),
        sa.Column("counted_on", sa.Date(), nullable=True),
        sa.Column("maker_kind", sa.Text(), nullable=False),
        sa.Column("maker_id", sa.Text(), nullable=False),
        sa.Column("gaining_users", sa.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("gaining_cpfs", sa.ARRAY(sa.LargeBinary()), nullable=False),
        sa.Column("scope", sa.Uuid(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("checker_id", sa.Uuid(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("decided_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'pending') = (decided_at IS NULL)", name=op.f("ck_pending_operations_decided_at")
        ),
        sa.CheckConstraint("(status = 'pending') = (payload IS NOT NULL)", name=op.f("ck_pending_operations_payload")),
        sa.CheckConstraint(
            "status <> 'approved' OR checker_id IS NOT NULL", name=op.f("ck_pending_operations_checker_id")
        ),
        sa.CheckConstraint(
            "status <> 'approved' OR checker_id::text <> maker_id", name=op.f("ck_pending_operations_four_eyes")
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'approved', 'refused', 'expired', 'failed')",
            name=op.f("ck_pending_operations_status"),
        ),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_pending_operations_amount")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pending_operations")),
    )
    op.create_index(
        "ix_pending_operations_expires_at",
        "pending_operations",
        ["expires_at"],
        unique=False,
        postgresql_where="status = 'pending'",
    )
