"""benefits: accounts, the catalog of categories and merchants, the authorizer's decisions, returns, claim codes."""

from uuid import UUID, uuid5

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0003"
down_revision = "0002"

SYSTEM_NAMESPACE = UUID("5b1d7c52-94f3-5c55-9a44-1d9f1f0c3a11")
CATALOG_TABLES = ("benefits_categories", "benefits_mccs", "benefits_merchants")


def upgrade() -> None:
    _create_accounts()
    _create_catalog()
    _create_decisions()
    _create_returns_and_claims()
    for kind in ("benefits.settlement", "benefits.funding"):
        op.execute(
            sa.text(
                "INSERT INTO ledger_accounts (id, kind, is_system, may_go_negative) VALUES (:id, :kind, true, true)"
            ).bindparams(sa.bindparam("id", uuid5(SYSTEM_NAMESPACE, kind), sa.Uuid()), kind=kind)
        )


def _create_accounts() -> None:
    op.create_table(
        "benefits_accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("cpf", sa.Text()),
        sa.Column("user_id", sa.Uuid()),
        sa.Column("contact", sa.Text()),
        sa.Column("created_at", TIMESTAMP(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_benefits_accounts"),
        sa.UniqueConstraint("reference", name="uq_benefits_accounts_reference"),
        sa.CheckConstraint("reference ~ '^[A-Za-z0-9._:-]{1,64}$'", name="reference"),
    )
    for column in ("cpf", "user_id"):
        op.create_index(
            f"ix_benefits_accounts_{column}",
            "benefits_accounts",
            [column],
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )


def _create_catalog() -> None:
    op.create_table(
        "benefits_categories",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("regime", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_benefits_categories"),
        sa.CheckConstraint("name ~ '^[A-Z][A-Z0-9_]{0,31}$'", name="name"),
        sa.CheckConstraint("regime IN ('pat', 'free')", name="regime"),
    )
    op.create_table(
        "benefits_mccs",
        sa.Column("mcc", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("mcc", name="pk_benefits_mccs"),
        sa.ForeignKeyConstraint(["category"], ["benefits_categories.name"], name="fk_benefits_mccs_category"),
        sa.CheckConstraint("mcc ~ '^[0-9]{4}$'", name="mcc"),
    )
    op.create_table(
        "benefits_merchants",
        sa.Column("match", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("mcc", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("match", name="pk_benefits_merchants"),
        sa.CheckConstraint("mcc ~ '^[0-9]{4}$'", name="mcc"),
    )
    op.create_table(
        "benefits_catalog_version",
        sa.Column("only_row", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("only_row", name="pk_benefits_catalog_version"),
        sa.CheckConstraint("only_row", name="only_row"),
    )
    op.execute("INSERT INTO benefits_catalog_version (version) VALUES (1)")
    op.execute(
        "INSERT INTO benefits_categories (name, regime) VALUES ('FOOD', 'pat'), ('MEAL', 'pat'), ('CASH', 'free')"
    )
    op.execute(
        "INSERT INTO benefits_mccs (mcc, category)"
        " VALUES ('5411', 'FOOD'), ('5412', 'FOOD'), ('5811', 'MEAL'), ('5812', 'MEAL')"
    )
    op.execute("""
        CREATE FUNCTION benefits_bump_catalog() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE benefits_catalog_version SET version = version + 1;
            RETURN NULL;
        END $$
    """)
    for table in CATALOG_TABLES:
        op.execute(
            f"CREATE TRIGGER bump_catalog AFTER INSERT OR UPDATE OR DELETE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION benefits_bump_catalog()"
        )


def _create_decisions() -> None:
    op.create_table(
        "benefits_decisions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "xid", sa.BigInteger(), server_default=sa.text("(pg_current_xact_id()::text::bigint)"), nullable=False
        ),
        sa.Column("external_id", sa.Text()),
        sa.Column("account_id", sa.Uuid()),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger()),
        sa.Column("mcc", sa.Text()),
        sa.Column("merchant", sa.Text()),
        sa.Column("fallback", sa.Boolean(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("category_tried", sa.Text()),
        sa.Column("category_used", sa.Text()),
        sa.Column("rule", sa.Text()),
        sa.Column("short_by", sa.BigInteger()),
        sa.Column("created_at", TIMESTAMP(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_benefits_decisions"),
    )
    op.create_index(
        "uq_benefits_decisions_external_id",
        "benefits_decisions",
        ["external_id"],
        unique=True,
        postgresql_where=sa.text("external_id IS NOT NULL"),
    )
    op.create_index("ix_benefits_decisions_account_id_id", "benefits_decisions", ["account_id", "id"])
    op.create_index("ix_benefits_decisions_xid_id", "benefits_decisions", ["xid", "id"])
    op.create_index(
        "ix_benefits_decisions_declined", "benefits_decisions", ["id"], postgresql_where=sa.text("code <> '00'")
    )
    op.execute("""
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON benefits_decisions
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()
    """)


def _create_returns_and_claims() -> None:
    op.create_table(
        "benefits_returns",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("decision_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_benefits_returns"),
        sa.ForeignKeyConstraint(["decision_id"], ["benefits_decisions.id"], name="fk_benefits_returns_decision_id"),
        sa.CheckConstraint("kind IN ('reversal', 'refund')", name="kind"),
        sa.CheckConstraint("amount > 0", name="amount"),
    )
    op.create_index("ix_benefits_returns_decision_id", "benefits_returns", ["decision_id"])
    op.create_table(
        "benefits_claim_codes",
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("code_hash", sa.Text(), nullable=False),
        sa.Column("tries", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("expires_at", TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_benefits_claim_codes"),
        sa.ForeignKeyConstraint(["account_id"], ["benefits_accounts.id"], name="fk_benefits_claim_codes_account_id"),
    )
