"""`make bench-chain`: what the hash chain costs the authorizer, and how fast it is sealed and verified.

Rounds alternate between the chain off (nobody seals) and on (a process that seals all the time, as the worker does),
under a closed loop of 256 connections on many accounts. Whatever was left unsealed is sealed before the next round.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.load import Result, closed_loop
from benchmarks.stage import product, purchases, stage
from carteira import ledger
from carteira.cli import tokens
from carteira.kit.db import outbox
from carteira.kit.db.engine import Database
from carteira.ledger import chain
from carteira.settings import Settings

PAUSE_SECONDS = 0.1


async def _seal_what_is_there(database: Database) -> int:
    sealed = 0
    while True:
        async with database.transaction() as tx:
            handled = await outbox.follow(tx, chain.follower)
        if handled == 0:
            return sealed
        sealed += handled


async def _seal_for_ever(url: str) -> None:
    database = Database(url, pool_size=1)
    while True:
        await _seal_what_is_there(database)
        await asyncio.sleep(PAUSE_SECONDS)


@contextmanager
def _sealing(url: str, *, on: bool) -> Iterator[None]:
    if not on:
        yield
        return
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.chain", "--seal", url])
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


async def _catch_up(url: str) -> tuple[int, float]:
    """Seal what is left; return the number of entries and the seconds that it took."""
    database = Database(url, pool_size=1)
    began = time.perf_counter()
    sealed = await _seal_what_is_there(database)
    seconds = time.perf_counter() - began
    await database.close()
    return sealed, seconds


async def _verify(url: str) -> tuple[int, float]:
    """Verify the whole chain; return the number of entries and the seconds that it took."""
    database = Database(url, pool_size=1)
    began = time.perf_counter()
    async with database.transaction() as tx:
        async for result in ledger.verify(tx):
            last = result
    seconds = time.perf_counter() - began
    await database.close()
    if last.findings:
        raise SystemExit(f"the chain is broken: {last.findings[:3]}")
    return last.rows, seconds


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--seal", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.seal:
        uvloop.run(_seal_for_ever(options.seal))
    seen: dict[bool, list[Result]] = {False: [], True: []}
    sealed, seconds = 0, 0.0
    with tempfile.TemporaryDirectory(prefix="carteira-bench-") as folder:
        home = Path(folder)
        with stage(home, options.accounts) as endpoints:
            database = endpoints.database_url
            with product(home, endpoints, strategy="queue", workers=2) as url:
                token = tokens.processor(Settings(carteira_home=home), timedelta(hours=1))
                requests = purchases(url, token, options.accounts)
                closed_loop(url, 256, 2, requests)
                for on in [False, True] * options.rounds:
                    uvloop.run(_catch_up(database))
                    with _sealing(database, on=on):
                        seen[on].append(closed_loop(url, 256, options.seconds, requests))
                    if not on:
                        more = uvloop.run(_catch_up(database))
                        sealed, seconds = sealed + more[0], seconds + more[1]
            verified, verifying = uvloop.run(_verify(database))
    table = Table(title="The hash chain (medians)")
    for title in ("", "authorizations/s", "p50 ms", "p99 ms"):
        table.add_column(title, justify="left" if not title else "right")
    for on, results in seen.items():
        figures = [statistics.median(result.rate for result in results)]
        figures += [statistics.median(result.quantile(share) * 1000 for result in results) for share in (0.5, 0.99)]
        table.add_row(
            "sealed meanwhile" if on else "not sealed", f"{figures[0]:,.0f}", *(f"{f:.1f}" for f in figures[1:])
        )
    out = Console()
    out.print(table)
    ratios = [on.rate / off.rate for off, on in zip(seen[False], seen[True], strict=True)]
    out.print(f"sealed / not sealed, median of {len(ratios)} pairs: {statistics.median(ratios):.2f}")
    out.print(f"sealed at leisure: {sealed / seconds:,.0f} entries/s; verified: {verified / verifying:,.0f} entries/s")


if __name__ == "__main__":
    main()
