"""The migrations build what the models declare: from empty, in one go, from several processes, and as SQL."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from alembic import command
from sqlalchemy import CheckConstraint, text
from sqlalchemy.dialects import postgresql

from carteira import schema
from carteira.embedded import Endpoints
from carteira.kit.db import outbox
from carteira.kit.db.base import Base
from carteira.kit.values.ids import uuid7
from carteira.ledger import chain
from tests.support.clusters import run
from tests.support.databases import NewDatabase, open_database
from tests.support.horizon import pass_horizon
from tests.support.ledger import overwrite, verified
from tests.support.people import new_cpf

MIGRATE = "import os; from carteira import schema; schema.migrate(os.environ['URL'])"


@pytest.fixture
def new_empty_database(endpoints: Endpoints, worker_id: str) -> Iterator[Callable[[], str]]:
    """Return what makes empty databases."""
    made: list[str] = []

    def run(statement: str) -> None:
        with psycopg.connect(endpoints.superuser_url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def make() -> str:
        name = f"empty_{worker_id}_{len(made)}"
        run(f"CREATE DATABASE {name} OWNER carteira")
        made.append(name)
        return endpoints.owner_url.rpartition("/")[0] + "/" + name

    yield make
    for name in made:
        run(f"DROP DATABASE {name} WITH (FORCE)")


def checks_in(url: str) -> set[tuple[str, str]]:
    with psycopg.connect(url) as connection:
        return set(
            connection.execute("""
                SELECT conrelid::regclass::text, conname FROM pg_constraint
                JOIN pg_class ON pg_class.oid = conrelid AND NOT relispartition
                WHERE contype = 'c' AND connamespace = 'public'::regnamespace
                  AND conrelid::regclass::text NOT LIKE 'procrastinate%'
            """)
        )


def checks_of_models() -> set[tuple[str, str]]:
    preparer = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call] # the library's own gap
    return {
        (table.name, str(preparer.format_constraint(constraint)))
        for table in Base.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }


def test_the_models_and_the_migrated_database_agree(new_database: NewDatabase) -> None:
    database_url = new_database("drift")
    schema.load_models()
    command.check(schema.alembic_config(database_url))
    assert checks_in(database_url) == checks_of_models()


def test_a_new_database_has_nobody_and_approves_nobody(new_empty_database: Callable[[], str]) -> None:
    url = new_empty_database()
    schema.migrate(url)
    with psycopg.connect(url) as connection:
        for table in ("users", "clients", "sessions", "user_claims", "resellers_auto_approvals"):
            assert connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (0,)


def test_there_is_one_history() -> None:
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - of this test only

    scripts = ScriptDirectory.from_config(schema.alembic_config())
    assert len(scripts.get_heads()) == len(scripts.get_bases()) == 1
    numbers = [script.revision for script in scripts.walk_revisions()]
    assert numbers == [f"{number:04d}" for number in range(len(numbers), 0, -1)]


def test_processes_that_migrate_an_empty_database_at_once_take_turns(new_empty_database: Callable[[], str]) -> None:
    url = new_empty_database()
    command_line = [sys.executable, "-c", MIGRATE]
    environment = os.environ | {"URL": url, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [subprocess.Popen(command_line, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
    command.check(schema.alembic_config(url))


FORMER_WRITE = """
    SELECT ledger_write(
        ARRAY[%(wallet)s]::uuid[], ARRAY[%(version)s]::bigint[], ARRAY[%(balance)s]::bigint[], ARRAY[0]::bigint[],
        ARRAY[%(version)s + 1]::bigint[], ARRAY[%(entry)s]::uuid[], ARRAY['test.raw'], ARRAY[NULL]::text[],
        ARRAY[NULL]::text[], ARRAY[NULL]::uuid[], ARRAY[%(entry)s, %(entry)s]::uuid[], ARRAY[0, 1]::smallint[],
        ARRAY[%(wallet)s, %(till)s]::uuid[], ARRAY[10, -10]::bigint[], ARRAY[%(version)s + 1, NULL]::bigint[],
        ARRAY[%(after)s, NULL]::bigint[], %(locked)s)
