"""resellers: purchases, months and their closing, and the configuration of cashback with its validity."""

from datetime import date
from uuid import UUID, uuid5

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0008"
down_revision = "0007"

SYSTEM_NAMESPACE = UUID("5b1d7c52-94f3-5c55-9a44-1d9f1f0c3a11")
BEGINNING = date(2000, 1, 1)


def upgrade() -> None:
    _create_resellers()
    _create_purchases()
    _create_months()
    _create_configuration()
    _seed_configuration()
    for kind in ("resellers.cashback_expense", "resellers.cashback_spent"):
        op.execute(
            sa.text(
                "INSERT INTO ledger_accounts (id, kind, is_system, may_go_negative) VALUES (:id, :kind, true, true)"
            ).bindparams(sa.bindparam("id", uuid5(SYSTEM_NAMESPACE, kind), sa.Uuid()), kind=kind)
        )


def _create_resellers() -> None:
    op.create_table(
        "resellers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid()),
        sa.Column("cpf", sa.Text()),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_resellers"),
        sa.ForeignKeyConstraint(["account_id"], ["ledger_accounts.id"], name="fk_resellers_account_id"),
        sa.CheckConstraint("cpf ~ '^[0-9]{11}$'", name="cpf"),
        sa.CheckConstraint("(user_id IS NULL) = (cpf IS NULL)", name="person"),
    )
    for column in ("user_id", "cpf"):
        op.create_index(
            f"uq_resellers_{column}",
            "resellers",
            [column],
            unique=True,
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )


def _create_purchases() -> None:
    table = "resellers_purchases"
    op.create_table(
        table,
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("reseller_id", sa.Uuid(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("purchased_on", sa.Date(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("rejection_reason", sa.Text()),
        sa.Column("cashback_spent", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("spend_entry_id", sa.Uuid()),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("decided_by", sa.Uuid()),
        sa.Column("decided_at", TIMESTAMP(timezone=True)),
        sa.Column("created_at", TIMESTAMP(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.UniqueConstraint("code", name=f"uq_{table}_code"),
        sa.ForeignKeyConstraint(["reseller_id"], ["resellers.id"], name=f"fk_{table}_reseller_id"),
        sa.CheckConstraint("amount > 0", name="amount"),
        sa.CheckConstraint("month = date_trunc('month', purchased_on)::date", name="month"),
        sa.CheckConstraint("status IN ('pending', 'approved', 'rejected')", name="status"),
        sa.CheckConstraint("cashback_spent BETWEEN 0 AND amount", name="cashback_spent"),
        sa.CheckConstraint("(spend_entry_id IS NULL) = (cashback_spent = 0)", name="spend_entry_id"),
        sa.CheckConstraint("spend_entry_id IS NULL OR status <> 'rejected'", name="rejected_spends_nothing"),
    )
    for columns in (["reseller_id", "month"], ["month", "status"], ["purchased_on", "id"]):
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)


def _create_months() -> None:
    op.create_table(
        "resellers_months",
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("closed_at", TIMESTAMP(timezone=True)),
        sa.Column("closed_by", sa.Uuid()),
        sa.Column("resellers", sa.Integer()),
        sa.Column("total", sa.BigInteger()),
        sa.Column("cashback", sa.BigInteger()),
        sa.PrimaryKeyConstraint("month", name="pk_resellers_months"),
        sa.CheckConstraint("extract(day FROM month) = 1", name="month"),
        sa.CheckConstraint("closed_at IS NULL OR (resellers IS NOT NULL AND total IS NOT NULL)", name="closed"),
    )
    table = "resellers_closings"
    op.create_table(
        table,
        sa.Column("reseller_id", sa.Uuid(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("percentage", sa.SmallInteger(), nullable=False),
        sa.Column("cashback", sa.BigInteger(), nullable=False),
        sa.Column("entry_id", sa.Uuid()),
        sa.PrimaryKeyConstraint("reseller_id", "month", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["reseller_id"], ["resellers.id"], name=f"fk_{table}_reseller_id"),
        sa.ForeignKeyConstraint(["month"], ["resellers_months.month"], name=f"fk_{table}_month"),
        sa.CheckConstraint("total >= 0 AND cashback >= 0", name="amounts"),
        sa.CheckConstraint("(entry_id IS NULL) = (cashback = 0)", name="entry_id"),
    )
    op.execute(f"""
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()
    """)


def _create_configuration() -> None:
    op.create_table(
        "resellers_tiers",
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("above", sa.BigInteger(), nullable=False),
        sa.Column("percentage", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("valid_from", "above", name="pk_resellers_tiers"),
        sa.CheckConstraint("extract(day FROM valid_from) = 1", name="valid_from"),
        sa.CheckConstraint("above >= 0", name="above"),
        sa.CheckConstraint("percentage BETWEEN 0 AND 100", name="percentage"),
    )
    op.create_table(
        "resellers_closing_days",
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("day", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("valid_from", name="pk_resellers_closing_days"),
        sa.CheckConstraint("extract(day FROM valid_from) = 1", name="valid_from"),
        sa.CheckConstraint("day BETWEEN 1 AND 28", name="day"),
    )
    table = "resellers_auto_approvals"
    op.create_table(
        table,
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("cpf", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("valid_until", sa.Date()),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.CheckConstraint("cpf ~ '^[0-9]{11}$'", name="cpf"),
        sa.CheckConstraint("extract(day FROM valid_from) = 1", name="valid_from"),
        sa.CheckConstraint("extract(day FROM valid_until) = 1 AND valid_until >= valid_from", name="valid_until"),
    )
    op.create_index(f"uq_{table}_cpf_valid_from", table, ["cpf", "valid_from"], unique=True)


def _seed_configuration() -> None:
    """Write the rules of the specification, good from before the first purchase on."""
    beginning = sa.bindparam("beginning", BEGINNING, sa.Date())
    for above, percentage in ((0, 10), (100_000, 15), (150_000, 20)):
        op.execute(
            sa.text(
                "INSERT INTO resellers_tiers (valid_from, above, percentage) VALUES (:beginning, :above, :percentage)"
            ).bindparams(beginning, above=above, percentage=percentage)
        )
    op.execute(
        sa.text("INSERT INTO resellers_closing_days (valid_from, day) VALUES (:beginning, 5)").bindparams(beginning)
    )
    identifier = sa.bindparam("id", uuid5(SYSTEM_NAMESPACE, "resellers.auto_approval"), sa.Uuid())
    op.execute(
        sa.text(
            "INSERT INTO resellers_auto_approvals (id, cpf, valid_from) VALUES (:id, '15350946056', :beginning)"
        ).bindparams(identifier, beginning)
    )
