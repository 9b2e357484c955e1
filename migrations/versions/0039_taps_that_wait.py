"""transit: a tap whose clock is impossible waits for an operator, who holds a claim of its own.

The checks are proved without a lock; the index, of the few taps that wait, is built beside validators' taps.
"""

from alembic import op

revision = "0039"
down_revision = "0038"

RESULTS = "result IN ('debited', 'owed', 'denied', 'waiting')"
FARE = (
    "CASE WHEN result = 'denied' THEN paid = 0 AND owed = 0 AND reason IS NOT NULL"
    " WHEN result IS NULL OR result = 'waiting' THEN paid = 0 AND owed = 0 ELSE paid + owed = amount END"
)


def upgrade() -> None:
    for name, rule in (("result", RESULTS), ("fare", FARE)):
        op.execute(
            f"ALTER TABLE transit_taps DROP CONSTRAINT ck_transit_taps_{name},"
            f" ADD CONSTRAINT ck_transit_taps_{name} CHECK ({rule}) NOT VALID"
        )
        op.execute(f"ALTER TABLE transit_taps VALIDATE CONSTRAINT ck_transit_taps_{name}")
    op.execute("SELECT identity_seed_claim('transit:review', 'administrador', 'atendente')")
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_transit_taps_waiting")
        op.execute("CREATE INDEX CONCURRENTLY ix_transit_taps_waiting ON transit_taps (id) WHERE result = 'waiting'")
