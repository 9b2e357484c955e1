"""benefits: when an invitation was sent, and first opened.

Columns without a default, which rewrites no row; what was sent before has a token and no instant.

Former release: it leaves both columns null.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0058"
down_revision = "0057"


def upgrade() -> None:
    for name in ("sent_at", "opened_at"):
        op.add_column("benefits_invitations", sa.Column(name, postgresql.TIMESTAMP(timezone=True), nullable=True))
