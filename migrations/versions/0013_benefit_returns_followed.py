"""benefits: what was given back is read in commit order by followers."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    # A constant default writes no row: what was given back before comes first to whoever follows.
    op.add_column("benefits_returns", sa.Column("xid", sa.BigInteger(), server_default="1", nullable=False))
    op.alter_column("benefits_returns", "xid", server_default=sa.text("(pg_current_xact_id()::text::bigint)"))
    op.create_index("ix_benefits_returns_xid_id", "benefits_returns", ["xid", "id"])