"""


FORMER_ROWS = """
    SELECT ledger_write(
        ARRAY[ROW(%(wallet)s::uuid, %(version)s, %(balance)s, 0, %(version)s + 1)::ledger_new_balance],
        ARRAY[ROW(%(entry)s::uuid, 'test.raw', NULL, NULL, NULL)::ledger_new_entry],
        ARRAY[ROW(%(entry)s::uuid, 0, %(wallet)s::uuid, 10, %(version)s + 1, %(after)s)::ledger_new_posting,
              ROW(%(entry)s::uuid, 1, %(till)s::uuid, -10, NULL, NULL)::ledger_new_posting], %(locked)s)
"""


FORMER_POST = """
    SELECT ledger_post(
        ARRAY[ROW(%(wallet)s::uuid, %(version)s, %(balance)s - 10, 10, 0, 1)::ledger_move],
        ARRAY[ROW(%(entry)s::uuid, 'test.raw', NULL, NULL, NULL)::ledger_new_entry],
        ARRAY[ROW(%(entry)s::uuid, 0, %(wallet)s::uuid, 10, %(version)s + 1, %(after)s, 1)::ledger_line,
              ROW(%(entry)s::uuid, 1, %(till)s::uuid, -10, NULL, NULL, NULL)::ledger_line],
        false)
"""


@pytest.mark.parametrize("locked", [True, False])
@pytest.mark.parametrize(("revision", "write"), [("0011", FORMER_WRITE), ("0013", FORMER_ROWS), ("0014", FORMER_POST)])
def test_servers_of_the_release_before_go_on_writing(
    new_empty_database: Callable[[], str], revision: str, write: str, *, locked: bool
) -> None:
    """A server started before the upgrade still writes to the ledger after it, and its writes are still checked."""
    url = new_empty_database()
    schema.migrate(url, revision)
    wallet, till = uuid7(), uuid7()
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(
            "INSERT INTO ledger_accounts (id, kind, is_system, may_go_negative)"
            " VALUES (%s, 'test.wallet', false, false), (%s, 'test.till', true, true)",
            (wallet, till),
        )

        def post(version: int, balance: int, after: int) -> None:
            values = {"wallet": wallet, "till": till, "entry": uuid7(), "locked": locked}
            server.execute(write, {**values, "version": version, "balance": balance, "after": after})

        post(0, 10, 10)
        schema.migrate(url)
        post(1, 20, 20)
        with pytest.raises(psycopg.Error, match="changed by another transaction"):
            post(1, 30, 30)
        with pytest.raises(psycopg.Error, match="does not follow its postings"):
            post(2, 30, 31)
        held = server.execute("SELECT balance, version FROM ledger_accounts WHERE id = %s", (wallet,)).fetchone()
        assert held == (20, 2)
        actors = server.execute("SELECT actor_kind, actor_id FROM ledger_entries ORDER BY posted_at").fetchall()
        assert actors == [(None, None), ("unknown", "former release")]


FORMER_KEY = """
    SELECT ledger_post(
        ARRAY[]::ledger_move[],
        ARRAY[ROW(%(entry)s::uuid, 'test.raw', NULL, %(key)s, %(reverses)s::uuid)::ledger_new_entry],
        ARRAY[ROW(%(entry)s::uuid, 0, %(till)s::uuid, 10, NULL, NULL, NULL)::ledger_line,
              ROW(%(entry)s::uuid, 1, %(till)s::uuid, -10, NULL, NULL, NULL)::ledger_line],
        false, 'job', 'test', NULL)
"""
FORMER_DECISION = """
    INSERT INTO benefits_decisions (id, external_id, account, fallback, code, reason)
    VALUES (%s, %s, 'somebody', true, '07', 'unknown_account')
