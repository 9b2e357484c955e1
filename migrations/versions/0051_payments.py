"""payments: charges, what is received, returns, days compared with the provider; their accounts and claims.

Former release: it knows neither these tables nor the claims; its roll-up reads the new accounts from now on.
"""

from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0051"
down_revision = "0050"

# `ledger.system_account(…)`, written out: a migration never changes with the code.
ACCOUNTS = {
    "payments.provider": UUID("24e6927a-fff6-55d3-9e43-37d1e055b33a"),
    "payments.to_return": UUID("6b9a81ef-0064-5925-94f5-9427e3c6ed47"),
    "payments.returning": UUID("221f9000-4003-591c-b028-c56fca894de8"),
}


def upgrade() -> None:
    op.create_table(
        "payments_charges",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("txid", sa.Text(), nullable=False),
        sa.Column("asked_as", sa.Uuid(), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("target_id", sa.Uuid(), nullable=False),
        sa.Column("maker_kind", sa.Text(), nullable=False),
        sa.Column("maker_id", sa.Uuid(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=True),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("paid_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'paid') = (paid_at IS NOT NULL)", name=op.f("ck_payments_charges_paid_at")),
        sa.CheckConstraint(
            "state IN ('creating', 'active', 'paid', 'refused')", name=op.f("ck_payments_charges_state")
        ),
        sa.CheckConstraint(
            "state NOT IN ('active', 'paid') OR location IS NOT NULL", name=op.f("ck_payments_charges_location")
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_payments_charges_amount")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments_charges")),
        sa.UniqueConstraint("txid", name=op.f("uq_payments_charges_txid")),
        sa.UniqueConstraint("asked_as", name=op.f("uq_payments_charges_asked_as")),
    )
    op.create_index(
        "ix_payments_charges_creating", "payments_charges", ["id"], unique=False, postgresql_where="state = 'creating'"
    )
    op.create_index("ix_payments_charges_maker_id", "payments_charges", ["maker_id", "id"], unique=False)
    op.create_index("ix_payments_charges_target_id", "payments_charges", ["target_id", "id"], unique=False)
    op.create_table(
        "payments_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("matched", sa.BigInteger(), nullable=False),
        sa.Column("missing_here", sa.BigInteger(), nullable=False),
        sa.Column("missing_there", sa.BigInteger(), nullable=False),
        sa.Column("amount_differs", sa.BigInteger(), nullable=False),
        sa.Column("received_here", sa.BigInteger(), nullable=False),
        sa.Column("received_there", sa.BigInteger(), nullable=False),
        sa.Column("returned_here", sa.BigInteger(), nullable=False),
        sa.Column("returned_there", sa.BigInteger(), nullable=False),
        sa.Column("checked_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_payments_days")),
    )
    op.create_table(
        "payments_read",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("read_until", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_payments_read_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments_read")),
    )
    op.create_table(
        "payments_differences",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("e2eid", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("here", sa.BigInteger(), nullable=True),
        sa.Column("there", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('missing_here', 'missing_there', 'amount_differs')", name=op.f("ck_payments_differences_kind")
        ),
        sa.ForeignKeyConstraint(["day"], ["payments_days.day"], name=op.f("fk_payments_differences_day")),
        sa.PrimaryKeyConstraint("day", "e2eid", name=op.f("pk_payments_differences")),
    )
    op.create_table(
        "payments_received",
        sa.Column("e2eid", sa.Text(), nullable=False),
        sa.Column("txid", sa.Text(), nullable=True),
        sa.Column("charge_id", sa.Uuid(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("paid_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("credited", sa.BigInteger(), nullable=False),
        sa.Column("unplaced", sa.BigInteger(), nullable=False),
        sa.Column("given_back", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("found_by", sa.Text(), nullable=False),
        sa.Column("received_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint("e2eid ~ '^[A-Za-z0-9]{32}$'", name=op.f("ck_payments_received_e2eid")),
        sa.CheckConstraint(
            "found_by IN ('webhook', 'polling', 'reconciliation')", name=op.f("ck_payments_received_found_by")
        ),
        sa.CheckConstraint("(credited = 0) = (reason IS NOT NULL)", name=op.f("ck_payments_received_reason")),
        sa.CheckConstraint("amount > 0", name=op.f("ck_payments_received_amount")),
        sa.CheckConstraint("credited IN (0, amount)", name=op.f("ck_payments_received_credited")),
        sa.CheckConstraint(
            "unplaced >= 0 AND given_back >= 0 AND unplaced + given_back <= amount",
            name=op.f("ck_payments_received_returns"),
        ),
        sa.ForeignKeyConstraint(["charge_id"], ["payments_charges.id"], name=op.f("fk_payments_received_charge_id")),
        sa.PrimaryKeyConstraint("e2eid", name=op.f("pk_payments_received")),
    )
    op.create_index("ix_payments_received_charge_id", "payments_received", ["charge_id"], unique=False)
    op.create_index("ix_payments_received_paid_at", "payments_received", ["paid_at", "e2eid"], unique=False)
    op.create_index(
        "ix_payments_received_unplaced", "payments_received", ["paid_at"], unique=False, postgresql_where="unplaced > 0"
    )
    op.create_table(
        "payments_returns",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("e2eid", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("maker_kind", sa.Text(), nullable=False),
        sa.Column("maker_id", sa.Text(), nullable=False),
        sa.Column("asked_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("settled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'asked') = (settled_at IS NULL)", name=op.f("ck_payments_returns_settled_at")),
        sa.CheckConstraint("state IN ('asked', 'returned', 'failed')", name=op.f("ck_payments_returns_state")),
        sa.CheckConstraint("amount > 0", name=op.f("ck_payments_returns_amount")),
        sa.ForeignKeyConstraint(["e2eid"], ["payments_received.e2eid"], name=op.f("fk_payments_returns_e2eid")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments_returns")),
    )
    op.create_index(
        "ix_payments_returns_asked", "payments_returns", ["id"], unique=False, postgresql_where="state = 'asked'"
    )
    op.create_index("ix_payments_returns_e2eid", "payments_returns", ["e2eid"], unique=False)
    accounts = sa.table(
        "ledger_accounts",
        sa.column("id", sa.Uuid()),
        sa.column("kind", sa.Text()),
        sa.column("is_system", sa.Boolean()),
        sa.column("may_go_negative", sa.Boolean()),
        sa.column("rolled_up_to", sa.BigInteger()),
    )
    rows = [
        {
            "id": made,
            "kind": kind,
            "is_system": True,
            "may_go_negative": True,
            "rolled_up_to": sa.func.position_horizon(),
        }
        for kind, made in ACCOUNTS.items()
    ]
    op.execute(accounts.insert().values(rows))
    op.execute("SELECT identity_seed_claim('payments:read', 'administrador', 'atendente', 'auditor')")
    op.execute("SELECT identity_seed_claim('payments:return', 'administrador', 'atendente')")
    op.execute("SELECT identity_seed_claim('benefits:fund', 'administrador', 'RH')")
