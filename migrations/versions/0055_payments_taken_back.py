"""payments: returns that were made at the provider and asked for by nobody here, and what of them is a loss.

Both constraints are checked apart from being added: rows may be read and written meanwhile. The indexes stand on
few rows of a table that is new.

Former release: it knows no returns; its roll-up reads the new account from now on.
"""

from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "0055"
down_revision = "0054"

# `ledger.system_account("payments.lost")`, written out: a migration never changes with the code.
LOST = UUID("94aa38eb-4cf6-569a-af88-4b5c9dacba03")


def upgrade() -> None:
    op.add_column("payments_returns", sa.Column("nature", sa.Text(), nullable=True))
    op.add_column("payments_returns", sa.Column("provider_id", sa.Text(), nullable=True))
    op.add_column("payments_returns", sa.Column("lost", sa.BigInteger(), server_default="0", nullable=False))
    for name, condition in (
        ("ck_payments_returns_nature", "(nature IS NULL) = (provider_id IS NULL)"),
        ("ck_payments_returns_lost", "lost BETWEEN 0 AND amount AND (lost = 0 OR nature IS NOT NULL)"),
    ):
        op.execute(f"ALTER TABLE payments_returns ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID")
        op.execute(f"ALTER TABLE payments_returns VALIDATE CONSTRAINT {name}")
    op.create_index(
        "ix_payments_returns_taken_back", "payments_returns", ["settled_at"], postgresql_where="nature IS NOT NULL"
    )
    op.create_index("uq_payments_returns_provider_id", "payments_returns", ["e2eid", "provider_id"], unique=True)
    accounts = sa.table(
        "ledger_accounts",
        sa.column("id", sa.Uuid()),
        sa.column("kind", sa.Text()),
        sa.column("is_system", sa.Boolean()),
        sa.column("may_go_negative", sa.Boolean()),
        sa.column("rolled_up_to", sa.BigInteger()),
    )
    row = {
        "id": LOST,
        "kind": "payments.lost",
        "is_system": True,
        "may_go_negative": True,
        "rolled_up_to": sa.func.position_horizon(),
    }
    op.execute(accounts.insert().values(row))
