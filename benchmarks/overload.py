"""`make bench-overload`: three times what the authorizer can take, for a minute, and what it does meanwhile and after.

Beyond capacity it must turn requests away (`07`, reason `overloaded`), keep answering what it accepts quickly, keep its
memory flat, and be back to normal as soon as the load is. The load is an open loop: it does not slow down with the
server. It is too busy to say when an answer came, so that a client with little to do, in a process of its own, sends
requests meanwhile and measures. Rejections are told from approvals by their bodies; the metrics say that they were
`overloaded`.
"""

import argparse
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import psutil  # type: ignore[import-untyped] # it has no types
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from benchmarks.load import Result, closed_loop, open_loop
from benchmarks.stage import APPROVED, product, purchases, stage
from carteira import operator_tokens
from carteira.settings import Settings

BESIDE_RATE = 200
"""Requests a second of the client beside the load; it has as many connections."""


class Memory:
    """The resident memory of the server's processes, sampled twice a second, in MiB."""

    def __init__(self, url: str) -> None:
        port = int(url.rpartition(":")[2])
        owner = next(
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == "LISTEN" and connection.laddr.port == port and connection.pid
        )
        self._process = psutil.Process(owner)
        self.samples: list[float] = []

    def now(self) -> float:
        """Add up the server's processes."""
        family = [self._process, *self._process.children(recursive=True)]
        return float(sum(process.memory_info().rss for process in family) / 2**20)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Sample for as long as the block lasts."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.5):
                self.samples.append(self.now())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


def _beside(url: str, token: str, accounts: int, seconds: float) -> Result:
    """Be the client with little to do."""
    return open_loop(url, BESIDE_RATE, seconds, purchases(url, token, accounts), connections=BESIDE_RATE)


def _measure(url: str, token: str, options: argparse.Namespace) -> tuple[float, Memory, list[tuple[str, Result]]]:
    requests = purchases(url, token, options.accounts)
    closed_loop(url, 256, 2, requests)
    peak = closed_loop(url, 256, options.seconds / 6, requests).rate
    memory = Memory(url)
    calm = open_loop(url, peak / 4, options.seconds / 6, requests)
    with memory.watched(), ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        beside = pool.submit(_beside, url, token, options.accounts, options.seconds * 0.9)
        storm = open_loop(url, 3 * peak, options.seconds, requests, connections=options.connections)
        after = open_loop(url, peak / 4, 2, requests)
        settled = open_loop(url, peak / 4, options.seconds / 6, requests)
        meanwhile = beside.result()
    rows = [("a quarter of the peak, before", calm), ("three times the peak", storm), ("a client beside it", meanwhile)]
    rows += [("a quarter, the two seconds after", after), ("a quarter, later", settled)]
    return peak, memory, rows


def _overloaded(url: str) -> int:
    """Ask the server's metrics how many requests were turned away."""
    with urllib.request.urlopen(url + "/metrics", timeout=5) as answer:  # noqa: S310 - loopback
        families = text_string_to_metric_families(answer.read().decode())
    return sum(
        int(sample.value)
        for family in families
        for sample in family.samples
        if sample.name == "carteira_authorizations_total" and sample.labels["reason"] == "overloaded"
    )


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--accounts", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--connections", type=int, default=2_000)
    options = parser.parse_args()
    out = Console()
    with tempfile.TemporaryDirectory(prefix="carteira-bench-") as folder:
        home = Path(folder)
        with stage(home, options.accounts) as endpoints:
            metrics = home / "metrics"
            metrics.mkdir()
            with product(
                home, endpoints, strategy="queue", workers=options.workers, prometheus_multiproc_dir=str(metrics)
            ) as url:
                token = operator_tokens.processor(Settings(carteira_home=home), timedelta(hours=1))
                peak, memory, rows = _measure(url, token, options)
                overloaded = _overloaded(url)
    table = Table(title=f"Overload (peak {peak:,.0f}/s)")
    for title in ("", "offered/s", "approved/s", "turned away/s", "p50 ms", "p99 ms"):
        table.add_column(title, justify="left" if not title else "right")
    for name, result in rows:
        approved = result.answers[APPROVED]
        away = sum(result.answers.values()) - approved
        times = (f"{result.quantile_of(APPROVED, share) * 1000:.1f}" for share in (0.5, 0.99))
        rates = (f"{count / result.seconds:,.0f}" for count in (approved + away, approved, away))
        table.add_row(name, *rates, *times)
    out.print(table)
    out.print("p50 and p99 are of what was approved, from the instant at which the load generator wrote the request.")
    out.print(f"counted as overloaded in the metrics: {overloaded}")
    samples = memory.samples
    out.print(
        f"memory of the server in MiB: first {samples[0]:.0f}, highest {max(samples):.0f}, last {samples[-1]:.0f}"
    )


if __name__ == "__main__":
    main()