"""


def test_uniqueness_holds_in_narrow_tables_for_old_and_new_servers(
    new_empty_database: Callable[[], str],
) -> None:
    url = new_empty_database()
    schema.migrate(url, "0037")
    till = uuid7()
    entries = [uuid7() for _ in range(4)]
    decisions = [uuid7() for _ in range(3)]
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(
            "INSERT INTO ledger_accounts (id, kind, is_system, may_go_negative) VALUES (%s, 'test.till', true, true)",
            (till,),
        )

        def write(place: int, reverses: UUID | None = None) -> None:
            values = {"till": till, "entry": entries[place], "key": f"key {place}", "reverses": reverses}
            server.execute(FORMER_KEY, values)

        write(0)
        write(1, entries[0])
        server.execute(FORMER_DECISION, (decisions[0], "tx 0"))
        schema.migrate(url)
        write(2, entries[1])
        server.execute(FORMER_DECISION, (decisions[1], "tx 1"))
        server.execute(FORMER_DECISION, (decisions[2], None))
        assert server.execute("SELECT * FROM ledger_keys ORDER BY key").fetchall() == [
            (f"key {place}", entries[place]) for place in range(3)
        ]
        assert set(server.execute("SELECT * FROM ledger_reversals").fetchall()) == {
            (entries[0], entries[1]),
            (entries[1], entries[2]),
        }
        assert server.execute(
            "SELECT external_id, decision_id FROM benefits_references ORDER BY external_id"
        ).fetchall() == [
            ("tx 0", decisions[0]),
            ("tx 1", decisions[1]),
        ]
        entries[3], again = uuid7(), {"till": till, "entry": entries[3], "key": "key 0", "reverses": None}
        with pytest.raises(psycopg.errors.UniqueViolation):
            server.execute(FORMER_KEY, again)


def test_a_key_that_is_being_posted_during_the_upgrade_is_filled_in_too(
    new_empty_database: Callable[[], str],
) -> None:
    """The transaction with the key runs the former function; the migration waits for its end."""
    url = new_empty_database()
    schema.migrate(url, "0039")
    till, entry = uuid7(), uuid7()
    with psycopg.connect(url, autocommit=True) as looking, psycopg.connect(url) as server:
        looking.execute(
            "INSERT INTO ledger_accounts (id, kind, is_system, may_go_negative) VALUES (%s, 'test.till', true, true)",
            (till,),
        )
        server.execute(FORMER_KEY, {"till": till, "entry": entry, "key": "late", "reverses": None})
        migrating = threading.Thread(target=schema.migrate, args=(url, "0040"))
        migrating.start()
        waits = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(0.05)%'"
        )
        while looking.execute(f"{waits} AND pid <> pg_backend_pid()").fetchone() == (0,):
            assert migrating.is_alive()
        server.commit()
        migrating.join()
        assert looking.execute("SELECT * FROM ledger_keys").fetchall() == [("late", entry)]


@pytest.mark.parametrize("revision", ["0040", "0044"])
def test_a_migration_that_ended_half_way_is_run_again(new_empty_database: Callable[[], str], revision: str) -> None:
    """A part outside a transaction fails: the parts before it stay committed and the revision stays unset."""
    url = new_empty_database()
    schema.migrate(url, revision)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", (f"{int(revision) - 1:04d}",))
    schema.migrate(url)


FOLLOWER_IS_THERE = text("""
    INSERT INTO event_followers (name, xid, last_id) SELECT 'ledger.chain', last_xid, last_id FROM ledger_chain
""")
FORMER_SEAL = """
    WITH entry AS (
        SELECT id, xid, uuid_send(id) || substr(sha256(convert_to(
            concat_ws('|', id, xid, kind, coalesce(key, ''), coalesce(reverses_id::text, ''),
                extract(epoch FROM posted_at), (
                    SELECT string_agg(concat_ws(',', line, account_id, amount, coalesce(seq, 0),
                                                coalesce(balance_after, 0), extract(epoch FROM posted_at)),
                                      ';' ORDER BY line)
                    FROM ledger_postings WHERE entry_id = entry.id)), 'UTF8')), 1, 16) AS seal
        FROM ledger_entries entry
    )
    INSERT INTO ledger_chain (height, last_xid, last_id, seals, hash)
    SELECT 1, (array_agg(xid ORDER BY xid DESC))[1], (array_agg(id ORDER BY xid DESC))[1],
           string_agg(seal, ''::bytea ORDER BY xid),
           sha256(decode(repeat('00', 32), 'hex') || string_agg(seal, ''::bytea ORDER BY xid))
    FROM entry
    RETURNING hash
