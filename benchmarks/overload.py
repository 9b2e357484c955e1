"""`make bench-overload`: three times the authorizer's capacity for a minute, and its behaviour during and after.

Beyond capacity it must turn requests away (`07`, reason `overloaded`), answer the admitted ones quickly, keep its
memory flat, and recover as soon as the load ends. The load is an open loop: it does not slow down with the server. It
has a processor to itself, and the server and its databases have the others, so it neither slows the server nor measures
its own delay. Its connections are in use when it begins, as a processor's are. Bodies tell rejections from approvals;
the metrics show that the reason was `overloaded`.
"""

import argparse
import os
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil  # type: ignore[import-untyped] # it has no types
from prometheus_client.parser import text_string_to_metric_families
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.load import Result, closed_loop, open_loop, quantile
from benchmarks.stage import APPROVED, product, purchases, stage
from carteira.cli import tokens
from carteira.settings import Settings

TURNED_AWAY = b'{"code":"07"}'


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
        """Return the total of the server's processes."""
        family = [self._process, *self._process.children(recursive=True)]
        return float(sum(process.memory_info().rss for process in family) / 2**20)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Sample until the end of the block."""
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


@contextmanager
def _apart() -> Iterator[tuple[set[int], int]]:
    """Reserve the last processor for the load generator: processes started in the block run on the others."""
    every = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else {0}
    if len(every) == 1:
        raise SystemExit("this needs Linux and two processors, one of them for the load generator")
    mine = max(every)
    os.sched_setaffinity(0, every - {mine})
    try:
        yield every - {mine}, mine
    finally:
        os.sched_setaffinity(0, every)


def _measure(url: str, token: str, options: argparse.Namespace) -> tuple[Memory, list[tuple[str, Result]]]:
    requests = purchases(url, token, options.accounts)
    closed_loop(url, 256, options.seconds / 3, requests, apart=True)  # until its caches hold most accounts
    peak = closed_loop(url, 256, options.seconds / 6, requests, apart=True)
    memory = Memory(url)
    calm = open_loop(url, peak.rate / 4, options.seconds / 6, requests, apart=True)
    with memory.watched():
        flood = open_loop(url, 3 * peak.rate, options.seconds, requests, connections=options.connections, apart=True)
        after = open_loop(url, peak.rate / 4, 2, requests)
        later = open_loop(url, peak.rate / 4, options.seconds / 6, requests, apart=True)
    again = closed_loop(url, 256, options.seconds / 6, requests, apart=True)
    rows = [("256 clients", peak), ("a quarter", calm), ("three times", flood), ("a quarter, 2 s after", after)]
    return memory, [*rows, ("a quarter, later", later), ("256 clients", again)]


def _table(rows: list[tuple[str, Result]]) -> Table:
    title = "Answers a second, and milliseconds from writing a request to its answer"
    table = Table(title=title, box=SIMPLE, padding=0)
    for heading in ("", "answered", "approved", "p50", "p99", "turned\naway", "p50", "p99", "written\nlate, p99"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for name, result in rows:
        cells = [f"{result.rate:,.0f}"]
        for answer in (APPROVED, TURNED_AWAY):
            times = (quantile(result.by_answer.get(answer, ()), share) * 1000 for share in (0.5, 0.99))
            cells += [f"{result.answers[answer] / result.seconds:,.0f}", *(f"{time:.1f}" for time in times)]
        table.add_row(name, *cells, f"{quantile(result.late, 0.99) * 1000:.1f}")
    return table


def _overloaded(url: str) -> int:
    """Return from the server's metrics how many requests were rejected."""
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
    parser.add_argument("--connections", type=int, default=2_000)
    options = parser.parse_args()
    out = Console()
    with tempfile.TemporaryDirectory(prefix="carteira-bench-") as folder, _apart() as (servers, mine):
        home = Path(folder)
        with stage(home, options.accounts) as endpoints:
            metrics = home / "metrics"
            metrics.mkdir()
            with product(
                home, endpoints, strategy="queue", workers=len(servers), prometheus_multiproc_dir=str(metrics)
            ) as url:
                os.sched_setaffinity(0, {mine})
                token = tokens.processor(Settings(carteira_home=home), timedelta(hours=1))
                memory, rows = _measure(url, token, options)
                overloaded = _overloaded(url)
    out.print(_table(rows))
    out.print(f"counted as overloaded in the metrics: {overloaded}")
    samples = memory.samples
    out.print(
        f"memory of the server in MiB: first {samples[0]:.0f}, highest {max(samples):.0f}, last {samples[-1]:.0f}"
    )


if __name__ == "__main__":
    main()
