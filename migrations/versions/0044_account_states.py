"""benefits: accounts are blocked, active again, closed, and know the name that HR writes.

The state has a constant default, so that no row is rewritten; the check is made valid after the lock is gone. Run
again, it does the same.
"""

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0043"


def upgrade() -> None:
    op.execute(
        "ALTER TABLE benefits_accounts ADD COLUMN IF NOT EXISTS name text,"
        " ADD COLUMN IF NOT EXISTS state text DEFAULT 'active' NOT NULL,"
        " DROP CONSTRAINT IF EXISTS ck_benefits_accounts_state"
    )
    op.execute(
        "ALTER TABLE benefits_accounts ADD CONSTRAINT ck_benefits_accounts_state"
        " CHECK (state IN ('active', 'blocked', 'closed')) NOT VALID"
    )
    op.execute("""
        CREATE OR REPLACE TRIGGER bump_catalog AFTER UPDATE OF state ON benefits_accounts
        FOR EACH STATEMENT EXECUTE FUNCTION benefits_bump_catalog()
    """)
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE benefits_accounts VALIDATE CONSTRAINT ck_benefits_accounts_state")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_benefits_accounts_blocked")
        op.create_index(
            "ix_benefits_accounts_blocked",
            "benefits_accounts",
            ["id"],
            postgresql_where=sa.text("state = 'blocked'"),
            postgresql_concurrently=True,
        )
