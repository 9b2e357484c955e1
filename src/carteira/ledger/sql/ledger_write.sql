-- Write a book the way earlier releases did, for their servers that still run during an upgrade. The product calls
-- ledger_post instead. Its entries have the actor `unknown`.
--
-- Accounts are set to what the caller computed, each compared with the version that was read; without `locked` their
-- rows are locked first. Raises CA001 if one was changed meanwhile.

CREATE TYPE ledger_new_balance AS (id uuid, read_version bigint, balance bigint, held bigint, version bigint);

CREATE TYPE ledger_new_posting AS (
    entry_id uuid, line smallint, account_id uuid, amount bigint, seq bigint, balance_after bigint
);

CREATE FUNCTION ledger_write(
    balances ledger_new_balance[], entries ledger_new_entry[], postings ledger_new_posting[],
    locked boolean
) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    stamp timestamptz;
    written integer;
    mine constant bigint := position_now(); -- the columns' default, called once
BEGIN
    IF NOT locked THEN -- in order of id, as all transactions lock; an UPDATE locks in the order of its scan
        PERFORM FROM ledger_accounts WHERE id IN (SELECT new.id FROM unnest(balances) AS new)
        ORDER BY id FOR NO KEY UPDATE;
    END IF;
    UPDATE ledger_accounts account
    SET balance = new.balance, held = new.held, version = new.version
    FROM unnest(balances) AS new
    WHERE account.id = new.id AND account.version = new.read_version AND NOT account.is_system;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written <> cardinality(balances) THEN
        RAISE EXCEPTION 'an account was changed by another transaction' USING ERRCODE = 'CA001';
    END IF;
    stamp := clock_timestamp();
    IF cardinality(entries) > 0 THEN
        WITH entry AS (
            INSERT INTO ledger_entries (id, xid, kind, description, key, reverses_id, posted_at, actor_kind, actor_id)
            SELECT new.id, mine, new.kind, new.description, new.key, new.reverses_id, stamp, 'unknown', 'former release'
            FROM unnest(entries) AS new
        ), taken AS (
            INSERT INTO ledger_keys (key, entry_id)
            SELECT new.key, new.id FROM unnest(entries) AS new WHERE new.key IS NOT NULL
        ), undone AS (
            INSERT INTO ledger_reversals (reverses_id, entry_id)
            SELECT new.reverses_id, new.id FROM unnest(entries) AS new WHERE new.reverses_id IS NOT NULL
        )
        INSERT INTO ledger_postings (entry_id, line, account_id, amount, seq, balance_after, posted_at)
        SELECT new.entry_id, new.line, new.account_id, new.amount, new.seq, new.balance_after, stamp
        FROM unnest(postings) AS new;
    END IF;
    RETURN stamp;
END $$;

-- The same with one array for each column, as still earlier releases called it.
CREATE FUNCTION ledger_write(
    account_ids uuid[], read_versions bigint[], balances bigint[], held_amounts bigint[], versions bigint[],
    entry_ids uuid[], kinds text[], descriptions text[], keys text[], reverses uuid[],
    posting_entries uuid[], lines smallint[], posting_accounts uuid[], amounts bigint[],
    seqs bigint[], balances_after bigint[], locked boolean
) RETURNS timestamptz LANGUAGE sql AS $$
    SELECT ledger_write(
        ARRAY(SELECT ROW(a, b, c, d, e)::ledger_new_balance
              FROM unnest(account_ids, read_versions, balances, held_amounts, versions) AS new (a, b, c, d, e)),
        ARRAY(SELECT ROW(a, b, c, d, e)::ledger_new_entry
              FROM unnest(entry_ids, kinds, descriptions, keys, reverses) AS new (a, b, c, d, e)),
        ARRAY(SELECT ROW(a, b, c, d, e, f)::ledger_new_posting
              FROM unnest(posting_entries, lines, posting_accounts, amounts, seqs, balances_after)
                   AS new (a, b, c, d, e, f)),
        locked)
$$;
