"""`make bench-migrations`: for how long the migration of a large database delays those who use it.

A database of the former release (or of `--since`) is filled with entries, postings and events without its indexes and
triggers, which are restored afterwards. Then it is migrated while one connection posts and another reads a statement,
one after the other without a pause: the longest of each is the longest wait for a lock. Ten million entries take about
two minutes in all, and 6 GB.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.stage import stage
from carteira import schema
from carteira.kit.values.ids import uuid7

FORMER = "0046"
"""The last revision of 0.9.0."""
MONTHS = 6
WARM_SECONDS = 2.0

_ENTRIES = """
    INSERT INTO ledger_entries (id, xid, kind, posted_at, actor_kind, actor_id)
    SELECT uuidv7(-ago), 3, 'bench.filled', now() - ago, 'command', 'bench'
    FROM generate_series(1, %(entries)s) AS number,
         make_interval(secs => %(seconds)s * (1 - number / %(entries)s::float)) AS ago
"""
_POSTINGS = """
    INSERT INTO ledger_postings (entry_id, line, account_id, amount, posted_at)
    SELECT id, line, CASE line WHEN 0 THEN %(funding)s ELSE %(settlement)s END, line * 2 - 1, posted_at
    FROM ledger_entries, generate_series(0, 1) AS line WHERE kind = 'bench.filled'
"""
_EVENTS = """
    INSERT INTO events (id, xid, topic, payload, occurred_at)
    SELECT uuidv7(-ago), 3, 'bench.filled', '{}', now() - ago
    FROM generate_series(1, %(entries)s / 10) AS number,
         make_interval(secs => %(seconds)s * (1 - number * 10 / %(entries)s::float)) AS ago
"""
_POST = """
    SELECT ledger_post(
        ARRAY[]::ledger_move[],
        ARRAY[ROW(%(id)s, 'bench.posted', NULL, NULL, NULL, 'command', 'bench')::ledger_posted_entry],
        ARRAY[ROW(%(id)s, 0, %(funding)s, -1, NULL, NULL, NULL)::ledger_line,
              ROW(%(id)s, 1, %(settlement)s, 1, NULL, NULL, NULL)::ledger_line],
        false, NULL)
"""
_READ = """
    SELECT * FROM ledger_postings JOIN ledger_entries ON id = entry_id
    WHERE account_id = %(funding)s ORDER BY ledger_postings.posted_at DESC LIMIT 50
"""


@contextmanager
def bare(connection: psycopg.Connection, *tables: str) -> Iterator[None]:
    """Remove the tables' indexes until the end of the block, and let no trigger fire."""
    made: list[tuple[str, str]] = []
    for table in tables:
        rows = connection.execute(
            "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid), conname, pg_get_constraintdef(c.oid)"
            " FROM pg_index LEFT JOIN pg_constraint c ON conindid = indexrelid AND contype = 'p'"
            " WHERE indrelid = %s::regclass",
            (table,),
        ).fetchall()
        for index, definition, constraint, written in rows:
            back = f"ALTER TABLE {table} ADD CONSTRAINT {constraint} {written}" if constraint else definition
            away = f"ALTER TABLE {table} DROP CONSTRAINT {constraint}" if constraint else f"DROP INDEX {index}"
            made.append((away, back))
    connection.execute("SET session_replication_role = replica")
    connection.execute("SET maintenance_work_mem = '512MB'")
    for away, _ in made:
        connection.execute(away.encode())
    yield
    for _, back in made:
        connection.execute(back.encode())
    connection.execute("SET session_replication_role = origin")
    connection.execute("VACUUM ANALYZE")


def fill(url: str, entries: int, accounts: dict[str, object]) -> None:
    """Fill the tables with entries of the last half year, two postings each, and a tenth as many events."""
    values = accounts | {"entries": entries, "seconds": MONTHS * 30 * 86_400.0}
    with (
        psycopg.connect(url, autocommit=True) as connection,
        bare(connection, "ledger_entries", "ledger_postings", "events"),
    ):
        for statement in (_ENTRIES, _POSTINGS, _EVENTS):
            connection.execute(statement, values)


class Asked:
    """A client that sends one request after the other, and how long each took, in seconds."""

    def __init__(self, url: str, statement: str, values: Callable[[], dict[str, object]]) -> None:
        self.times: list[float] = []
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, args=(url, statement, values))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self, url: str, statement: str, values: Callable[[], dict[str, object]]) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not self._stop.is_set():
                began = time.perf_counter()
                try:
                    connection.execute(statement.encode(), values())
                except psycopg.Error as error:
                    self.failures.append(str(error))
                self.times.append(time.perf_counter() - began)


def measure(entries: int, since: str) -> Iterator[str]:
    """Migrate a database with so many entries; return its row of the table, and print failures."""
    with (
        tempfile.TemporaryDirectory(prefix="carteira-bench-") as folder,
        stage(Path(folder), 0, revision=since) as endpoints,
    ):
        url = endpoints.superuser_url.rpartition("/")[0] + "/" + endpoints.owner_url.rpartition("/")[2]
        with psycopg.connect(url) as connection:
            found = connection.execute("SELECT kind, id FROM ledger_accounts WHERE is_system").fetchall()
        accounts: dict[str, object] = {kind.removeprefix("benefits."): id_ for kind, id_ in found}
        began = time.perf_counter()
        fill(url, entries, accounts)
        yield f"{time.perf_counter() - began:.1f}"
        with (
            Asked(url, _POST, lambda: {**accounts, "id": uuid7()}) as posting,
            Asked(url, _READ, lambda: accounts) as reading,
        ):
            time.sleep(WARM_SECONDS)
            began = time.perf_counter()
            schema.migrate(endpoints.owner_url)
            migrated = time.perf_counter() - began
    yield f"{migrated:.1f}"
    yield from (f"{max(one.times):.3f}" for one in (posting, reading))
    yield f"{len(posting.times) + len(reading.times):,}"
    failures = posting.failures + reading.failures
    for failure in sorted(set(failures)):
        Console(stderr=True).print(failure)
    yield str(len(failures))


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--since", default=FORMER, help="the revision from which it is migrated")
    options = parser.parse_args()
    table = Table(title=f"Migrated from {options.since} on while others write and read, in seconds")
    for title in ("entries", "filled in", "migrated in", "longest post", "longest read", "asked", "failed"):
        table.add_column(title, justify="right")
    for entries in options.entries:
        table.add_row(f"{entries:,}", *measure(entries, options.since))
    Console().print(table)


if __name__ == "__main__":
    main()
