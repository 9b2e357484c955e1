-- Prove, once for each statement that inserts entries, that every new entry has postings.
--
-- Only line 0 is looked for, on the primary key. The triggers of one statement all run at its end, so an entry and its
-- postings have to be inserted by the same statement. What the postings add up to is the business of
-- ledger_check_postings. Without `enable_seqscan` the cached plan stays good however much the table grows.

CREATE FUNCTION ledger_check_entries() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    empty uuid;
BEGIN
    SELECT entry.id INTO empty FROM (
        SELECT added.id, (SELECT p.line FROM ledger_postings p WHERE p.entry_id = added.id AND p.line = 0) AS first
        FROM inserted added
    ) entry WHERE entry.first IS NULL LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % has no postings', empty USING ERRCODE = 'CA003';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER check_entries AFTER INSERT ON ledger_entries
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_entries();
