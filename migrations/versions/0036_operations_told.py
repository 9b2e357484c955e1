"""kit: when those who may approve an operation were told that it waits."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    op.add_column("pending_operations", sa.Column("told_at", sa.TIMESTAMP(timezone=True), nullable=True))
