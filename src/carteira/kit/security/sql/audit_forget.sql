-- Delete the rows of the oldest block that has any, if all were recorded before an instant, and keep its hash; return
-- the number of deleted rows. It runs as the owner of the tables, so that others need no right to delete.

CREATE FUNCTION audit_forget(before timestamptz) RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    block audit_chain;
    gone bigint;
BEGIN
    IF before > now() - interval '5 years' THEN
        RAISE EXCEPTION 'the audit is kept for five years' USING ERRCODE = 'CA103';
    END IF;
    SELECT * INTO block FROM audit_chain WHERE seals IS NOT NULL ORDER BY height LIMIT 1 FOR UPDATE;
    IF NOT FOUND OR block.newest_at >= before THEN
        RETURN 0;
    END IF;
    DELETE FROM audit_log WHERE id IN (
        SELECT encode(substr(block.seals, 1 + 32 * place, 16), 'hex')::uuid
        FROM generate_series(0, length(block.seals) / 32 - 1) AS place);
    GET DIAGNOSTICS gone = ROW_COUNT;
    UPDATE audit_chain SET seals = NULL WHERE height = block.height;
    DELETE FROM audit_chain WHERE height < block.height;
    RETURN gone;
END $$;
