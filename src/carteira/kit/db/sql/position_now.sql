-- Give the position of the transaction: its id and the offset of this database's `positions`.
--
-- Transaction ids are a cluster's own. What is stored is a position, which goes on in another cluster, where the offset
-- was raised (`position_raise`). Reading the offset locks `positions` until the transaction ends, so that it is raised
-- while nobody writes under the old one. The function is volatile: whoever waited for that lock reads what is there
-- behind it.
--
-- Raises CA201 if `positions` came with a restore and nobody has looked at it since: the offset may be another
-- cluster's. A connection that was open before a restore finds this out.

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
