"""payments: whether a charge that expired was told of, and an index that finds those that were not.

Charges of before count as told of, which rewrites no row. Run again, it does the same.

Former release: it knows no charges.
"""

from alembic import op

revision = "0052"
down_revision = "0051"


def upgrade() -> None:
    op.execute("ALTER TABLE payments_charges ADD COLUMN IF NOT EXISTS expiry_told boolean NOT NULL DEFAULT true")
    op.execute("ALTER TABLE payments_charges ALTER COLUMN expiry_told SET DEFAULT false")
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_payments_charges_unpaid")
        op.create_index(
            "ix_payments_charges_unpaid",
            "payments_charges",
            ["expires_at"],
            postgresql_where="state IN ('creating', 'active') AND NOT expiry_told",
            postgresql_concurrently=True,
        )
