"""ledger: accounts, entries, postings, holds; the function that writes them and the triggers that keep them true."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _create_accounts()
    _create_entries()
    _create_postings()
    _create_holds()
    for statement in (APPEND_ONLY, *APPEND_ONLY_TRIGGERS, CHECK_POSTINGS, CHECK_POSTINGS_TRIGGER, CHECK_ENTRY):
        op.execute(statement)
    op.execute(CHECK_ENTRY_TRIGGER)
    op.execute(WRITE)


def _create_accounts() -> None:
    op.create_table(
        "ledger_accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("holder_id", sa.Uuid()),
        sa.Column("owner_id", sa.Uuid()),
        sa.Column("is_system", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("may_go_negative", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("balance", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("held", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rolled_up_to", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", TIMESTAMP(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_accounts"),
        sa.UniqueConstraint("holder_id", "kind", name="uq_ledger_accounts_holder_id_kind"),
        sa.CheckConstraint("may_go_negative OR balance - held >= 0", name="funds"),
        sa.CheckConstraint("held >= 0", name="held"),
        # Balances change all the time and no index holds them: room on the page keeps updates heap-only.
        postgresql_with={"fillfactor": 60},
    )
    op.create_index(
        "ix_ledger_accounts_owner_id",
        "ledger_accounts",
        ["owner_id"],
        postgresql_where=sa.text("owner_id IS NOT NULL"),
    )


def _create_entries() -> None:
    op.create_table(
        "ledger_entries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "xid", sa.BigInteger(), server_default=sa.text("(pg_current_xact_id()::text::bigint)"), nullable=False
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("key", sa.Text()),
        sa.Column("reverses_id", sa.Uuid()),
        sa.Column("posted_at", TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_entries"),
    )
    op.create_index("ix_ledger_entries_xid_id", "ledger_entries", ["xid", "id"])
    for column in ("key", "reverses_id"):
        op.create_index(
            f"uq_ledger_entries_{column}",
            "ledger_entries",
            [column],
            unique=True,
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )


def _create_postings() -> None:
    op.create_table(
        "ledger_postings",
        sa.Column("entry_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.SmallInteger(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger()),
        sa.Column("balance_after", sa.BigInteger()),
        sa.Column("posted_at", TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", "line", name="pk_ledger_postings"),
        sa.CheckConstraint("amount <> 0", name="amount"),
        sa.CheckConstraint("(seq IS NULL) = (balance_after IS NULL)", name="seq"),
    )
    op.create_index(
        "ix_ledger_postings_account_id_posted_at_seq", "ledger_postings", ["account_id", "posted_at", "seq"]
    )


def _create_holds() -> None:
    op.create_table(
        "ledger_holds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("captured", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("entry_id", sa.Uuid()),
        sa.Column("expires_at", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("settled_at", TIMESTAMP(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_holds"),
        sa.CheckConstraint("amount > 0", name="amount"),
        sa.CheckConstraint("captured BETWEEN 0 AND amount", name="captured"),
        sa.CheckConstraint("status IN ('active', 'captured', 'released', 'expired')", name="status"),
    )
    for column in ("account_id", "expires_at"):
        op.create_index(
            f"ix_ledger_holds_{column}",
            "ledger_holds",
            [column],
            postgresql_where=sa.text("status = 'active'"),
        )


APPEND_ONLY = """
CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % refused: the ledger is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'CA002';
END $$
"""
APPEND_ONLY_TRIGGERS = (
    """CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
       FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()""",
    """CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_postings
       FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()""",
    """CREATE TRIGGER no_delete BEFORE DELETE OR TRUNCATE ON ledger_accounts
       FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()""",
    """CREATE TRIGGER no_delete BEFORE DELETE OR TRUNCATE ON ledger_holds
       FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()""",
)

# Postings carry no foreign keys: one to the account would lock a system account's row at every posting and make it
# hot. This trigger proves the same once per statement, and that each entry is whole, balanced and new, and that the
# balance follows the postings.
# Each look-up is a scalar subquery on a primary key: a join's cached plan would scan tables that have grown since.
CHECK_POSTINGS = """
CREATE FUNCTION ledger_check_postings() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    wrong record;
BEGIN
    SELECT * INTO wrong FROM (
        SELECT entry_id, sum(amount) <> 0 OR count(*) < 2 AS unbalanced,
               -- an entry's lines count from 0, so that a second lot of them meets the primary key or this
               min(line) <> 0 OR max(line) <> count(*) - 1 AS partial,
               (SELECT e.xid FROM ledger_entries e WHERE e.id = entry_id) IS NULL AS unknown
        FROM inserted GROUP BY entry_id
    ) entry WHERE unbalanced OR partial OR unknown LIMIT 1;
    IF FOUND AND wrong.unbalanced THEN
        RAISE EXCEPTION 'entry % is unbalanced', wrong.entry_id USING ERRCODE = 'CA003';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'entry % is unknown or takes no more postings', wrong.entry_id USING ERRCODE = 'CA004';
    END IF;

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
END $$
"""
CHECK_POSTINGS_TRIGGER = """
CREATE TRIGGER check_postings AFTER INSERT ON ledger_postings
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_postings()
"""
CHECK_ENTRY = """
CREATE FUNCTION ledger_check_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM ledger_postings WHERE entry_id = NEW.id AND line = 0) THEN
        RAISE EXCEPTION 'entry % has no postings', NEW.id USING ERRCODE = 'CA003';
    END IF;
    RETURN NULL;
