"""kit, ledger, benefits: entries, postings, decisions, events and the audit are partitioned by month.

Each table becomes the first partition of a new one of its name, behind a constraint that was proven while everybody
went on writing: the lock is held while names are changed, and nothing is read or written under it. Whoever cannot
have the lock within half a second lets others pass and tries again. Rights go with the name. Each step is a
transaction, and the whole can be run again.

What is unique for good has been in narrow tables since 0040, and servers since then ask there; the wide tables' own
unique indexes go. The foreign key from a return to its decision gives way to a trigger.

Former release: it names the same tables, and asks narrow tables for what is unique, as it has since 0040.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0059"
down_revision: str | None = "0058"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TABLES = {
    "events": "id",
    "audit_log": "id",
    "ledger_entries": "id",
    "ledger_postings": "entry_id",
    "benefits_decisions": "id",
}
"""Each table, and its column by whose ranges it is partitioned."""


def upgrade() -> None:
    """Apply."""
    for statement in (BOUND, KEY, BEGINS, KEEP, MAKE, STATES, ANALYZE, AUDIT_KEEP, CHECK_RETURN):
        op.execute(statement)
    with op.get_context().autocommit_block():
        op.execute(WITH_LOCK.format(locked="benefits_decisions, benefits_returns", declared="", work=RETURNS, until=""))
        for table, key in TABLES.items():
            op.execute(PROVE.format(table=table, key=key))
            op.execute(f"DO $$ BEGIN {VALIDATE.format(table=table)} END $$")
            work = SWITCH.format(table=table, key=key)
            op.execute(WITH_LOCK.format(locked=table, declared=DECLARED, work=work, until=DONE.format(table=table)))
            op.execute(f"ANALYZE {table}")
        # Only now, since by their bounds these look into partitions.
        op.execute(CHECK_ENTRIES)
        op.execute(CHECK_POSTINGS)


# Do something under a lock that is waited for half a second at a time, for two minutes in all.
WITH_LOCK = """
DO $do$
DECLARE
    has_lock boolean;
    {declared}
BEGIN
    FOR attempt IN 1..120 LOOP
        {until}
        has_lock := false;
        SET LOCAL lock_timeout = '500ms';
        BEGIN
            LOCK TABLE {locked} IN ACCESS EXCLUSIVE MODE;
            has_lock := true;
        EXCEPTION WHEN lock_not_available THEN
            IF attempt = 120 THEN
                RAISE;
            END IF;
        END;
        IF has_lock THEN
            {work}
            RETURN;
        END IF;
        COMMIT;
        PERFORM pg_sleep(0.5);
        COMMIT;
    END LOOP;
END $do$
"""

RETURNS = """
            ALTER TABLE benefits_returns DROP CONSTRAINT IF EXISTS fk_benefits_returns_decision_id;
            CREATE OR REPLACE TRIGGER check_return AFTER INSERT OR UPDATE OF decision_id ON benefits_returns
            FOR EACH ROW EXECUTE FUNCTION benefits_check_return();
"""

# The first partition ends with this month, or with the next one if that is near, and behind all that is there: a server
# whose clock is ahead may have made ids of a month to come.
PROVE = """
DO $$
DECLARE
    greatest_id uuid;
    until timestamptz;