"""


async def test_blocks_sealed_before_actors_stay_proven(
    new_empty_database: Callable[[], str], endpoints: Endpoints
) -> None:
    url = new_empty_database()
    schema.migrate(url, "0014")
    wallet, till = uuid7(), uuid7()
    entries = [uuid7() for _ in range(3)]
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(
            "INSERT INTO ledger_accounts (id, kind, is_system, may_go_negative)"
            " VALUES (%s, 'test.wallet', false, false), (%s, 'test.till', true, true)",
            (wallet, till),
        )
        for version, entry in enumerate(entries):
            if version == 2:
                sealed = server.execute(FORMER_SEAL).fetchone()
                schema.migrate(url)
            values = {"wallet": wallet, "till": till, "entry": entry, "version": version}
            server.execute(FORMER_POST, {**values, "balance": version * 10 + 10, "after": version * 10 + 10})
        assert sealed is not None
        with pytest.raises(psycopg.errors.NotNullViolation):  # a worker of the former release leaves it to the next
            server.execute(FORMER_SEAL)
    async with open_database(url, pool_size=2) as database:
        await pass_horizon(database)
        async with database.transaction() as tx:
            await tx.execute(FOLLOWER_IS_THERE)
            assert await outbox.follow(tx, chain.follower) == 1
        result = await verified(database, expected=(1, sealed[0]))
        assert (result.height, result.rows, result.tail, result.findings) == (2, 3, 0, [])
        for entry in (entries[0], entries[2]):
            overwrite(
                endpoints,
                database,
                "UPDATE ledger_entries SET actor_kind = 'person', actor_id = 'x' WHERE id = %(id)s",
                id=entry,
            )
        named = [(finding.what, finding.row_id) for finding in (await verified(database)).findings]
        assert named == [("tampered", entries[0]), ("tampered", entries[2])]


def test_the_printed_sql_builds_the_same(
    new_empty_database: Callable[[], str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    schema.print_sql()
    ddl = capsys.readouterr().out
    assert "CREATE TABLE ledger_postings" in ddl
    url = new_empty_database()
    (tmp_path / "schema.sql").write_text(ddl)
    run("psql", "--set=ON_ERROR_STOP=1", "--no-psqlrc", f"--file={tmp_path / 'schema.sql'}", url)
    command.check(schema.alembic_config(url))
    assert checks_in(url) == checks_of_models()


APPROVED_CPFS = """
    SELECT cpf, valid_until IS NULL FROM resellers_auto_approvals ORDER BY cpf
