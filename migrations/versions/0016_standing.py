"""identity: when a session's person last showed a factor, and since when a person is suspended.

Sessions of the release before, and those that its servers go on making, have neither time: `created_at` and `methods`
say the same of them.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("sessions", sa.Column("signed_in_at", TIMESTAMP(timezone=True), nullable=True))
    op.add_column("sessions", sa.Column("second_factor_at", TIMESTAMP(timezone=True), nullable=True))
    op.add_column("users", sa.Column("suspended_at", TIMESTAMP(timezone=True), nullable=True))
