"""benefits: the processor undoes purchases by its own ids, also those that have not come yet."""

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0045"


def upgrade() -> None:
    op.execute("ALTER TABLE benefits_references ALTER COLUMN decision_id DROP NOT NULL")
    op.add_column("benefits_references", sa.Column("reverses", sa.Text()))
    op.execute(
        "ALTER TABLE benefits_references ADD CONSTRAINT ck_benefits_references_one"
        " CHECK (decision_id IS NULL OR reverses IS NULL) NOT VALID"
    )
    op.execute("ALTER TABLE benefits_references VALIDATE CONSTRAINT ck_benefits_references_one")
    op.create_table(
        "benefits_reversals",
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("reversal_id", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger()),
        sa.Column("return_id", sa.Uuid()),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("amount > 0", name="amount"),
        sa.CheckConstraint("(amount IS NULL) = (reversal_id = '')", name="whole"),
        sa.PrimaryKeyConstraint("reference", "reversal_id", name="pk_benefits_reversals"),
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON benefits_reversals"
        " FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()"
    )
