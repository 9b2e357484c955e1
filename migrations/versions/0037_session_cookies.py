"""identity: sessions of browsers, known by a cookie.

A new table: nothing that is there is touched.
"""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    op.create_table(
        "session_cookies",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("idle_seconds", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name="pk_session_cookies"),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name="fk_session_cookies_session_id_sessions", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_session_cookies_session_id", "session_cookies", ["session_id"])
