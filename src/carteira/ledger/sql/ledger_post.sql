-- Write a book: move accounts, then insert entries and their postings. The product posts only by this
-- function (`ledger.write`), in one round trip.
--
-- Accounts move first, each from the version with which the entry was decided, or with `follow` from their present
-- version, as long as the balance suffices. Entries and postings have one instant, which is taken after the locks, so
-- that an account's instants never run backwards. Returns that instant. All entries of a book have one actor, and one
-- approver or none.
--
-- Raises CA001 if an account cannot be moved, CA005 if balances do not move as the postings do.

-- How far an account moves: from which version and balance, by how many centavos and how many versions (`steps`).
CREATE TYPE ledger_move AS (
    account_id uuid, read_version bigint, read_balance bigint, change bigint, held_change bigint, steps bigint
);

CREATE TYPE ledger_posted_entry AS (
    id uuid, kind text, description text, key text, reverses_id uuid, actor_kind text, actor_id text
);

-- `seq` and `balance_after` are the account's, as the book was read; `move` is the place of the account's move among
-- the moves, from 1. All three are null for system accounts.
CREATE TYPE ledger_line AS (
    entry_id uuid, line smallint, account_id uuid, amount bigint, seq bigint, balance_after bigint, move integer
);

-- The settings allow only one plan of the update: account by account in the order of the subquery, in which all
-- transactions lock accounts.
CREATE FUNCTION ledger_post(
    moves ledger_move[], entries ledger_posted_entry[], lines ledger_line[], follow boolean, approved_by uuid
) RETURNS timestamptz LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    stamp timestamptz;
    moved integer;
    versions_ahead bigint[]; -- how far the accounts were moved on since the book was read
    balances_ahead bigint[];
    mine constant bigint := position_now(); -- the columns' default, called once
BEGIN
    IF (SELECT coalesce(sum(change), 0) FROM unnest(moves))
       <> (SELECT coalesce(sum(amount), 0) FROM unnest(lines) WHERE seq IS NOT NULL) THEN
        RAISE EXCEPTION 'balances do not move as the postings do' USING ERRCODE = 'CA005';
    END IF;

    WITH done AS (
        UPDATE ledger_accounts account
        SET balance = account.balance + move.change,
            held = account.held + move.held_change,
            version = account.version + move.steps
        FROM (SELECT * FROM unnest(moves) WITH ORDINALITY AS given ORDER BY account_id) AS move
        WHERE account.id = move.account_id AND NOT account.is_system
          AND (account.version = move.read_version
               OR follow AND (account.may_go_negative OR account.balance - account.held + move.change >= 0))
        RETURNING ordinality AS place,
                  account.version - move.steps - move.read_version AS versions,
                  account.balance - move.change - move.read_balance AS balance
    )
    SELECT count(*), array_agg(versions ORDER BY place), array_agg(balance ORDER BY place)
    INTO moved, versions_ahead, balances_ahead FROM done;
    IF moved <> cardinality(moves) THEN
        RAISE EXCEPTION 'an account was changed by another transaction' USING ERRCODE = 'CA001';
    END IF;

    stamp := clock_timestamp();
    IF cardinality(entries) > 0 THEN
        -- One statement, so that ledger_check_entries finds each entry's postings.
        WITH entry AS (
            INSERT INTO ledger_entries (
                id, xid, kind, description, key, reverses_id, posted_at, actor_kind, actor_id, approved_by
            )
            SELECT new.id, mine, new.kind, new.description, new.key, new.reverses_id, stamp,
                   new.actor_kind, new.actor_id, ledger_post.approved_by
            FROM unnest(entries) AS new
        ), taken AS (
            INSERT INTO ledger_keys (key, entry_id)
            SELECT new.key, new.id FROM unnest(entries) AS new WHERE new.key IS NOT NULL
        ), undone AS (
            INSERT INTO ledger_reversals (reverses_id, entry_id)
            SELECT new.reverses_id, new.id FROM unnest(entries) AS new WHERE new.reverses_id IS NOT NULL
        )
        INSERT INTO ledger_postings (entry_id, line, account_id, amount, seq, balance_after, posted_at)
        SELECT new.entry_id, new.line, new.account_id, new.amount, new.seq + versions_ahead[new.move],
               new.balance_after + balances_ahead[new.move], stamp
        FROM unnest(lines) AS new;
    END IF;
    RETURN stamp;
END $$;

-- The same function as former releases call it, with one actor for all entries or without one: their servers still run
-- during an upgrade.
CREATE TYPE ledger_new_entry AS (id uuid, kind text, description text, key text, reverses_id uuid);

CREATE FUNCTION ledger_post(
    moves ledger_move[], entries ledger_new_entry[], lines ledger_line[], follow boolean,
    actor_kind text, actor_id text, approved_by uuid
) RETURNS timestamptz LANGUAGE sql AS $$
    SELECT ledger_post(
        moves,
        ARRAY(SELECT ROW(new.id, new.kind, new.description, new.key, new.reverses_id,
                         ledger_post.actor_kind, ledger_post.actor_id)::ledger_posted_entry
              FROM unnest(entries) AS new),
        lines, follow, ledger_post.approved_by)
$$;

CREATE FUNCTION ledger_post(
    moves ledger_move[], entries ledger_new_entry[], lines ledger_line[], follow boolean
) RETURNS timestamptz LANGUAGE sql AS $$
    SELECT ledger_post(moves, entries, lines, follow, 'unknown', 'former release', NULL)
$$;
