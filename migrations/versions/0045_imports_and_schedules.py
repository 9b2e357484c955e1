"""benefits: accounts from the HR's file, line by line, and top-ups for a day to come."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0045"
down_revision = "0044"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "benefits_imports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("employer_id", sa.Uuid(), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Uuid()),
        sa.Column("invite", sa.Boolean(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("finished_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_benefits_imports"),
        sa.ForeignKeyConstraint(["employer_id"], ["benefits_employers.id"], name="fk_benefits_imports_employer_id"),
    )
    op.create_table(
        "benefits_import_lines",
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content", postgresql.JSONB()),
        sa.Column("account", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("code", sa.Text()),
        sa.Column("detail", sa.Text()),
        sa.Column("column", sa.Text()),
        sa.PrimaryKeyConstraint("import_id", "number", name="pk_benefits_import_lines"),
        sa.ForeignKeyConstraint(["import_id"], ["benefits_imports.id"], name="fk_benefits_import_lines_import_id"),
        sa.CheckConstraint("status IN ('waiting', 'opened', 'exists', 'failed')", name="status"),
    )
    op.create_index(
        "ix_benefits_import_lines_waiting",
        "benefits_import_lines",
        ["import_id", "number"],
        postgresql_where=sa.text("status = 'waiting'"),
    )
    op.create_table(
        "benefits_scheduled_credits",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("employer_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Uuid()),
        sa.Column("content", postgresql.JSONB(), nullable=False),
        sa.Column("atomic", sa.Boolean(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("code", sa.Text()),
        sa.Column("detail", sa.Text()),
        sa.Column("outcome", postgresql.JSONB()),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("done_at", _INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_benefits_scheduled_credits"),
        sa.CheckConstraint("state IN ('waiting', 'done', 'failed', 'cancelled')", name="state"),
    )
    op.create_index(
        "ix_benefits_scheduled_credits_due",
        "benefits_scheduled_credits",
        ["day", "id"],
        postgresql_where=sa.text("state = 'waiting'"),
    )
