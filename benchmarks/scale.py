"""`make bench-scale`: latencies by the number of accounts and postings.

Sizes are postings, two an entry: `--postings 1000000 10000000 100000000`. `--partitions 36` spreads the entries over so
many months, each in its partition. `--checks` adds, in seconds, a whole reconcile, a whole verification once all is
sealed, and both again of the `--new` entries that came after them. Each size also shows one poll of all followers, in
milliseconds.

`--home PATH` keeps the servers' data there, or goes on with what is there already: ten million postings are filled in
ten minutes, a hundred million take 50 GB and hours. `--unsealed` leaves out verification, since sealing takes as long.
`--fast` fills in with the triggers off that check each row: the rows are the same.

`--blocks` adds how many blocks of 8 KB PostgreSQL looks at for a request, and how many of them it has to read because
they are not in its own memory (`--buffers`, in MB). More blocks at a larger size mean more work for a request; as many
blocks, of which more are read, mean that the memory is too small for the size.

For each size: the authorizer at a fixed rate (open loop), and an account's statement and its balance at an instant over
HTTP, one after the other; twice, with a server just started and with the same accounts again. Entries are filled in by
SQL through the ledger's own checks, and rolled up as the worker does.
"""

import argparse
import itertools
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.draw import Size, draw_scale
from benchmarks.load import Connection, close_all, closed_loop, connect, http_request, open_loop
from benchmarks.stage import PATH, as_superuser, fill, product, stage
from carteira import ledger
from carteira.app import modules_of
from carteira.benefits.ledger_kinds import SETTLEMENT
from carteira.cli import tokens
from carteira.embedded import Endpoints
from carteira.kit.db.engine import Database, open_database
from carteira.kit.db.outbox import Backlog, follow
from carteira.ledger import chain
from carteira.settings import Settings

READS = 400
LOOKS = 50
CHECKS = ("reconcile", "reconcile, new", "verify", "verify, new")
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


_BLOCKS = "SELECT blks_hit + blks_read, blks_read FROM pg_stat_database WHERE datname = current_database()"
FLUSHED_SECONDS = 11
"""After so many seconds PostgreSQL's idle connections have told their counts."""

_BOUNDS = """
SELECT id FROM (
    SELECT id, row_number() OVER (ORDER BY id) AS place FROM ledger_accounts WHERE kind = 'benefits.MEAL'
) account WHERE place %% %(chunk)s = 0 ORDER BY id
"""


# The product's own roll-up is made for half a minute's entries.
_ROLL_UP = """
UPDATE ledger_accounts account SET balance = posted.amount, rolled_up_to = position_horizon()
FROM (SELECT account_id, sum(amount) AS amount FROM ledger_postings WHERE seq IS NULL GROUP BY account_id) posted
WHERE account.id = posted.account_id AND account.is_system
"""


def grow(
    url: str,
    accounts: int,
    entries: int,
    progress: Progress,
    *,
    months: int = 0,
    more: bool = False,
    unchecked: bool = False,
) -> None:
    """Add purchases of one centavo, account by account, until there are so many entries; or so many `more`.

    They run from so many months ago until now, after the entries of an earlier call. `unchecked`, which takes a
    superuser, leaves out the triggers.
    """
    task = progress.add_task(f"{entries:,} entries", total=entries)
    with psycopg.connect(url, autocommit=True) as connection:
        if unchecked:
            connection.execute("SET session_replication_role = replica")
        row = connection.execute("SELECT count(*) FROM ledger_entries").fetchone()
        assert row is not None
        done = 0 if more else int(row[0])
        bounds = [row[0] for row in connection.execute(_BOUNDS, {"chunk": min(CHUNK, accounts)})]
        ranges = itertools.cycle(itertools.pairwise([UUID(int=0), *bounds]))
        while done < entries:
            after, upto = next(ranges)
            ago = timedelta(days=30 * months) * (1 - done / entries)
            values = {"after": after, "upto": upto, "limit": entries - done, "settlement": SETTLEMENT, "ago": ago}
            done += connection.execute(_PURCHASES, values).rowcount // 2
            progress.update(task, completed=done)
        connection.execute(_ROLL_UP)
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


