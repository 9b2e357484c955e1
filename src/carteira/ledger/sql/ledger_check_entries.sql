-- Prove, once for each statement that inserts entries, that every new entry has postings and an actor.
--
-- Entries older than actors have none, so that this is no constraint. `unknown` is who posts through the functions of
-- former releases.
--
-- Of the postings only line 0 is looked for, on the primary key. The triggers of one statement all run at its end, so
-- an entry and its postings have to be inserted by the same statement. What the postings add up to is the business of
-- ledger_check_postings. Without `enable_seqscan` the cached plan stays good however much the table grows.

CREATE FUNCTION ledger_check_entries() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    wrong record;
BEGIN
    SELECT * INTO wrong FROM (
        SELECT added.id,
               (SELECT p.line FROM ledger_postings p WHERE p.entry_id = added.id AND p.line = 0) IS NULL AS empty,
               coalesce(added.actor_kind NOT IN ('person', 'client', 'processor', 'job', 'command', 'unknown')
                        OR added.actor_id = '', true) AS nobodys
        FROM inserted added
    ) entry WHERE empty OR nobodys LIMIT 1;
    IF FOUND AND wrong.empty THEN
        RAISE EXCEPTION 'entry % has no postings', wrong.id USING ERRCODE = 'CA003';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'entry % has no actor', wrong.id USING ERRCODE = 'CA006';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER check_entries AFTER INSERT ON ledger_entries
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_entries();