END $$
"""
CHECK_ENTRY_TRIGGER = """
CREATE CONSTRAINT TRIGGER check_entry AFTER INSERT ON ledger_entries
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_check_entry()
"""

# The one way in: accounts first, each compared with the version that the decision was taken on, then entries and
# postings, stamped with one instant taken behind the locks, so that an account's instants never run backwards.
WRITE = """
CREATE FUNCTION ledger_write(
    account_ids uuid[], read_versions bigint[], balances bigint[], held_amounts bigint[], versions bigint[],
    entry_ids uuid[], kinds text[], descriptions text[], keys text[], reverses uuid[],
    posting_entries uuid[], lines smallint[], posting_accounts uuid[], amounts bigint[],
    seqs bigint[], balances_after bigint[], locked boolean
) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    stamp timestamptz;
    written integer;
BEGIN
    IF NOT locked THEN -- in id order, as everybody locks; an UPDATE alone would lock as it finds them
        PERFORM FROM ledger_accounts WHERE id = ANY(account_ids) ORDER BY id FOR NO KEY UPDATE;
    END IF;
    UPDATE ledger_accounts account
    SET balance = new.balance, held = new.held, version = new.version
    FROM unnest(account_ids, read_versions, balances, held_amounts, versions)
        AS new (id, read_version, balance, held, version)
    WHERE account.id = new.id AND account.version = new.read_version AND NOT account.is_system;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written <> cardinality(account_ids) THEN
        RAISE EXCEPTION 'an account was changed by another transaction' USING ERRCODE = 'CA001';
    END IF;
    stamp := clock_timestamp();
    IF cardinality(entry_ids) > 0 THEN
        INSERT INTO ledger_entries (id, kind, description, key, reverses_id, posted_at)
        SELECT new.id, new.kind, new.description, new.key, new.reverses_id, stamp
        FROM unnest(entry_ids, kinds, descriptions, keys, reverses) AS new (id, kind, description, key, reverses_id);
        INSERT INTO ledger_postings (entry_id, line, account_id, amount, seq, balance_after, posted_at)
        SELECT new.entry_id, new.line, new.account_id, new.amount, new.seq, new.balance_after, stamp
        FROM unnest(posting_entries, lines, posting_accounts, amounts, seqs, balances_after)
            AS new (entry_id, line, account_id, amount, seq, balance_after);
    END IF;
    RETURN stamp;
END $$
"""
