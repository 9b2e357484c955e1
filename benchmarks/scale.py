"""`make bench-scale`: latencies by the number of accounts and entries.

`--partitions 36` spreads the entries over so many months, each in its partition. `--checks` adds a whole reconcile and,
once all is sealed, a whole verification, in seconds. Each size also shows one poll of all followers, in milliseconds.
Up to ten million entries take about eight minutes, with `--checks` some fifteen; a hundred million take 60 GB.

For each size: the authorizer at a fixed rate (open loop), and an account's statement and its balance at an instant over
HTTP, one after the other; twice, with a server just started and with the same accounts again. Entries are filled in by
SQL through the ledger's own checks.
"""

import argparse
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.draw import draw_scale
from benchmarks.load import Connection, close_all, closed_loop, connect, http_request, open_loop
from benchmarks.stage import PATH, fill, product, stage
from carteira import ledger
from carteira.app import modules_of
from carteira.benefits.ledger_kinds import SETTLEMENT
from carteira.cli import tokens
from carteira.kit.db.engine import open_database
from carteira.kit.db.outbox import Backlog, follow
from carteira.ledger import chain
from carteira.settings import Settings

READS = 400
LOOKS = 50
CHUNK = 50_000

_PURCHASES = """
WITH chosen AS (
    SELECT id FROM ledger_accounts WHERE kind = 'benefits.MEAL' AND id > %(after)s AND id <= %(upto)s LIMIT %(limit)s
),
paid AS (
    UPDATE ledger_accounts account SET balance = balance - 1, version = version + 1
    FROM chosen WHERE account.id = chosen.id
    RETURNING account.id, account.balance, account.version, uuidv7(-%(ago)s::interval) AS entry_id
),
entry AS (
    INSERT INTO ledger_entries (id, kind, posted_at, actor_kind, actor_id)
    SELECT entry_id, 'benefits.purchase', clock_timestamp() - %(ago)s::interval, 'processor', 'authorizer' FROM paid
    RETURNING id, posted_at
)
INSERT INTO ledger_postings (entry_id, line, account_id, amount, seq, balance_after, posted_at)
SELECT entry.id, line.number, CASE line.number WHEN 0 THEN paid.id ELSE %(settlement)s END,
       CASE line.number WHEN 0 THEN -1 ELSE 1 END,
       CASE line.number WHEN 0 THEN paid.version END, CASE line.number WHEN 0 THEN paid.balance END, entry.posted_at
FROM paid JOIN entry ON entry.id = paid.entry_id, generate_series(0, 1) AS line (number)
"""


_BOUNDS = """
SELECT id FROM (
    SELECT id, row_number() OVER (ORDER BY id) AS place FROM ledger_accounts WHERE kind = 'benefits.MEAL'
) account WHERE place %% %(chunk)s = 0 ORDER BY id
"""


def grow(url: str, accounts: int, entries: int, progress: Progress, *, months: int = 0) -> None:
    """Add purchases of one centavo, account by account, until there are so many entries.

    They run from so many months ago until now, after the entries of an earlier call.
    """
    task = progress.add_task(f"{entries:,} entries", total=entries)
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM ledger_entries").fetchone()
        assert row is not None
        done = int(row[0])
        bounds = [row[0] for row in connection.execute(_BOUNDS, {"chunk": min(CHUNK, accounts)})]
        ranges = itertools.cycle(itertools.pairwise([UUID(int=0), *bounds]))
        while done < entries:
            after, upto = next(ranges)
            ago = timedelta(days=30 * months) * (1 - done / entries)
            values = {"after": after, "upto": upto, "limit": entries - done, "settlement": SETTLEMENT, "ago": ago}
            done += connection.execute(_PURCHASES, values).rowcount // 2
            progress.update(task, completed=done)
        connection.execute("VACUUM ANALYZE")
    progress.remove_task(task)


def _get(url: str, path: str, token: str) -> bytes:
    host = url.removeprefix("http://")
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


async def _read(connection: Connection, requests: list[bytes]) -> list[float]:
    times = []
    for request in requests:
        began = time.perf_counter()
        status, body = await connection.send(request)
        times.append((time.perf_counter() - began) * 1000)
        if status != 200:  # noqa: PLR2004 - HTTP
            raise SystemExit(body.decode())
    return times


