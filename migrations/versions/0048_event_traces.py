"""kit: an event says which trace it is part of, where one is kept.

Former release: it leaves the column null.
"""

import sqlalchemy as sa
from alembic import op

revision = "0048"
down_revision = "0047"


def upgrade() -> None:
    op.add_column("events", sa.Column("traceparent", sa.Text()))
