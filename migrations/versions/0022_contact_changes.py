"""identity: what a changed e-mail address or phone took the place of, and when it may recover the account.

What is stored today has no row here: it counts as given at registration, and recovers as before.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.add_column("users", sa.Column("phone_confirmed_at", TIMESTAMP(timezone=True)))
    op.add_column("password_recoveries", sa.Column("sent_to", sa.LargeBinary()))
    op.create_table(
        "contact_changes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("former", sa.Text()),
        sa.Column("former_confirmed_at", TIMESTAMP(timezone=True)),
        sa.Column("changed_at", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("recovers_from", TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('email', 'phone')", name="kind"),
        sa.PrimaryKeyConstraint("id", name="pk_contact_changes"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_contact_changes_user_id"),
        sa.UniqueConstraint("user_id", "kind", name="uq_contact_changes_user_id_kind"),
    )
    op.create_index(
        "ix_contact_changes_former_email",
        "contact_changes",
        [sa.text("lower(former)")],
        postgresql_where=sa.text("kind = 'email'"),
    )