class Blocks:
    """Counts the blocks that PostgreSQL looks at for a request, and those that it reads from outside of its memory."""

    def __init__(self, database: str, *, counts: bool) -> None:
        self._database = database
        self._counts = counts
        self.of_requests: list[tuple[float, float]] = []

    def _now(self) -> tuple[int, int]:
        time.sleep(FLUSHED_SECONDS)
        with psycopg.connect(self._database) as connection:
            row = connection.execute(_BLOCKS).fetchone()
        assert row is not None
        return int(row[0]), int(row[1])

    @contextmanager
    def of(self, times: Sequence[float]) -> Iterator[None]:
        """Count for the requests of the block, whose times it collects."""
        if not self._counts:
            yield
            return
        looked, read = self._now()
        yield
        looked_then, read_then = self._now()
        self.of_requests.append(((looked_then - looked) / len(times), (read_then - read) / len(times)))


async def _measure(  # noqa: PLR0917 - the product, its data, the load
    url: str, database: str, accounts: int, home: Path, rate: float, blocks: Blocks
) -> list[list[float]]:
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
    times: list[list[float]] = [[], [], []]
    with blocks.of(times[0]):
        times[0] += [seconds * 1000 for seconds in open_loop(url, rate, 8, purchases()).latencies]
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
    for number, requests in enumerate((statements, balances), 1):
        with blocks.of(times[number]):
            times[number] += await _read(reader, requests)
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


async def _seal(database: Database) -> None:
    sealed = 1
    while sealed:
        async with database.transaction() as tx:
            sealed = await follow(tx, chain.follower)


async def _prove(database_url: str, *, whole: bool, sealed: bool) -> list[float]:
    """Return the seconds of a reconcile and, once all is sealed, of a verification: whole, or of what is new."""
    async with open_database(database_url) as database:
        began = time.perf_counter()
        reconciled = await ledger.prove_balances(database, whole=whole)
        took = [time.perf_counter() - began]
        if reconciled.differences or (reconciled.since is None) != whole:
            raise SystemExit(f"the ledger is not right, or there was no proof before: {reconciled}")
        if sealed:
            await _seal(database)
            began = time.perf_counter()
            verified = await ledger.prove_chain(database, whole=whole)
            took.append(time.perf_counter() - began)
            if verified.findings or (verified.since == 0) != whole:
                raise SystemExit(f"the chain is not whole, or there was no proof before: {verified}")
    return took


def _check(endpoints: Endpoints, accounts: int, progress: Progress, options: argparse.Namespace) -> dict[str, float]:
    """Return the seconds of reconcile and verify, whole and after new entries, by their names."""
    sealed = not options.unsealed
    whole = uvloop.run(_prove(endpoints.database_url, whole=True, sealed=sealed))
    grow(endpoints.owner_url, accounts, options.new, progress, more=True)
    new = uvloop.run(_prove(endpoints.database_url, whole=False, sealed=sealed))
    return dict(zip(CHECKS[::2], whole, strict=False)) | dict(zip(CHECKS[1::2], new, strict=False))


