"""resellers: corrections of closed months, which later closes take in.

Two new tables, and a column with a constant default, which rewrites no row.

Former release: it closes months without corrections, with the column's default; they wait for a later month.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0057"
down_revision = "0056"

INSTANT = postgresql.TIMESTAMP(timezone=True)


def upgrade() -> None:
    op.add_column("resellers_months", sa.Column("adjusted", sa.BigInteger(), server_default="0", nullable=False))
    op.create_table(
        "resellers_adjustments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("reseller_id", sa.Uuid(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("taken", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("booked_by", sa.Uuid(), nullable=False),
        sa.Column("approved_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("undone_at", INSTANT, nullable=True),
        sa.Column("undone_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_resellers_adjustments_amount")),
        sa.CheckConstraint(
            "taken BETWEEN least(0, amount) AND greatest(0, amount)", name=op.f("ck_resellers_adjustments_taken")
        ),
        sa.CheckConstraint("undone_at IS NULL OR taken = 0", name=op.f("ck_resellers_adjustments_undone_at")),
        sa.ForeignKeyConstraint(["reseller_id"], ["resellers.id"], name="fk_resellers_adjustments_reseller_id"),
        sa.ForeignKeyConstraint(["month"], ["resellers_months.month"], name="fk_resellers_adjustments_month"),
        sa.PrimaryKeyConstraint("id", name="pk_resellers_adjustments"),
    )
    op.create_index("ix_resellers_adjustments_reseller_id_id", "resellers_adjustments", ["reseller_id", "id"])
    op.create_index(
        "ix_resellers_adjustments_open",
        "resellers_adjustments",
        ["id"],
        postgresql_where="undone_at IS NULL AND taken <> amount",
    )
    op.create_table(
        "resellers_adjustment_parts",
        sa.Column("adjustment_id", sa.Uuid(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("reseller_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_resellers_adjustment_parts_amount")),
        sa.ForeignKeyConstraint(
            ["adjustment_id"], ["resellers_adjustments.id"], name="fk_resellers_adjustment_parts_adjustment_id"
        ),
        sa.ForeignKeyConstraint(["month"], ["resellers_months.month"], name="fk_resellers_adjustment_parts_month"),
        sa.ForeignKeyConstraint(["reseller_id"], ["resellers.id"], name="fk_resellers_adjustment_parts_reseller_id"),
        sa.PrimaryKeyConstraint("adjustment_id", "month", name="pk_resellers_adjustment_parts"),
    )
    op.create_index(
        "ix_resellers_adjustment_parts_reseller_id_month", "resellers_adjustment_parts", ["reseller_id", "month"]
    )
    op.execute("""
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON resellers_adjustment_parts
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()
    """)
