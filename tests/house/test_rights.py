"""The role that serves cannot change append-only tables, nor create or alter anything; the owner grants its rights."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from carteira import schema
from carteira.embedded import SERVICE, Endpoints
from carteira.kit.db import rights
from carteira.modules import RIGHTS
from tests.support.clusters import programs
from tests.support.databases import NewDatabase, as_owner, as_service, on_server

CHANGES = ("UPDATE", "DELETE", "TRUNCATE")
REFUSED = """
    SELECT tgrelid::regclass::text, relispartition,
           ARRAY(SELECT name FROM unnest(ARRAY['UPDATE', 'DELETE'], ARRAY[16, 8]) AS event (name, bit)
                 WHERE tgtype & bit <> 0)
    FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
    WHERE tgfoid = ANY (ARRAY['ledger_refuse', 'audit_refuse', 'audit_keep', 'credit_refuse']::regproc[])
"""


@pytest.fixture(scope="module")
def url(new_database: NewDatabase, endpoints: Endpoints) -> str:
    return as_service(endpoints, new_database("rights"))


@pytest.fixture
def service(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def refuses(service: psycopg.Connection, statement: sql.Composed | sql.SQL) -> bool:
    try:
        service.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


WITHHELD = [
    (table, right)
    for table, kept in sorted(RIGHTS.items())
    for right in ("INSERT", *CHANGES, "REFERENCES", "TRIGGER", "MAINTAIN")
    if right not in kept
]


@pytest.mark.parametrize(("table", "right"), WITHHELD, ids=" ".join)
def test_the_service_lacks_withheld_rights(service: psycopg.Connection, table: str, right: str) -> None:
    name = sql.Identifier(table)
    column = sql.Identifier(
        service.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum = 1", (table,)
        ).fetchall()[0][0]
    )
    statement = {
        "INSERT": "INSERT INTO {0} SELECT * FROM {0} LIMIT 0",
        "UPDATE": "UPDATE {0} SET {1} = {1}",
        "DELETE": "DELETE FROM {0}",
        "TRUNCATE": "TRUNCATE {0}",
        "REFERENCES": "CREATE TABLE mine (id integer REFERENCES {0})",
        "TRIGGER": "CREATE TRIGGER mine BEFORE UPDATE ON {0} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "MAINTAIN": "REINDEX TABLE {0}",
    }[right]
    assert refuses(service, sql.SQL(statement).format(name, column))
    found = service.execute("SELECT has_table_privilege(%s, %s)", (table, right)).fetchone()
    assert found == (False,)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE audit_log DISABLE TRIGGER ALL",
        "ALTER TABLE ledger_entries DISABLE TRIGGER append_only",
        "ALTER TABLE users ADD COLUMN mine integer",
        "DROP TABLE ledger_postings",
        "DROP TRIGGER append_only ON ledger_postings",
        "DROP FUNCTION audit_refuse() CASCADE",
        "CREATE OR REPLACE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE sql AS 'SELECT 1'",
        "CREATE TABLE mine (id integer)",
        "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql RETURN 1",
        "CREATE SCHEMA mine",
        "CREATE INDEX ON users (id)",
        "TRUNCATE users",
        "SET session_replication_role = replica",
        "ALTER ROLE carteira PASSWORD 'x'",
        "SET ROLE carteira",
        "LOCK TABLE ledger_entries IN ACCESS EXCLUSIVE MODE",
    ],
)
def test_the_service_cannot_act_as_the_owner(service: psycopg.Connection, statement: str) -> None:
    service.execute("BEGIN")
    try:
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.WrongObjectType)):
            service.execute(statement.encode())
    finally:
        service.execute("ROLLBACK")


def test_tables_kept_by_triggers_have_withheld_rights(url: str) -> None:
    with psycopg.connect(url) as connection:
        kept = connection.execute(REFUSED).fetchall()
    assert {table for table, *_ in kept} >= {
        "ledger_entries",
        "ledger_postings",
        "ledger_chain",
        "audit_log",
        "audit_chain",
    }
    for table, is_partition, events in kept:
        for event in events:
            left = () if is_partition else RIGHTS.get(table, rights.ALL)
            assert event not in left, f"{table} refuses {event}, and the role has the right"


def test_no_partition_is_reached_by_its_name(service: psycopg.Connection) -> None:
    query = (
        "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    parts = [name for (name,) in service.execute(query)]
    assert len(parts) >= 5 * 3
    for name in parts:
        for right in ("SELECT", "INSERT", *CHANGES, "REFERENCES", "TRIGGER", "MAINTAIN"):
            assert service.execute("SELECT has_table_privilege(%s, %s)", (name, right)).fetchone() == (False,), name
        assert refuses(service, sql.SQL("SELECT FROM {}").format(sql.Identifier(name)))


def test_every_named_table_exists_and_the_others_are_served_whole(url: str) -> None:
    with psycopg.connect(url) as connection:
        held: dict[str, list[str]] = dict(
            connection.execute(
                """
                SELECT relname, ARRAY(SELECT privilege_type FROM aclexplode(relacl) WHERE grantee = %s::regrole)
                FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
                    AND NOT relispartition
            """,
                (SERVICE,),
            ).fetchall()
        )
    assert RIGHTS.keys() <= held.keys()
    assert {name: set(found) for name, found in held.items()} == {
        name: set(RIGHTS.get(name, rights.ALL)) for name in held
    }


def test_functions_of_the_owner_are_the_services_alone_with_a_fixed_search_path(url: str) -> None:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            """
            SELECT proname, proconfig, has_function_privilege(%s, oid, 'EXECUTE'),
                   EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 0)
            FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef
        """,
            (SERVICE,),
        ).fetchall()
    assert {name for name, *_ in found} >= {"audit_forget", "position_raise"}
    for name, settings, ours, everybodys in found:
        assert "search_path=public, pg_temp" in settings, name
        assert (ours, everybodys) == (True, False), name


def test_rights_that_grew_are_taken_back_and_nothing_else_is_touched(url: str, endpoints: Endpoints) -> None:
    owner = as_owner(endpoints, url)
    assert schema.grant(owner, SERVICE) == 0
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(sql.SQL("GRANT UPDATE, TRUNCATE ON ledger_entries TO {}").format(sql.Identifier(SERVICE)))
        connection.execute(sql.SQL("REVOKE SELECT ON users FROM {}").format(sql.Identifier(SERVICE)))
    assert schema.grant(owner, SERVICE) == 2
    assert schema.grant(owner, SERVICE) == 0


def test_a_role_that_is_not_there_is_named(url: str, endpoints: Endpoints) -> None:
    with pytest.raises(rights.RoleMissing, match="carteira_nobody"):
        schema.grant(as_owner(endpoints, url), "carteira_nobody")


@pytest.fixture
def maker(endpoints: Endpoints, url: str) -> Iterator[str]:
    """The address of a role that may create roles, like the first role of a managed PostgreSQL."""
    password = endpoints.superuser_url.partition("://")[2].partition("@")[0].partition(":")[2]
    with psycopg.connect(endpoints.superuser_url, autocommit=True) as connection:
        made = sql.SQL("CREATE ROLE test_maker LOGIN CREATEROLE PASSWORD {}").format(sql.Literal(password or "maker"))
        connection.execute(made)
        try:
            server = endpoints.superuser_url.rpartition("@")[2]
            yield on_server(f"postgresql://test_maker:{password or 'maker'}@{server}", url.rpartition("/")[2])
        finally:
            connection.execute("DROP ROLE IF EXISTS test_made")
            connection.execute("DROP ROLE test_maker")


def verifier(endpoints: Endpoints, role: str) -> str:
    with psycopg.connect(endpoints.superuser_url) as connection:
        query = "SELECT rolpassword, rolcanlogin AND NOT (rolsuper OR rolcreaterole) FROM pg_authid WHERE rolname = %s"
        found = connection.execute(query, (role,)).fetchone()
    assert found is not None
    assert found[1], "it signs in, and has no more rights than these"
    return str(found[0])


def test_the_role_that_serves_is_made_and_its_password_changed(maker: str, endpoints: Endpoints) -> None:
    assert schema.make_role(maker, "postgresql://test_made:first@localhost/any") is True
    first = verifier(endpoints, "test_made")
    assert first.startswith("SCRAM-SHA-256$"), "the server never sees the password"
    assert schema.make_role(maker, "postgresql://test_made:se%40cond@localhost/any") is False
    assert verifier(endpoints, "test_made") != first
    assert schema.make_role(maker, "postgresql://test_maker:any@localhost/any") is False, "not its own password"


def test_an_owner_without_the_right_to_make_roles_makes_none(url: str, endpoints: Endpoints) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        schema.make_role(as_owner(endpoints, url), "postgresql://test_unmade:any@localhost/any")


def test_the_owner_alone_is_left_as_it_is(url: str, endpoints: Endpoints) -> None:
    assert schema.grant(as_owner(endpoints, url), "carteira") == 0


def test_no_temporary_table_hides_ours(endpoints: Endpoints, new_database: NewDatabase) -> None:
    own = as_service(endpoints, new_database("rights_temporary"))
    schema.grant(as_owner(endpoints, own), SERVICE)
    with psycopg.connect(own) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("CREATE TEMPORARY TABLE ledger_accounts (id uuid)")


def test_the_role_of_backups_dumps_and_a_restore_is_granted_again(
    url: str, endpoints: Endpoints, new_database: NewDatabase, tmp_path: Path
) -> None:
    dump = tmp_path / "carteira.dump"
    program = programs()
    backup = on_server(endpoints.backup_url, url.rpartition("/")[2])
    subprocess.run([program / "pg_dump", "-Fc", "-f", dump, backup], check=True)
    restored = as_service(endpoints, new_database("rights_restored"))
    name = restored.rpartition("/")[2]
    with psycopg.connect(endpoints.superuser_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER carteira").format(sql.Identifier(name)))
    owner = as_owner(endpoints, restored)
    superuser = on_server(endpoints.superuser_url, name)
    subprocess.run([program / "pg_restore", "--no-privileges", "-d", superuser, dump], check=True, env=os.environ)
    with psycopg.connect(restored) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT FROM users")
    assert schema.grant(owner, SERVICE) > 70
    with psycopg.connect(restored) as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
        assert connection.execute("SELECT position_holds() OR position_raise() >= 0").fetchone() == (True,)