BEGIN
    IF (SELECT relkind = 'p' FROM pg_class WHERE oid = 'public.{table}'::regclass) THEN
        RETURN;
    END IF;
    SELECT {key} INTO greatest_id FROM {table} ORDER BY {key} DESC LIMIT 1;
    until := date_trunc('month', greatest(
        now() + interval '7 days',
        to_timestamp(('x' || lpad(replace(left(greatest_id::text, 13), '-', ''), 16, '0'))::bit(64)::bigint / 1000.0)
    ) AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + interval '1 month';
    IF until > '2200-01-01' THEN
        RAISE EXCEPTION '% is no id of {table}: it holds no time', greatest_id;
    END IF;
    EXECUTE format('ALTER TABLE {table} DROP CONSTRAINT IF EXISTS partition_bound, '
                   'ADD CONSTRAINT partition_bound CHECK ({key} < %L) NOT VALID', partition_bound(until));
END $$
"""

VALIDATE = """
    IF (SELECT relkind = 'r' FROM pg_class WHERE oid = 'public.{table}'::regclass) THEN
        ALTER TABLE {table} VALIDATE CONSTRAINT partition_bound;
    END IF;
"""

DONE = """
        IF (SELECT relkind = 'p' FROM pg_class WHERE oid = 'public.{table}'::regclass) THEN
            RETURN;
        END IF;
"""

DECLARED = """
    bound uuid;
    indexes text[];
    triggers text[];
    held record;
"""

# The names of constraints stay, since a partition's have to be its table's; those of indexes are the new table's.
SWITCH = """
            SELECT substring(pg_get_constraintdef(oid) FROM '[0-9a-f-]{{36}}')::uuid INTO STRICT bound
            FROM pg_constraint WHERE conrelid = 'public.{table}'::regclass AND conname = 'partition_bound';
            SELECT array_agg(pg_get_indexdef(indexrelid)) INTO indexes
            FROM pg_index WHERE indrelid = 'public.{table}'::regclass AND NOT indisunique;
            SELECT array_agg(pg_get_triggerdef(oid)) INTO triggers
            FROM pg_trigger WHERE tgrelid = 'public.{table}'::regclass AND NOT tgisinternal;

            FOR held IN
                SELECT indexrelid::regclass AS name, relname, indisunique AND NOT indisprimary AS goes
                FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
                WHERE indrelid = 'public.{table}'::regclass
            LOOP
                IF held.goes THEN
                    EXECUTE format('DROP INDEX %s', held.name);
                ELSE
                    EXECUTE format('ALTER INDEX %s RENAME TO %I', held.name, held.relname || '_before');
                END IF;
            END LOOP;
            FOR held IN
                SELECT tgname FROM pg_trigger
                WHERE tgrelid = 'public.{table}'::regclass AND NOT tgisinternal AND tgtype & 1 = 1
            LOOP
                EXECUTE format('DROP TRIGGER %I ON {table}', held.tgname); -- the new table gives it back
            END LOOP;
            ALTER TABLE {table} RENAME TO {table}_before;
            CREATE TABLE {table} (
                LIKE {table}_before
                INCLUDING COMMENTS INCLUDING COMPRESSION INCLUDING CONSTRAINTS INCLUDING DEFAULTS INCLUDING STORAGE
            ) PARTITION BY RANGE ({key});
            ALTER TABLE {table} DROP CONSTRAINT partition_bound;
            FOR held IN
                SELECT pg_get_constraintdef(oid) AS made FROM pg_constraint
                WHERE conrelid = 'public.{table}_before'::regclass AND contype = 'p'
            LOOP
                EXECUTE 'ALTER TABLE {table} ADD CONSTRAINT pk_{table} ' || held.made;
            END LOOP;
            FOR number IN 1..coalesce(cardinality(indexes), 0) LOOP
                EXECUTE indexes[number];
            END LOOP;
            FOR number IN 1..coalesce(cardinality(triggers), 0) LOOP
                EXECUTE triggers[number];
            END LOOP;
            FOR held IN
                SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END AS role,
                       string_agg(privilege_type, ', ') AS rights
                FROM pg_class, aclexplode(relacl)
                WHERE pg_class.oid = 'public.{table}_before'::regclass AND grantee <> relowner
                GROUP BY grantee
            LOOP
                EXECUTE format('GRANT %s ON {table} TO %s', held.rights, held.role);
            END LOOP;
            EXECUTE format('ALTER TABLE {table} ATTACH PARTITION {table}_before FOR VALUES FROM (MINVALUE) TO (%L)',
                           bound);
            ALTER TABLE {table}_before DROP CONSTRAINT partition_bound;
            EXECUTE format('CREATE TABLE {table}_later PARTITION OF {table} FOR VALUES FROM (%L) TO (MAXVALUE)',
                           bound);
            PERFORM partition_keep('{table}', part) FROM unnest(ARRAY['{table}_before', '{table}_later']) AS part;
            PERFORM partition_make('{table}');
"""

BOUND = """
CREATE OR REPLACE FUNCTION partition_bound(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid
$$
"""

KEY = """
CREATE OR REPLACE FUNCTION partition_key(wanted text) RETURNS text LANGUAGE sql STABLE
SET search_path = public, pg_temp AS $$
    SELECT attname::text FROM pg_partitioned_table JOIN pg_attribute ON attrelid = partrelid AND attnum = partattrs[0]
    WHERE partrelid = to_regclass(format('public.%I', wanted))
$$
"""

BEGINS = r"""
CREATE OR REPLACE FUNCTION partition_begins(wanted text) RETURNS timestamptz LANGUAGE sql STABLE
SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
    SELECT to_timestamp(('x' || lpad(replace(left(found, 13), '-', ''), 16, '0'))::bit(64)::bigint / 1000.0)
    FROM pg_class, substring(pg_get_expr(relpartbound, oid) FROM 'FROM \(''([0-9a-f-]{36})''\)') AS found
    WHERE relnamespace = 'public'::regnamespace AND relname = wanted || '_later' AND relispartition
$$
"""

KEEP = """
CREATE OR REPLACE FUNCTION partition_keep(parent text, part text) RETURNS void LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE
    known record;
BEGIN
    FOR known IN
        SELECT replace(pg_get_triggerdef(oid), format(' ON public.%I ', parent), format(' ON public.%I ', part)) AS made
        FROM pg_trigger
        WHERE tgrelid = format('public.%I', parent)::regclass AND NOT tgisinternal AND tgtype & 1 = 0
          AND tgname NOT IN (SELECT tgname FROM pg_trigger WHERE tgrelid = format('public.%I', part)::regclass)
        ORDER BY tgname
    LOOP
        EXECUTE known.made;
    END LOOP;
    FOR known IN
        SELECT DISTINCT CASE held.grantee WHEN 0 THEN 'PUBLIC' ELSE held.grantee::regrole::text END AS role
        FROM pg_class, aclexplode(relacl) AS held
        WHERE pg_class.oid = format('public.%I', part)::regclass AND held.grantee <> relowner
    LOOP
        EXECUTE format('REVOKE ALL ON public.%I FROM %s', part, known.role);
    END LOOP;
END $$
"""

MAKE = """
CREATE OR REPLACE FUNCTION partition_make(wanted text) RETURNS integer LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '500ms' SET timezone = 'UTC' AS $$
DECLARE
    upto constant timestamptz := date_trunc('month', now()) + interval '4 months';
    tail constant text := wanted || '_later';
    begins timestamptz;
    part text;
    made integer := 0;
    is_used boolean;
    is_strange boolean;
BEGIN
    IF partition_begins(wanted) IS NULL THEN
        RAISE EXCEPTION '% has no partitions', wanted USING ERRCODE = 'CA301';
    ELSIF partition_begins(wanted) >= upto THEN
        RETURN 0;
    END IF;
    EXECUTE format('LOCK TABLE ONLY public.%I IN ACCESS EXCLUSIVE MODE', wanted);
    begins := partition_begins(wanted); -- another may have been faster
    IF begins >= upto THEN
        RETURN 0;
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', tail) INTO is_used;
    IF is_used THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM public.%I WHERE %I >= %L)', wanted, partition_key(wanted),
                       partition_bound(upto)) INTO is_strange;
        IF is_strange OR pg_relation_size(format('public.%I', tail)::regclass) > 1000000000 THEN
            RAISE EXCEPTION 'the last partition of % holds rows', wanted USING ERRCODE = 'CA302',
                HINT = 'docs/explanation/scale.md says how it is closed by hand';
        END IF;
    END IF;

    EXECUTE format('ALTER TABLE public.%I DETACH PARTITION public.%I', wanted, tail);
    IF is_used THEN
        part := wanted || to_char(begins, '_YYYY_MM') || '_on';
        EXECUTE format('ALTER TABLE public.%I RENAME TO %I', tail, part);
        EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)', wanted, part,
                       partition_bound(begins), partition_bound(upto));
        EXECUTE format('CREATE TABLE public.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (MAXVALUE)', tail,
                       wanted, partition_bound(upto));
        PERFORM partition_keep(wanted, tail);
        RETURN 1;
    END IF;
    WHILE begins < upto LOOP
        part := wanted || to_char(begins, '_YYYY_MM');
        EXECUTE format('CREATE TABLE public.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (%L)', part, wanted,
                       partition_bound(begins), partition_bound(begins + interval '1 month'));
        PERFORM partition_keep(wanted, part);
        begins := begins + interval '1 month';
        made := made + 1;
    END LOOP;
    EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (MAXVALUE)', wanted, tail,
                   partition_bound(begins));
    RETURN made;
