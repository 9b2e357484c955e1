-- Check the positions again under a lock, and raise the offset if new ones would not be higher than all stored ones;
-- return by how much: 0 if they would, or if another session has raised it meanwhile.
--
-- The lock waits for every transaction that has read the offset, and blocks further readers. Open transactions that
-- have not read it may have ids as low as the oldest, so the new offset lifts the oldest above all stored positions. It
-- is never lowered, and the caller cannot choose it: the function runs as the owner of the tables.
--
-- Raises CA202 if `positions` has no row: a restore is under way, or omitted it.

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
