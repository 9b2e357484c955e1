-- Tell whether every position that is stored lies below those that are still to come. Both sides are of one snapshot,
-- in which whatever is stored was written by a transaction that is over: in the cluster where it was written it always
-- holds. It does not in a `positions` that came with a restore and was not looked at since.
--
-- A standby writes nothing, and goes on with its primary's ids when it is promoted.

CREATE FUNCTION position_holds() RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
BEGIN
    RETURN pg_is_in_recovery() OR coalesce((
        SELECT table_id = tableoid
               AND pg_snapshot_xmax(pg_current_snapshot())::text::bigint + xid_offset > position_greatest()
        FROM positions), false);
END $$;
