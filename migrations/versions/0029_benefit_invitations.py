"""benefits: an employer's invitation to an account, for whoever brings its token."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    op.create_table(
        "benefits_invitations",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary()),
        sa.Column("expires_at", TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_benefits_invitations"),
        sa.UniqueConstraint("token_hash", name="uq_benefits_invitations_token_hash"),
        sa.ForeignKeyConstraint(["account_id"], ["benefits_accounts.id"], name="fk_benefits_invitations_account_id"),
    )
