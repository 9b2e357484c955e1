"""audit: what kind of actor, in which session and request, which entry, whether it is a look; read in commit order.

Constant defaults write no row: what was recorded before comes first to whoever follows, in the order of its ids.
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.add_column("audit_log", sa.Column("xid", sa.BigInteger(), server_default="1", nullable=False))
    op.alter_column("audit_log", "xid", server_default=sa.text("(pg_current_xact_id()::text::bigint)"))
    op.add_column("audit_log", sa.Column("actor_kind", sa.Text(), nullable=True))
    op.add_column("audit_log", sa.Column("actor_name", sa.Text(), nullable=True))
    op.add_column("audit_log", sa.Column("session_id", sa.Uuid(), nullable=True))
    op.add_column("audit_log", sa.Column("request_id", sa.Text(), nullable=True))
    op.add_column("audit_log", sa.Column("entry_id", sa.Uuid(), nullable=True))
    op.add_column("audit_log", sa.Column("look", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index("ix_audit_log_xid_id", "audit_log", ["xid", "id"])
    op.create_index("ix_audit_log_actor_id_id", "audit_log", ["actor_id", "id"])
