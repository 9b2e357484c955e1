"""kit, ledger: where the proofs of what is new go on from, and when the whole was last proved.

Columns without a default, which rewrites no row, on tables of three rows. What was proved before was the whole; where
it ended is not known, so that the next proof is of the whole, too. A position is stored that was not before, so that
`position_greatest` looks at it.

Former release: it goes on storing proofs of the whole, and leaves the new columns as they are.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0060"
down_revision = "0059"


def upgrade() -> None:
    for table in ("ledger_checks", "audit_checks"):
        op.add_column(table, sa.Column("whole_at", postgresql.TIMESTAMP(timezone=True), nullable=True))
        op.add_column(table, sa.Column("history", sa.Text(), nullable=True))
        op.add_column(table, sa.Column("height", sa.BigInteger(), nullable=True))
        op.add_column(table, sa.Column("hash", sa.LargeBinary(), nullable=True))
    op.add_column("ledger_checks", sa.Column("xid", sa.BigInteger(), nullable=True))
    op.add_column("ledger_checks", sa.Column("sums", postgresql.JSONB(), nullable=True))
    op.execute("UPDATE ledger_checks SET whole_at = checked_at")
    op.execute("UPDATE audit_checks SET whole_at = checked_at")
    op.execute(GREATEST)


GREATEST = """
CREATE OR REPLACE FUNCTION position_greatest() RETURNS bigint LANGUAGE plpgsql STABLE
SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT greatest(
        0,
        (SELECT max(xid) FROM events),
        (SELECT max(xid) FROM event_followers),
        (SELECT max(xid) FROM audit_log),
        (SELECT last_xid FROM audit_chain ORDER BY height DESC LIMIT 1),
        (SELECT max(xid) FROM ledger_entries),
        (SELECT last_xid FROM ledger_chain ORDER BY height DESC LIMIT 1),
        (SELECT max(rolled_up_to) FROM ledger_accounts WHERE is_system),
        (SELECT max(xid) FROM ledger_checks),
        (SELECT max(xid) FROM benefits_decisions),
        (SELECT max(xid) FROM benefits_returns)));
END $$
"""
