"""ledger, benefits, transit: narrow tables of what is unique for good; each entry has its own actor; cards' guard.

Keys, reversals and the processor's ids of transactions are written into tables of their own by the statement that
writes entries and decisions, so that those can be partitioned some day. What is there already is filled in, in pieces;
the wide tables' indexes stay for servers of the release before. Run again, it does the same.
"""

from alembic import op

revision = "0040"
down_revision = "0039"


def upgrade() -> None:
    for statement in (*TABLES, POST, POST_WITH_ONE_ACTOR, WRITE, KEEP_REFERENCES, *TRIGGERS, REQUIRE_CARDS):
        op.execute(statement)
    with op.get_context().autocommit_block():
        op.execute(WAIT)
        for narrow, column, wide, other in NARROW:
            op.execute(FILL.format(narrow=narrow, column=column, wide=wide, other=other, type=TYPES[column]))


NARROW = (
    ("ledger_keys", "key", "ledger_entries", "entry_id"),
    ("ledger_reversals", "reverses_id", "ledger_entries", "entry_id"),
    ("benefits_references", "external_id", "benefits_decisions", "decision_id"),
)
TYPES = {"key": "text", "reverses_id": "uuid", "external_id": "text"}
TABLES = (
    "CREATE TABLE IF NOT EXISTS ledger_keys (key text CONSTRAINT pk_ledger_keys PRIMARY KEY, entry_id uuid NOT NULL)",
    """CREATE TABLE IF NOT EXISTS ledger_reversals (
        reverses_id uuid CONSTRAINT pk_ledger_reversals PRIMARY KEY, entry_id uuid NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS benefits_references (
        external_id text CONSTRAINT pk_benefits_references PRIMARY KEY, decision_id uuid NOT NULL)""",
    """DO $$ BEGIN
        CREATE TYPE ledger_posted_entry AS (
            id uuid, kind text, description text, key text, reverses_id uuid, actor_kind text, actor_id text);
    EXCEPTION WHEN duplicate_object THEN NULL;
    END $$""",
)
# Whoever is writing by the functions as they were ends first: what they post under a key is filled in with the rest.
WAIT = """
DO $$
DECLARE
    begun constant xid8 := pg_current_xact_id();
BEGIN
    COMMIT;
    WHILE pg_snapshot_xmin(pg_current_snapshot()) <= begun LOOP
        PERFORM pg_sleep(0.05);
        COMMIT;
    END LOOP;
END $$
"""
# What is written meanwhile fills itself in. Each piece is a transaction.
FILL = """
DO $$
DECLARE
    reached {type};
    further {type};
BEGIN
    LOOP
        further := NULL;
        SELECT {column} INTO further FROM (
            SELECT {column} FROM {wide}
            WHERE {column} IS NOT NULL AND (reached IS NULL OR {column} > reached) ORDER BY {column} LIMIT 5000
        ) piece ORDER BY {column} DESC LIMIT 1;
        EXIT WHEN further IS NULL;
        INSERT INTO {narrow} ({column}, {other})
        SELECT {column}, id FROM {wide}
        WHERE {column} <= further AND (reached IS NULL OR {column} > reached)
        ON CONFLICT DO NOTHING;
        reached := further;
        COMMIT;
    END LOOP;
END $$
"""
TRIGGERS = (
    *(
        f"""CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()"""
        for table, *_ in NARROW
    ),
    """CREATE OR REPLACE TRIGGER keep_references AFTER INSERT ON benefits_decisions
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION benefits_keep_references()""",
)

POST = """
CREATE OR REPLACE FUNCTION ledger_post(
    moves ledger_move[], entries ledger_posted_entry[], lines ledger_line[], follow boolean, approved_by uuid
) RETURNS timestamptz LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    stamp timestamptz;
    moved integer;
    versions_ahead bigint[]; -- how far the accounts were moved on since the book was read
    balances_ahead bigint[];
    mine constant bigint := position_now(); -- as the default, but once
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
END $$
"""

POST_WITH_ONE_ACTOR = """
CREATE OR REPLACE FUNCTION ledger_post(
    moves ledger_move[], entries ledger_new_entry[], lines ledger_line[], follow boolean,
    actor_kind text, actor_id text, approved_by uuid
) RETURNS timestamptz LANGUAGE sql AS $$
    SELECT ledger_post(
        moves,
        ARRAY(SELECT ROW(new.id, new.kind, new.description, new.key, new.reverses_id,
                         ledger_post.actor_kind, ledger_post.actor_id)::ledger_posted_entry
              FROM unnest(entries) AS new),
        lines, follow, ledger_post.approved_by)
$$
"""

WRITE = """
CREATE OR REPLACE FUNCTION ledger_write(
    balances ledger_new_balance[], entries ledger_new_entry[], postings ledger_new_posting[],
    locked boolean
) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    stamp timestamptz;
    written integer;
    mine constant bigint := position_now(); -- as the default, but once
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
END $$
"""

KEEP_REFERENCES = """
CREATE OR REPLACE FUNCTION benefits_keep_references() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO benefits_references (external_id, decision_id)
    SELECT external_id, id FROM inserted WHERE external_id IS NOT NULL;
    RETURN NULL;
END $$
"""

REQUIRE_CARDS = """
CREATE OR REPLACE FUNCTION transit_require_cards(cards uuid[], owners uuid[], debtless uuid[]) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM unnest(cards, owners) AS known (card_id, owner_id)
        WHERE NOT EXISTS (
            SELECT FROM transport_cards card
            WHERE card.id = known.card_id AND card.user_id = known.owner_id AND card.status = 'active')
    ) OR EXISTS (
        SELECT FROM transit_taps tap WHERE tap.user_id = ANY (debtless) AND tap.outstanding > 0
    ) THEN
        RAISE EXCEPTION 'a card is not as it was' USING ERRCODE = 'CT001';
    END IF;
    RETURN true;
END $$
"""