async def _measure(url: str, database: str, accounts: int, home: Path, rate: float) -> list[list[float]]:
    """Return the latencies in milliseconds of the authorizer, the statement and the balance at an instant."""
    settings = Settings(carteira_home=home)
    processor = tokens.processor(settings, timedelta(hours=1))
    operator = tokens.administrator(settings, ["*"], timedelta(hours=1))
    rng = random.Random(3)

    def purchases() -> Iterator[bytes]:
        while True:
            body = b'{"account":"b%d","totalAmount":1.00,"mcc":"5811","merchant":"X"}' % rng.randint(1, accounts)
            yield http_request(url, PATH, body, processor)

    closed_loop(url, 64, 2, purchases())
    load = open_loop(url, rate, 8, purchases())
    chosen = [rng.randint(1, accounts) for _ in range(READS)]
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT l.id FROM benefits_accounts a JOIN ledger_accounts l ON l.holder_id = a.id"
            " WHERE l.kind = 'benefits.MEAL' AND a.reference = ANY(%s)",
            ([f"b{number}" for number in chosen],),
        ).fetchall()
    instant = (datetime.now(UTC) - timedelta(seconds=20)).strftime("%Y-%m-%dT%H:%M:%SZ")
    [reader] = await connect(url, 1)
    statements = [_get(url, f"/benefits/accounts/b{number}/statement", operator) for number in chosen]
    balances = [_get(url, f"/ledger/accounts/{row[0]}/balance?at={instant}", operator) for row in rows]
    times = [[seconds * 1000 for seconds in load.latencies]]
    times += [await _read(reader, statements), await _read(reader, balances)]
    await close_all([reader])
    return times


async def _look(database_url: str, home: Path) -> float:
    """Return the median of one poll of all the worker's followers, in milliseconds."""
    followers = [one for module in modules_of(Settings(carteira_home=home)) for one in module.followers]
    async with open_database(database_url) as database:
        backlog, times = Backlog(followers), []
        for _ in range(LOOKS):
            began = time.perf_counter()
            await backlog.look(database.reads)
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


async def _check(database_url: str) -> tuple[float, float]:
    """Return the seconds of a whole reconcile, and of a whole verification once all entries are sealed."""
    async with open_database(database_url) as database:
        began = time.perf_counter()
        async with database.transaction() as tx:
            reconciled = await ledger.reconcile(tx)
        reconcile = time.perf_counter() - began
        sealed = 1
        while sealed:
            async with database.transaction() as tx:
                sealed = await follow(tx, chain.follower)
        began = time.perf_counter()
        async with database.transaction() as tx:
            async for so_far in ledger.verify(tx):
                found = so_far.findings
        verify = time.perf_counter() - began
    if reconciled.differences or found:
        raise SystemExit("the ledger is not right")
    return reconcile, verify


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, nargs="+", default=[1_000, 100_000, 2_000_000])
    parser.add_argument("--entries", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--rate", type=float, default=1_000.0)
    parser.add_argument("--partitions", type=int, default=0, help="months that the entries are spread over")
    parser.add_argument("--checks", action="store_true", help="reconcile and verify, too")
    parser.add_argument("--svg", type=Path, default=None, help="draw the curves into this file")
    options = parser.parse_args()
    out = Console()
    rows: list[tuple[str, list[tuple[float, float]]]] = []
    table = Table(title=f"Latencies in ms, p50 / p99 (authorizer at {options.rate:,.0f}/s)")
    titles = ["accounts", "entries", "server", "authorizer", "statement", "balance at an instant", "followers' look"]
    for title in titles + ["reconcile s", "verify s"] * options.checks:
        table.add_column(title, justify="right")
    with tempfile.TemporaryDirectory(prefix="carteira-bench-") as folder, Progress(transient=True) as progress:
        home = Path(folder)
        with stage(home, options.accounts[0], months=options.partitions) as endpoints:
            filled = options.accounts[0]
            for accounts, entries in zip(options.accounts, options.entries, strict=True):
                if accounts > filled:
                    fill(endpoints.owner_url, accounts, first=filled + 1)
                    filled = accounts
                grow(endpoints.owner_url, accounts, entries, progress, months=options.partitions)
                beside = [f"{uvloop.run(_look(endpoints.database_url, home)):.1f}"]
                if options.checks:
                    beside += [f"{seconds:.1f}" for seconds in uvloop.run(_check(endpoints.database_url))]
                with product(home, endpoints, strategy="queue", workers=2, looks_per_hour="none") as url:
                    for state in ("just started", "in use"):  # the same accounts again
                        times = uvloop.run(_measure(url, endpoints.database_url, accounts, home, options.rate))
                        figures = [(statistics.median(t), sorted(t)[int(len(t) * 0.99)]) for t in times]
                        rows.append((f"{accounts:,} accounts, {entries:,} entries, {state}", figures))
                        shown = (f"{p50:.1f} / {p99:.1f}" for p50, p99 in figures)
                        table.add_row(f"{accounts:,}", f"{entries:,}", state, *shown, *beside)
                out.print(table)
    if options.svg:
        options.svg.write_text(draw_scale(rows))


if __name__ == "__main__":
    main()
