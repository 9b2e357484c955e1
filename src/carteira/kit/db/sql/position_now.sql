-- Return the position of the transaction: its id plus the offset in this database's `positions`.
--
-- Transaction ids begin anew in each cluster; positions continue, because a restore raises the offset
-- (`position_raise`). Reading the offset locks `positions` until the transaction ends, so that it is raised while
-- nobody writes under the old one. The function is volatile: after waiting for that lock it reads the new offset.
--
-- Raises CA201 if `positions` came with a restore and was not checked since: the offset may be another cluster's. So a
-- connection that was open before a restore writes nothing.

CREATE FUNCTION position_now() RETURNS bigint LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    mine bigint;
BEGIN
    SELECT pg_current_xact_id()::text::bigint + xid_offset INTO mine FROM positions WHERE table_id = tableoid;
    IF mine IS NULL THEN
        RAISE EXCEPTION 'the database was restored, and its positions were not looked at' USING ERRCODE = 'CA201',
            HINT = 'SELECT position_raise()';
    END IF;
    RETURN mine;
END $$;
