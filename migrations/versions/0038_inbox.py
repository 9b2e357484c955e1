"""inbox: up to where a person has read, and events found by their person.

The index is made first, while the outbox goes on being written; one that a failed run left is made anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_events_user_id_id")
        op.create_index(
            "ix_events_user_id_id",
            "events",
            [sa.text("(payload ->> 'user_id')"), "id"],
            postgresql_concurrently=True,
        )
    op.create_table(
        "inbox_marks",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("read_until", sa.Uuid(), nullable=False),
        sa.Column("marked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_inbox_marks"),
    )
