-- Return the position below which every transaction has ended and no new one can appear.
--
-- It belongs to the calling statement's snapshot: rows that the statement does not see are at the horizon or above.
-- Therefore the function is stable, and reads the offset in that snapshot, too.

CREATE FUNCTION position_horizon() RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint + xid_offset FROM positions);
END $$;