@contextmanager
def _home(
    path: Path | None, accounts: int, months: int, buffers_mb: int | None
) -> Iterator[tuple[Path, Endpoints, int]]:
    """Start servers on a folder that is kept, or on one for the run; give it, and how many accounts it has."""
    kept = path is not None and (path / "postgres").exists()
    with tempfile.TemporaryDirectory(prefix="carteira-bench-") as folder:
        home = path or Path(folder)
        months = 0 if kept else months
        with stage(home, 0 if kept else accounts, months=months, buffers_mb=buffers_mb) as endpoints:
            with psycopg.connect(endpoints.owner_url) as connection:
                row = connection.execute("SELECT count(*) FROM benefits_accounts").fetchone()
            assert row is not None
            yield home, endpoints, int(row[0])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--accounts", type=int, nargs="+", default=[1_000_000], help="one for all sizes, or one for each"
    )
    parser.add_argument("--postings", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--rate", type=float, default=1_000.0)
    parser.add_argument("--partitions", type=int, default=0, help="months that the entries are spread over")
    parser.add_argument("--checks", action="store_true", help="reconcile and verify, too")
    parser.add_argument("--unsealed", action="store_true", help="without verify")
    parser.add_argument("--fast", action="store_true", help="fill in with the ledger's own checks off")
    parser.add_argument("--blocks", action="store_true", help="count the blocks that a request looks at")
    parser.add_argument("--buffers", type=int, default=None, help="PostgreSQL's own memory, in MB")
    parser.add_argument("--new", type=int, default=100_000, help="entries that come between a whole check and the next")
    parser.add_argument("--home", type=Path, default=None, help="a folder for the servers' data, which is kept")
    parser.add_argument("--json", type=Path, default=None, help="add the figures to this file")
    parser.add_argument("--svg", type=Path, default=None, help="draw the curves of what is in that file into this one")
    return parser.parse_args()


MEASURED = ("authorizer", "statement", "balance at an instant")
TITLES = ("accounts", "postings", "server", *MEASURED, "followers' look")


def main() -> None:
    """Run it."""
    options = _options()
    sizes = list(zip(itertools.cycle(options.accounts), options.postings, strict=False))
    out = Console()
    rows: list[Size] = []
    table = Table(title=f"Latencies in ms, p50 / p99 (authorizer at {options.rate:,.0f}/s)")
    for title in (*TITLES, *(f"{name} s" for name in CHECKS)):
        table.add_column(title, justify="right")
    looked = Table(title="Blocks that a request looks at / those that PostgreSQL reads")
    for title in ("postings", "server", *MEASURED):
        looked.add_column(title, justify="right")
    staging = _home(options.home, sizes[0][0], options.partitions, options.buffers)
    with Progress(transient=True) as progress, staging as staged:
        home, endpoints, filled = staged
        for wanted, postings in sizes:
            if wanted > filled:
                fill(endpoints.owner_url, wanted, first=filled + 1)
            filled = accounts = max(wanted, filled)
            owner = as_superuser(endpoints) if options.fast else endpoints.owner_url
            grow(owner, accounts, postings // 2, progress, months=options.partitions, unchecked=options.fast)
            looks = uvloop.run(_look(endpoints.database_url, home))
            checks = _check(endpoints, accounts, progress, options) if options.checks else {}
            beside = [f"{looks:.1f}", *(f"{checks[name]:.1f}" if name in checks else "" for name in CHECKS)]
            with product(home, endpoints, strategy="queue", workers=2, looks_per_hour="none") as url:
                for state in ("just started", "in use"):  # the same accounts again
                    blocks = Blocks(endpoints.owner_url, counts=options.blocks)
                    times = uvloop.run(_measure(url, endpoints.database_url, accounts, home, options.rate, blocks))
                    figures = [(statistics.median(t), sorted(t)[int(len(t) * 0.99)]) for t in times]
                    rows.append(Size(accounts, postings, state, figures, looks, checks))
                    shown = (f"{p50:.1f} / {p99:.1f}" for p50, p99 in figures)
                    table.add_row(f"{accounts:,}", f"{postings:,}", state, *shown, *beside)
                    counted = (f"{seen:.1f} / {read:.2f}" for seen, read in blocks.of_requests)
                    looked.add_row(f"{postings:,}", state, *counted)
            out.print(table)
            if options.blocks:
                out.print(looked)
    _keep(options, rows)


def _keep(options: argparse.Namespace, rows: list[Size]) -> None:
    """Add the figures to those of earlier runs, if they are kept, and draw all."""
    if options.json and options.json.exists():
        rows = [Size(*row) for row in json.loads(options.json.read_text())] + rows
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    if options.svg:
        options.svg.write_text(
            draw_scale(sorted((row for row in rows if row.state == "in use"), key=lambda row: row.postings))
        )


if __name__ == "__main__":
    main()
