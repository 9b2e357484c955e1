-- Look at the positions again under a lock, and raise the offset where they do not hold; give by how much, 0 if they do,
-- if another was faster, or if the ids of this cluster are higher already.
--
-- The lock waits for every transaction that has read the offset, and lets none read it meanwhile. Transactions that are
-- open and have not may have ids as low as the oldest, so that the offset lifts that one above all that is stored. It
-- is never lowered, and nobody says how far it goes: the function does not run under the caller's rights.
--
-- Raises CA202 if `positions` has no row: a restore is under way, or left it out.

CREATE FUNCTION position_raise() RETURNS bigint LANGUAGE plpgsql
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
END $$;