END $$
"""

STATES = """
CREATE OR REPLACE FUNCTION partition_states() RETURNS TABLE (name text, months_ahead integer, is_beyond boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
BEGIN
    FOR name, months_ahead IN
        SELECT relname::text,
               (extract(year FROM begins) - extract(year FROM now())) * 12
                   + extract(month FROM begins) - extract(month FROM now()) - 1
        FROM pg_class, partition_begins(relname) AS begins
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'p' AND begins IS NOT NULL
        ORDER BY relname
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', name || '_later') INTO is_beyond;
        RETURN NEXT;
    END LOOP;
END $$
"""

ANALYZE = """
CREATE OR REPLACE FUNCTION partition_analyze(wanted text) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '500ms' AS $$
BEGIN
    IF partition_begins(wanted) IS NULL THEN
        RAISE EXCEPTION '% has no partitions', wanted USING ERRCODE = 'CA301';
    END IF;
    -- ONLY is PostgreSQL 18's; 17 looks at the partitions again too.
    EXECUTE format('ANALYZE %s public.%I',
                   CASE WHEN current_setting('server_version_num')::integer >= 180000 THEN 'ONLY' ELSE '' END, wanted);
END $$
"""

AUDIT_KEEP = """
CREATE OR REPLACE FUNCTION audit_keep() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lasts_until CONSTANT timestamptz := now() - interval '5 years';
BEGIN
    IF TG_TABLE_NAME <> 'audit_chain' THEN -- a partition of the log's
        IF OLD.created_at < lasts_until THEN
            RETURN OLD;
        END IF;
    ELSIF OLD.newest_at < lasts_until THEN
        IF TG_OP = 'DELETE' THEN
            IF OLD.seals IS NULL THEN
                RETURN OLD;
            END IF;
        ELSIF NEW.seals IS NULL AND to_jsonb(NEW) - 'seals' = to_jsonb(OLD) - 'seals' THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% on % refused: the audit is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'CA101';
END $$
"""

CHECK_ENTRIES = """
CREATE OR REPLACE FUNCTION ledger_check_entries() RETURNS trigger LANGUAGE plpgsql
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
END $$
"""

CHECK_POSTINGS = """
CREATE OR REPLACE FUNCTION ledger_check_postings() RETURNS trigger LANGUAGE plpgsql
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
               -- an entry's lines count from 0, so that a second lot of them meets the primary key or this
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
END $$
"""

CHECK_RETURN = """
CREATE OR REPLACE FUNCTION benefits_check_return() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM benefits_decisions WHERE id = NEW.decision_id) THEN
        RAISE EXCEPTION 'return % is of no decision', NEW.id USING ERRCODE = '23503';
    END IF;
    RETURN NULL;
END $$
"""
