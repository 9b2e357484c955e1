"""ledger: each entry keeps who moved the money and who approved it, and its block in the chain proves both.

Entries of before have no actor. Servers of the release before go on posting through their own functions, which cannot
say who: their entries are by `unknown`. Their workers stop sealing, since a block has to say its version: what they
leave is sealed by the first worker of this release.
"""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    # The chain first: whoever verifies it reads it before the entries, and holds it for long.
    for statement in (*CHAIN, *ENTRIES, POST, FORMER_POST, FORMER_WRITE, CHECK_ENTRIES):
        op.execute(statement)


# A constant default writes no row, and is dropped at once.
CHAIN = (
    "ALTER TABLE ledger_chain ADD COLUMN version smallint DEFAULT 1 NOT NULL",
    "ALTER TABLE ledger_chain ALTER COLUMN version DROP DEFAULT",
)
ENTRIES = (
    "ALTER TABLE ledger_entries ADD COLUMN actor_kind text, ADD COLUMN actor_id text, ADD COLUMN approved_by uuid",
)

# No constraint, since entries of before have no actor.
CHECK_ENTRIES = """
CREATE OR REPLACE FUNCTION ledger_check_entries() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
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
END $$
"""

POST = """
CREATE FUNCTION ledger_post(
    moves ledger_move[], entries ledger_new_entry[], lines ledger_line[], follow boolean,
    actor_kind text, actor_id text, approved_by uuid
) RETURNS timestamptz LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    stamp timestamptz;
    moved integer;
    versions_ahead bigint[]; -- how far the accounts were moved on since the book was read
    balances_ahead bigint[];
    mine constant bigint := pg_current_xact_id()::text::bigint; -- as the default, but once
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
                  old.version - move.read_version AS versions, old.balance - move.read_balance AS balance
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
                   ledger_post.actor_kind, ledger_post.actor_id, ledger_post.approved_by
            FROM unnest(entries) AS new
        )
        INSERT INTO ledger_postings (entry_id, line, account_id, amount, seq, balance_after, posted_at)
        SELECT new.entry_id, new.line, new.account_id, new.amount, new.seq + versions_ahead[new.move],
               new.balance_after + balances_ahead[new.move], stamp
        FROM unnest(lines) AS new;
    END IF;
    RETURN stamp;
END $$
"""

FORMER_POST = """
CREATE OR REPLACE FUNCTION ledger_post(
    moves ledger_move[], entries ledger_new_entry[], lines ledger_line[], follow boolean
) RETURNS timestamptz LANGUAGE sql AS $$
    SELECT ledger_post(moves, entries, lines, follow, 'unknown', 'former release', NULL)
$$
"""

FORMER_WRITE = """
CREATE OR REPLACE FUNCTION ledger_write(
    balances ledger_new_balance[], entries ledger_new_entry[], postings ledger_new_posting[],
    locked boolean
) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    stamp timestamptz;
    written integer;
    mine constant bigint := pg_current_xact_id()::text::bigint; -- as the default, but once
BEGIN
    IF NOT locked THEN -- in id order, as everybody locks; an UPDATE alone would lock as it finds them
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
        )
        INSERT INTO ledger_postings (entry_id, line, account_id, amount, seq, balance_after, posted_at)
        SELECT new.entry_id, new.line, new.account_id, new.amount, new.seq, new.balance_after, stamp
        FROM unnest(postings) AS new;
    END IF;
    RETURN stamp;
END $$
"""
