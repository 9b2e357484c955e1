"""`position_raise` without what PostgreSQL 18 is the first to know: old and new values in `RETURNING`."""

from collections.abc import Sequence

from alembic import op

revision: str = "0041"
down_revision: str | None = "0040"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

RAISE = """
CREATE OR REPLACE FUNCTION position_raise() RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
    former bigint;
    raised bigint;
BEGIN
    LOCK TABLE positions IN ACCESS EXCLUSIVE MODE;
    IF position_holds() THEN
        RETURN 0;
    END IF;
    SELECT xid_offset INTO former FROM positions;
    UPDATE positions
    SET table_id = tableoid,
        xid_offset = greatest(
            xid_offset, position_greatest() + 1 - pg_snapshot_xmin(pg_current_snapshot())::text::bigint)
    RETURNING xid_offset - former INTO raised;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'positions has no row' USING ERRCODE = 'CA202',
            HINT = 'wait for the restore to end; if it left the row out: INSERT INTO positions DEFAULT VALUES';
    END IF;
    RETURN raised;
END $$
"""


def upgrade() -> None:
    """Apply."""
    op.execute(RAISE)
