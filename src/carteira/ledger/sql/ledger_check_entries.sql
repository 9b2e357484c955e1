-- Check, once for each statement that inserts entries, that every new entry has postings and an actor, and that
-- ledger_keys and ledger_reversals, where keys and reversals are unique for ever, name this entry for its own.
--
-- Entries of releases without actors have none, so a constraint would not hold. The functions that former releases call
-- post as `unknown`.
--
-- Only line 0 of the postings is looked up, by the primary key. The triggers of one statement all run at its end, so an
-- entry and its postings have to be inserted by the same statement. ledger_check_postings checks the postings' sum.
-- Without `enable_seqscan` the cached plan stays good however much the table grows; one plan for all values is not
-- planned again, and by the bounds it opens no partition but those that the ids lie in.

CREATE FUNCTION ledger_check_entries() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    wrong record;
    least_id uuid;
    greatest_id uuid;
BEGIN
    SELECT id INTO least_id FROM inserted ORDER BY id LIMIT 1;
    SELECT id INTO greatest_id FROM inserted ORDER BY id DESC LIMIT 1;
    SELECT * INTO wrong FROM (
        SELECT added.id,
               (SELECT p.line FROM ledger_postings p
                WHERE p.entry_id = added.id AND p.line = 0 AND p.entry_id BETWEEN least_id AND greatest_id
               ) IS NULL AS empty,
               coalesce(added.actor_kind NOT IN ('person', 'client', 'processor', 'job', 'command', 'unknown')
                        OR added.actor_id = '', true) AS nobodys,
               added.key IS NOT NULL
                   AND (SELECT k.entry_id FROM ledger_keys k WHERE k.key = added.key) IS DISTINCT FROM added.id
               OR added.reverses_id IS NOT NULL
                   AND (SELECT r.entry_id FROM ledger_reversals r WHERE r.reverses_id = added.reverses_id)
                       IS DISTINCT FROM added.id AS anothers
        FROM inserted added
    ) entry WHERE empty OR nobodys OR anothers LIMIT 1;
    IF FOUND AND wrong.anothers THEN
        RAISE EXCEPTION 'the key of entry %, or what it undoes, is not its own', wrong.id USING ERRCODE = '23505';
    ELSIF FOUND AND wrong.empty THEN
        RAISE EXCEPTION 'entry % has no postings', wrong.id USING ERRCODE = 'CA003';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'entry % has no actor', wrong.id USING ERRCODE = 'CA006';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER check_entries AFTER INSERT ON ledger_entries
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_entries();
