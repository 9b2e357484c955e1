"""positions: the default of every column that keeps one; the operator's accounts are found by an index.

Each statement is a transaction of its own, so that each table is locked for an instant and none while another is waited
for. Run again, it does the same.
"""

from alembic import op

revision = "0035"
down_revision = "0034"

TABLES = ("events", "audit_log", "ledger_entries", "benefits_decisions", "benefits_returns")


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for table in TABLES:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN xid SET DEFAULT position_now()")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_ledger_accounts_is_system")
        op.create_index(
            "ix_ledger_accounts_is_system",
            "ledger_accounts",
            ["id"],
            postgresql_where="is_system",
            postgresql_concurrently=True,
        )
