"""The files under `sql/` are the present text of each function, trigger and composite type in the database."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import psycopg
import pytest

from carteira.embedded import Endpoints
from tests.support.databases import as_owner
from tests.support.source import SOURCE

FUNCTIONS = """
    SELECT 'function ' || oid::regprocedure, pg_get_functiondef(oid) FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND proname NOT LIKE 'procrastinate%'
      AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e') -- an extension's
"""
TRIGGERS = """
    SELECT 'trigger ' || tgname || ' on ' || tgrelid::regclass, pg_get_triggerdef(pg_trigger.oid) FROM pg_trigger
    JOIN pg_class ON pg_class.oid = tgrelid AND NOT relispartition -- which have their table's (test_partitions)
    WHERE NOT tgisinternal AND tgrelid::regclass::text NOT LIKE 'procrastinate%'
"""
TYPES = """
    SELECT 'type ' || reltype::regtype, string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', '
                                                   ORDER BY attnum)
    FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'c' AND relname NOT LIKE 'procrastinate%'
    GROUP BY reltype
"""

Definitions = dict[str, str]


class NewDatabase(Protocol):
    def __call__(self, name: str) -> str: ...


@pytest.fixture
def migrated(new_database: NewDatabase, endpoints: Endpoints) -> Iterator[psycopg.Connection]:
    """A migrated database, in a transaction that is rolled back."""
    with psycopg.connect(as_owner(endpoints, new_database("sql"))) as connection:
        yield connection
        connection.rollback()


def texts() -> dict[str, str]:
    """The files in an order that builds: the ledger's first, since triggers of other modules call its function."""
    files = sorted(SOURCE.rglob("sql/*.sql"), key=lambda path: ("ledger" not in path.parts, path))
    return {str(path.relative_to(SOURCE)): path.read_text() for path in files}


def plain(definition: str) -> str:
    """Return the text without comments, line breaks and indentation."""
    return " ".join(re.sub(r"--[^\n]*", "", definition).split())


def definitions(connection: psycopg.Connection) -> Definitions:
    return {
        name: plain(definition)
        for query in (FUNCTIONS, TRIGGERS, TYPES)
        for name, definition in connection.execute(query.encode())
    }


def build(connection: psycopg.Connection, files: Mapping[str, str]) -> dict[str, Definitions]:
    """Drop what the migrations made, run the files instead, and return each file's definitions."""
    for name in definitions(connection):
        kind, _, rest = name.partition(" ")
        if kind != "trigger":  # dropping the functions drops them
            connection.execute(f"DROP {kind} {rest} CASCADE".encode())
    assert definitions(connection) == {}
    made: dict[str, Definitions] = {}
    before: Definitions = {}
    for file, text in files.items():
        connection.execute(text.encode())
        after = definitions(connection)
        made[file] = {name: after[name] for name in after.keys() - before.keys()}
        before = after
    return made


def test_the_files_match_the_migrated_database(migrated: psycopg.Connection) -> None:
    held = definitions(migrated)
    made = build(migrated, texts())
    assert definitions(migrated) == held
    for file, objects in made.items():
        stem = Path(file).stem
        named = [name for name in objects if re.match(rf"(function|type|trigger) {stem}\b", name)]
        assert named, f"{file} holds no {stem}"


@pytest.mark.parametrize(
    ("file", "old", "new", "missed"),
    [
        ("ledger/sql/ledger_post.sql", "account.version = move.read_version", "true", "function ledger_post"),
        ("ledger/sql/ledger_check_entries.sql", "SET enable_seqscan = off", "", "function ledger_check_entries()"),
        ("credit/sql/credit_check_head.sql", "BEFORE UPDATE", "AFTER UPDATE", "trigger forward_only"),
        ("ledger/sql/ledger_write.sql", "held bigint, ", "", "type ledger_new_balance"),
        ("resellers/sql/append_only.sql", "", "", "trigger append_only on resellers_closings"),
    ],
)
def test_a_file_that_differs_or_is_missing_is_found(
    migrated: psycopg.Connection, file: str, old: str, new: str, missed: str
) -> None:
    held, files = definitions(migrated), texts()
    if old:
        assert old in files[file]
        files[file] = files[file].replace(old, new, 1)
    else:
        del files[file]
    migrated.execute("SET check_function_bodies = off")
    build(migrated, files)
    built = definitions(migrated)
    assert any(name.startswith(missed) for name, definition in held.items() if built.get(name) != definition)


def test_a_function_without_a_file_is_found(migrated: psycopg.Connection) -> None:
    migrated.execute("CREATE FUNCTION ledger_forgotten() RETURNS integer LANGUAGE sql RETURN 1")
    held = definitions(migrated)
    build(migrated, texts())
    assert held.keys() - definitions(migrated).keys() == {"function ledger_forgotten()"}


def test_no_text_needs_more_than_the_oldest_postgresql_that_is_served_from() -> None:
    """`RETURNING` old and new values needs PostgreSQL 18: older servers fail when such a function is called."""
    for name, content in texts().items():
        for returned in re.findall(r"RETURNING\b(.*?)(?:\bINTO\b|;|\)\s)", plain(content), re.DOTALL):
            assert not re.search(r"\b(old|new)\.", returned), name