"""


def add_person(server: psycopg.Connection, cpf: str) -> UUID:
    user_id = uuid7()
    server.execute(
        "INSERT INTO users (id, full_name, email, cpf, role_id, created_at, updated_at)"
        " VALUES (%s, 'Maria da Silva', %s, %s, 1, now(), now())",
        (user_id, f"{user_id}@exemplo.com.br", cpf),
    )
    return user_id


def test_people_of_before_are_declared_and_operators_lists_stay(new_empty_database: Callable[[], str]) -> None:
    url, cpf, listed = new_empty_database(), new_cpf(), new_cpf()
    schema.migrate(url, "0018")
    with psycopg.connect(url, autocommit=True) as server:
        user_id = add_person(server, cpf)
        assert server.execute(APPROVED_CPFS).fetchall() == [("15350946056", True)], (
            "each database has had it from the start"
        )
        server.execute(
            "INSERT INTO resellers_auto_approvals (id, cpf, valid_from) VALUES (%s, %s, '2026-01-01')",
            (uuid7(), listed),
        )
        schema.migrate(url)
        row = server.execute("SELECT cpf, cpf_proven_at FROM users WHERE id = %s", (user_id,)).fetchone()
        assert row == (cpf, None)
        assert server.execute(APPROVED_CPFS).fetchall() == [(listed, True)]
        # What a server of the former release writes still works: a changed CPF, and an erasure.
        server.execute("UPDATE users SET cpf_proven_at = now(), cpf_proven_by = 'operator' WHERE id = %s", (user_id,))
        server.execute("UPDATE users SET cpf = %s WHERE id = %s", (new_cpf(), user_id))
        assert server.execute("SELECT cpf_proven_at FROM users WHERE id = %s", (user_id,)).fetchone() == (None,)
        server.execute("UPDATE users SET cpf_proven_at = now(), cpf_proven_by = 'operator' WHERE id = %s", (user_id,))
        server.execute(
            "UPDATE users SET full_name = NULL, email = NULL, cpf = NULL, erased_at = now() WHERE id = %s", (user_id,)
        )


def test_an_approval_that_an_operator_ended_stays(new_empty_database: Callable[[], str]) -> None:
    url = new_empty_database()
    schema.migrate(url, "0018")
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("UPDATE resellers_auto_approvals SET valid_until = '2026-12-01'")
        schema.migrate(url)
        assert server.execute(APPROVED_CPFS).fetchall() == [("15350946056", False)]


HELD = """
    SELECT claims.description, from_role FROM user_claims JOIN claims ON claims.id = claim_id
    WHERE user_id = %s ORDER BY 1
"""


def test_former_claims_and_roles_stay_with_their_holders(new_empty_database: Callable[[], str]) -> None:
    """Validators keep the claim that an operator made for them; administrators get the new ones."""
    url = new_empty_database()
    schema.migrate(url, "0024")
    with psycopg.connect(url, autocommit=True) as server:
        administrator, validator, auditor = uuid7(), uuid7(), uuid7()
        server.execute(
            "INSERT INTO claims (description) VALUES ('transit:validate'), ('portal:ver'), ('*'), ('audit:read')"
        )
        server.execute("INSERT INTO roles (description) VALUES ('auditor')")
        for user_id, role in ((administrator, "administrador"), (validator, "cidadão"), (auditor, "auditor")):
            server.execute(
                "INSERT INTO users (id, full_name, email, role_id, created_at, updated_at)"
                " SELECT %s, 'Ana Pereira', %s, id, now(), now() FROM roles WHERE description = %s",
                (user_id, f"{user_id}@exemplo.com.br", role),
            )
        for user_id, claim in (
            (administrator, "users:write"),
            (validator, "transit:validate"),
            (validator, "portal:ver"),
            (validator, "*"),
            (validator, "audit:read"),
        ):
            server.execute(
                "INSERT INTO user_claims (user_id, claim_id) SELECT %s, id FROM claims WHERE description = %s",
                (user_id, claim),
            )
        schema.migrate(url)
        held: dict[str, bool] = dict(server.execute(HELD, (administrator,)).fetchall())
        assert held["users:write"] is False, "a claim that was granted directly does not become the role's"
        assert {
            "transit:validate",
            "users:suspend",
            "audit:read",
            "documents:review",
            "data_requests:write",
        } <= held.keys()
        assert [row[0] for row in server.execute(HELD, (validator,))] == ["*", "portal:ver", "transit:validate"], (
            "who held a word that later became a claim of the product loses it"
        )
        assert server.execute(HELD, (auditor,)).fetchall() == [], "an operator's own role stays as it was"
        own = server.execute("SELECT built_in FROM roles WHERE description = 'auditor'").fetchone()
        assert own == (False,)
        server.execute("UPDATE claims SET active = false WHERE description = '*'")
        with pytest.raises(psycopg.Error, match=r"no claim is called \*"):
            server.execute("UPDATE claims SET description = '*' WHERE description = 'portal:ver'")
