"""resellers, transit: who changed a purchase, recharges for cash and their claim."""

from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"

# `ledger.system_account("transit.cash")`, written out: a migration never changes with the code.
CASH = UUID("bd774433-154c-52b7-bb35-95f386e3310b")


def upgrade() -> None:
    op.execute("ALTER TABLE resellers_purchases ADD COLUMN changed_by uuid[] NOT NULL DEFAULT '{}'")
    accounts = sa.table(
        "ledger_accounts",
        sa.column("id", sa.Uuid()),
        sa.column("kind", sa.Text()),
        sa.column("is_system", sa.Boolean()),
        sa.column("may_go_negative", sa.Boolean()),
    )
    op.bulk_insert(accounts, [{"id": CASH, "kind": "transit.cash", "is_system": True, "may_go_negative": True}])
    op.execute("SELECT identity_seed_claim('transit:recharge', 'administrador', 'atendente')")
