-- Return whether every stored position is lower than all that will be assigned. Both sides are read in one snapshot, in
-- which every stored row is of a transaction that has ended: in the cluster that wrote the rows the answer is always
-- true. It may be false after a restore, until `position_raise` has checked `positions`.
--
-- A standby writes nothing, and continues its primary's ids when it is promoted.

CREATE FUNCTION position_holds() RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
BEGIN
    RETURN pg_is_in_recovery() OR coalesce((
        SELECT table_id = tableoid
               AND pg_snapshot_xmax(pg_current_snapshot())::text::bigint + xid_offset > position_greatest()
        FROM positions), false);
END $$;
