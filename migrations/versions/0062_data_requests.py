"""identity: requests of people about their data, and their answers.

A new table.

Former release: it knows no requests; those of a person whom it erases while both serve are deleted at night.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0062"
down_revision = "0061"

INSTANT = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.create_table(
        "data_requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("answered_at", INSTANT, nullable=True),
        sa.Column("answered_by", sa.Uuid(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('copy', 'correction', 'erasure', 'other')", name=op.f("ck_data_requests_kind")),
        sa.CheckConstraint("outcome IN ('fulfilled', 'refused')", name=op.f("ck_data_requests_outcome")),
        sa.CheckConstraint(
            "(answered_at IS NULL) = (outcome IS NULL) AND (outcome IS NULL) = (answer IS NULL)",
            name=op.f("ck_data_requests_answered"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_data_requests_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_data_requests"),
    )
    op.create_index("ix_data_requests_user_id_id", "data_requests", ["user_id", "id"])
    op.create_index("ix_data_requests_open", "data_requests", ["id"], postgresql_where="answered_at IS NULL")
