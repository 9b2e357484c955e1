-- Serialise reversals and refunds of an entry, as `ledger.lock_entry` does, and raise CA001 if it was reversed.

CREATE FUNCTION ledger_keep_entry(entry uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(entry::text, 1));
    IF EXISTS (SELECT FROM ledger_reversals reversal WHERE reversal.reverses_id = entry) THEN
        RAISE EXCEPTION 'the entry was reversed' USING ERRCODE = 'CA001';
    END IF;
    RETURN true;
END $$;
