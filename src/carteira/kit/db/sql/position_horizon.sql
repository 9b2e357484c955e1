-- Give the position below which all is decided: every transaction there is over, and none can appear later.
--
-- It is of the snapshot of the statement that asks, so that what the statement does not see lies at the horizon or
-- above; therefore the function is stable, and reads the offset in that snapshot too.

CREATE FUNCTION position_horizon() RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint + xid_offset FROM positions);
END $$;
