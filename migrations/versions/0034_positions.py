"""positions: a transaction id and an offset, so that what is ordered by it goes on in another cluster.

What is stored stays as it is, since in the cluster where it was written the offset is 0. In a database that a release
before this one left in a dump, and that was restored elsewhere, the offset is raised here.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    op.create_table(
        "positions",
        sa.Column("only_row", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("xid_offset", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("table_id", postgresql.OID(), server_default="0", nullable=False),
        sa.CheckConstraint("only_row", name=op.f("ck_positions_only_row")),
        sa.PrimaryKeyConstraint("only_row", name=op.f("pk_positions")),
    )
    for statement in (GREATEST, NOW, HORIZON, HOLDS, RAISE, FIRST_LOOK, POST, WRITE):
        op.execute(statement)


GREATEST = """
CREATE FUNCTION position_greatest() RETURNS bigint LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT greatest(
        0,
        (SELECT max(xid) FROM events),
        (SELECT max(xid) FROM event_followers),
        (SELECT max(xid) FROM audit_log),
        (SELECT last_xid FROM audit_chain ORDER BY height DESC LIMIT 1),
        (SELECT max(xid) FROM ledger_entries),
        (SELECT last_xid FROM ledger_chain ORDER BY height DESC LIMIT 1),
        (SELECT max(rolled_up_to) FROM ledger_accounts WHERE is_system),
        (SELECT max(xid) FROM benefits_decisions),
        (SELECT max(xid) FROM benefits_returns)));
END $$
"""

NOW = """
CREATE FUNCTION position_now() RETURNS bigint LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    mine bigint;
BEGIN
    SELECT pg_current_xact_id()::text::bigint + xid_offset INTO mine FROM positions WHERE table_id = tableoid;
    IF mine IS NULL THEN
        RAISE EXCEPTION 'the database was restored, and its positions were not looked at' USING ERRCODE = 'CA201',
            HINT = 'SELECT position_raise()';
    END IF;
    RETURN mine;
END $$
"""

HORIZON = """
CREATE FUNCTION position_horizon() RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = public, pg_temp AS $$
BEGIN
    RETURN (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint + xid_offset FROM positions);
END $$
"""

HOLDS = """
CREATE FUNCTION position_holds() RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
BEGIN
    RETURN pg_is_in_recovery() OR coalesce((
        SELECT table_id = tableoid
               AND pg_snapshot_xmax(pg_current_snapshot())::text::bigint + xid_offset > position_greatest()
        FROM positions), false);
END $$
"""

RAISE = """
CREATE FUNCTION position_raise() RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
    raised bigint;
BEGIN
    LOCK TABLE positions IN ACCESS EXCLUSIVE MODE;
    IF position_holds() THEN
        RETURN 0;
    END IF;
    UPDATE positions
    SET table_id = tableoid,
        xid_offset = greatest(
            xid_offset, position_greatest() + 1 - pg_snapshot_xmin(pg_current_snapshot())::text::bigint)
    RETURNING new.xid_offset - old.xid_offset INTO raised;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'positions has no row' USING ERRCODE = 'CA202',
            HINT = 'wait for the restore to end; if it left the row out: INSERT INTO positions DEFAULT VALUES';
    END IF;
    RETURN raised;
END $$
"""

# Marked as looked at from the beginning, so that the offset is raised only where positions do not hold: servers of the
# release before write without the lock that a raise takes.
FIRST_LOOK = """
INSERT INTO positions (table_id) VALUES ('positions'::regclass);
SELECT position_raise();
"""

POST = """
CREATE OR REPLACE FUNCTION ledger_post(
    moves ledger_move[], entries ledger_new_entry[], lines ledger_line[], follow boolean,
    actor_kind text, actor_id text, approved_by uuid
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
        )
        INSERT INTO ledger_postings (entry_id, line, account_id, amount, seq, balance_after, posted_at)
        SELECT new.entry_id, new.line, new.account_id, new.amount, new.seq, new.balance_after, stamp
        FROM unnest(postings) AS new;
    END IF;
    RETURN stamp;
END $$
"""
