-- Check, once for each statement that inserts postings, that each entry is whole, balanced and new, and that each
-- account's balance follows its postings.
--
-- Postings carry no foreign keys: one to the account would lock a system account's row at every posting and make it
-- hot. Each look-up is a scalar subquery on a primary key: a join's cached plan would scan tables that have grown
-- since. One plan for all values is not planned again, and by the bounds it opens no partition but those that the ids
-- lie in. The order allows only the primary key: while a month's partition is empty, all its indexes cost the same, and
-- the plan chosen then is kept when it fills.

CREATE FUNCTION ledger_check_postings() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    wrong record;
    least_id uuid;
    greatest_id uuid;
BEGIN
    SELECT entry_id INTO least_id FROM inserted ORDER BY entry_id LIMIT 1;
    SELECT entry_id INTO greatest_id FROM inserted ORDER BY entry_id DESC LIMIT 1;

    -- Entries: two lines or more, which add up to zero.
    SELECT * INTO wrong FROM (
        SELECT entry_id, sum(amount) <> 0 OR count(*) < 2 AS unbalanced,
               -- an entry's lines count from 0, so a second set of them violates the primary key or this check
               min(line) <> 0 OR max(line) <> count(*) - 1 AS partial,
               (SELECT e.id FROM ledger_entries e
                WHERE e.id BETWEEN entry_id AND entry_id AND e.id BETWEEN least_id AND greatest_id
                ORDER BY e.id LIMIT 1) IS NULL AS unknown
        FROM inserted GROUP BY entry_id
    ) entry WHERE unbalanced OR partial OR unknown LIMIT 1;
    IF FOUND AND wrong.unbalanced THEN
        RAISE EXCEPTION 'entry % is unbalanced', wrong.entry_id USING ERRCODE = 'CA003';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'entry % is unknown or takes no more postings', wrong.entry_id USING ERRCODE = 'CA004';
    END IF;

    -- Accounts: a customer's balance is its last posting's `balance_after`; a system account's postings are not
    -- numbered, since its balance is rolled up later.
    SELECT * INTO wrong FROM (
        SELECT DISTINCT ON (account_id) account_id, seq, balance_after
        FROM inserted ORDER BY account_id, seq DESC NULLS FIRST
    ) last
    WHERE NOT coalesce((
        SELECT CASE WHEN a.is_system THEN last.seq IS NULL
                    ELSE a.balance = last.balance_after AND a.version >= last.seq END
        FROM ledger_accounts a WHERE a.id = last.account_id
    ), false) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'account % is unknown, or its balance does not follow its postings', wrong.account_id
            USING ERRCODE = 'CA005';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER check_postings AFTER INSERT ON ledger_postings
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_postings();
