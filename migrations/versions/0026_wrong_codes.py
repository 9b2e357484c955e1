"""kit, identity: wrong one-time codes of a person and day; recoveries asked for names that nobody has."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    op.create_table(
        "wrong_codes",
        sa.Column("subject", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("wrong", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "day", name="pk_wrong_codes"),
    )
    op.add_column("password_recoveries", sa.Column("stranger", sa.Uuid()))
    op.create_index("ix_password_recoveries_stranger", "password_recoveries", ["stranger"])
