"""`make bench`: the authorizer against raw pgbench and the usual way, interleaved in one run, checked after each round.

Figures are ratios to the pgbench run of the same round (32 clients, one statement and one commit an authorization),
medians over the rounds: these machines are noisy. Everything shares the machine: PostgreSQL (syncing), the server, the
load generator. See README.md beside this file.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped] # it has no types
import psycopg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.draw import draw
from benchmarks.load import Result, closed_loop, open_loop
from benchmarks.stage import APPROVED, naive, pgbench_binary, product, purchases, stage
from carteira.benefits.ledger_kinds import SETTLEMENT
from carteira.cli import tokens
from carteira.embedded import Endpoints
from carteira.settings import Settings

HERE = Path(__file__).parent
PGBENCH_CLIENTS = 32
WARM_SECONDS = 1.0


@dataclass(frozen=True)
class Case:
    """One measurement of a round."""

    name: str
    hot: bool
    connections: int = 64
    workers: int = 1
    strategy: str = "queue"
    rate: float | None = None
    """Requests a second of an open loop; None: a closed loop; below 1: a share of the peak so far."""


@dataclass
class Seen:
    """The results of a case over the rounds."""

    rates: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    p999: list[float] = field(default_factory=list)


def cases(*, quick: bool) -> list[Case]:
    """Return the cases that a round measures."""
    chosen = [Case("usual way", hot, 64, 2, "naive") for hot in (False, True)]
    chosen += [
        Case(strategy, hot, 64, 2, strategy) for strategy in ("optimistic", "pessimistic") for hot in (False, True)
    ]
    for workers, connections, hot in itertools.product((1, 2), (64, 256), (False, True)):
        chosen.append(Case("queue", hot, connections, workers))
    chosen += [Case("queue, 2,000/s", hot=False, workers=2, rate=2_000.0)]
    chosen += [Case("queue, half of the peak", hot=False, workers=2, rate=0.5)]
    if quick:
        wanted = {("usual way", 2), ("queue", 1), ("queue", 2), ("queue, 2,000/s", 2), ("queue, half of the peak", 2)}
        chosen = [case for case in chosen if (case.name, case.workers) in wanted]
    return chosen


class Bench:
    """One run."""

    def __init__(self, home: Path, endpoints: Endpoints, options: argparse.Namespace) -> None:
        self.home = home
        self.endpoints = endpoints
        self.options = options
        self.token = tokens.processor(Settings(carteira_home=home), timedelta(hours=2))
        self.seen: dict[Case, Seen] = {}
        self.pgbench: dict[bool, Seen] = {False: Seen(), True: Seen()}
        self.peak = 0.0
        self.not_approved = 0

    def round(self, chosen: list[Case], tick: Callable[[str], None]) -> None:
        """Measure pgbench and every case once."""
        base = {hot: self._run_pgbench(hot, tick) for hot in (False, True)}
        for (strategy, workers), group in itertools.groupby(chosen, lambda case: (case.strategy, case.workers)):
            with ExitStack() as stack:
                start: Any = naive if strategy == "naive" else product
                url = stack.enter_context(start(self.home, self.endpoints, strategy=strategy, workers=workers))
                for case in group:
                    tick(f"{case.name}, {case.connections} connections, {'one account' if case.hot else 'many'}")
                    before = self._approved()
                    result = self._load(url, case)
                    self._check(result, self._approved() - before, case)
                    self._note(case, result, base[case.hot])

    def _load(self, url: str, case: Case) -> Result:
        requests = purchases(url, self.token, 1 if case.hot else self.options.accounts)
        warm = closed_loop(url, case.connections, WARM_SECONDS, requests)
        if case.rate is None:
            result = closed_loop(url, case.connections, self.options.seconds, requests)
        else:
            rate = case.rate * self.peak if case.rate < 1 else case.rate
            result = open_loop(url, rate, self.options.seconds, requests)
        self.warm_answers = warm.answers
        return result

    def _note(self, case: Case, result: Result, base: float) -> None:
        seen = self.seen.setdefault(case, Seen())
        rate = result.answers[APPROVED] / result.seconds
        seen.rates.append(rate)
        seen.ratios.append(rate / base)
        self.not_approved += len(result.latencies) - result.answers[APPROVED]
        for quantiles, share in ((seen.p50, 0.5), (seen.p99, 0.99), (seen.p999, 0.999)):
            quantiles.append(result.quantile(share) * 1000)
        if case.strategy == "queue" and case.rate is None and not case.hot:
            self.peak = max(self.peak, rate)

    def _check(self, result: Result, recorded: int, case: Case) -> None:
        """Check that the answers agree with the books."""
        answered = result.answers[APPROVED] + result.first[APPROVED] + self.warm_answers[APPROVED]
        if answered != recorded or result.lost:
            raise SystemExit(f"{case}: {answered} approved answers, {recorded} in the books, {result.lost} lost")

    def _approved(self) -> int:
        with psycopg.connect(self.endpoints.owner_url) as connection:
            row = connection.execute("SELECT count(*) FROM benefits_decisions WHERE code = '00'").fetchone()
            assert row is not None
            return int(row[0])

    def _run_pgbench(self, hot: bool, tick: Callable[[str], None]) -> float:  # noqa: FBT001 - the signature of `Case`
        tick(f"pgbench, {'one account' if hot else 'many accounts'}")
        parts = urlsplit(self.endpoints.owner_url)
        command = [str(pgbench_binary()), "-n", "-M", "prepared", "-f", str(HERE / "pgbench.sql")]
        command += ["-c", str(PGBENCH_CLIENTS), "-j", "2", "-T", str(max(2, int(self.options.seconds)))]
        command += ["-D", f"accounts={1 if hot else self.options.accounts}", "-D", f"settlement={SETTLEMENT}"]
        command += ["-h", str(parts.hostname), "-p", str(parts.port), "-U", str(parts.username), parts.path[1:]]
        env = {**os.environ, "PGPASSWORD": str(parts.password)}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        lines = dict(line.split(" = ", 1) for line in done.stdout.splitlines() if " = " in line)
        rate = float(lines["tps"].split()[0])
        self.pgbench[hot].rates.append(rate)
        self.pgbench[hot].p50.append(float(lines["latency average"].split()[0]))
        return rate

    def prove(self) -> None:
        """Check that the books balance afterwards."""
        done = subprocess.run(
            [sys.executable, "-m", "carteira", "ledger", "reconcile"],
            env={**os.environ, "DATABASE_URL": self.endpoints.database_url, "CARTEIRA_HOME": str(self.home)},
            check=False,
        )
        if done.returncode:
            raise SystemExit("the books do not balance")


def report(bench: Bench, out: Console) -> list[tuple[str, float, float, float, float, float]]:
    """Print the table and return its rows: name, rate, ratio, p50, p99, p99.9 (milliseconds)."""
    rows = []
    median = statistics.median
    for hot, seen in bench.pgbench.items():
        name = f"pgbench, {PGBENCH_CLIENTS} clients, {'one account' if hot else 'many accounts'}"
        rows.append((name, median(seen.rates), 1.0, median(seen.p50), float("nan"), float("nan")))
    for case, seen in bench.seen.items():
        where = "one account" if case.hot else "many accounts"
        load = "" if case.rate else f", {case.connections} connections"
        name = f"{case.name}, {case.workers} worker{'s'[: case.workers - 1]}{load}, {where}"
        figures = (seen.rates, seen.ratios, seen.p50, seen.p99, seen.p999)
        rows.append((name, *(median(figure) for figure in figures)))  # type: ignore[arg-type] # five of them
    table = Table(title="Authorizations (medians)")
    for title in ("", "a second", "× pgbench", "p50 ms", "p99 ms", "p99.9 ms"):
        table.add_column(title, justify="left" if not title else "right")
    for name, rate, ratio, *times in rows:
        table.add_row(name, f"{rate:,.0f}", f"{ratio:.2f}", *(f"{value:.1f}" for value in times))
    out.print(table)
    out.print(f"answers that were no approval: {bench.not_approved}")
    return rows


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer cases, one round: two minutes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--svg", type=Path, default=None, help="draw the table into this file")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, min(options.seconds, 4.0)
    out, before = Console(), psutil.cpu_times()
    chosen = cases(quick=options.quick)
    columns = (TextColumn("{task.description:<55}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with tempfile.TemporaryDirectory(prefix="carteira-bench-") as folder, Progress(*columns) as progress:
        task = progress.add_task("filling the database", total=(len(chosen) + 2) * options.rounds)
        with stage(Path(folder), options.accounts) as endpoints:
            bench = Bench(Path(folder), endpoints, options)

            def tick(what: str) -> None:
                progress.update(task, description=what, advance=1)

            for _ in range(options.rounds):
                bench.round(chosen, tick)
            bench.prove()
    rows = report(bench, out)
    after = psutil.cpu_times()
    stolen = (after.steal - before.steal) / (sum(after) - sum(before))
    out.print(f"taken from this machine by its host meanwhile: {stolen:.1%} of the processors' time")
    if options.svg:
        options.svg.write_text(draw(rows))


if __name__ == "__main__":
    main()
