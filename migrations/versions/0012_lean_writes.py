"""ledger, benefits: rows travel as arrays of composite types, an entry and its postings go in with one statement.

What is checked stays the same and is cheaper: the check that an entry has postings ran once for each entry at the
commit, and now runs once for the statement. Servers of the release before go on calling `ledger_write` with its
seventeen arrays until they are replaced.
"""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    for statement in (*TYPES, WRITE, FORMER_WRITE, CHECK_ENTRIES, *SWAP_TRIGGERS):
        op.execute(statement)


TYPES = (
    "CREATE TYPE ledger_new_balance AS (id uuid, read_version bigint, balance bigint, held bigint, version bigint)",
    "CREATE TYPE ledger_new_entry AS (id uuid, kind text, description text, key text, reverses_id uuid)",
    """CREATE TYPE ledger_new_posting AS (
        entry_id uuid, line smallint, account_id uuid, amount bigint, seq bigint, balance_after bigint)""",
    """CREATE TYPE benefits_new_decision AS (
        id uuid, external_id text, account_id uuid, account text, amount bigint, mcc text, merchant text,
        fallback boolean, code text, reason text, category_tried text, category_used text, rule text,
        short_by bigint)""",
)

# Postings are looked for on their primary key, and the triggers of one statement all run at its end: an entry's
# postings have to come with it.
CHECK_ENTRIES = """
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
END $$
"""
SWAP_TRIGGERS = (
    "DROP TRIGGER check_entry ON ledger_entries",
    "DROP FUNCTION ledger_check_entry()",
    """CREATE TRIGGER check_entries AFTER INSERT ON ledger_entries
       REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_entries()""",
)

# The one way in: accounts first, each compared with the version that the decision was taken on, then entries and
# postings, stamped with one instant taken behind the locks, so that an account's instants never run backwards.
WRITE = """
CREATE FUNCTION ledger_write(
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
            INSERT INTO ledger_entries (id, xid, kind, description, key, reverses_id, posted_at)
            SELECT new.id, mine, new.kind, new.description, new.key, new.reverses_id, stamp FROM unnest(entries) AS new
        )
        INSERT INTO ledger_postings (entry_id, line, account_id, amount, seq, balance_after, posted_at)
        SELECT new.entry_id, new.line, new.account_id, new.amount, new.seq, new.balance_after, stamp
        FROM unnest(postings) AS new;
    END IF;
    RETURN stamp;
END $$
"""

FORMER_WRITE = """
CREATE OR REPLACE FUNCTION ledger_write(
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
$$
"""
