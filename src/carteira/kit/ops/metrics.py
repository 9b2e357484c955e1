"""Prometheus metrics that are correct with several processes (prometheus-client's multiprocess mode).

The processes of one server share the folder `PROMETHEUS_MULTIPROC_DIR`, which the launcher sets and empties.
"""

import asyncio
import math
import os
import time
from bisect import bisect_left
from collections import Counter as Count
from collections import defaultdict
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from carteira.kit.ops.processes import is_alive

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

requests_total = Counter("carteira_http_requests", "HTTP requests answered", ["method", "route", "status"])
request_seconds = Histogram(
    "carteira_http_request_seconds",
    "Time from a request's head to the head of its answer",
    ["method", "route"],
    buckets=LATENCY_SECONDS,
)
follower_lag = Gauge(
    "carteira_follower_lag_rows",
    "Events that a follower has not handled yet (10,000 at most)",
    ["follower"],
    multiprocess_mode="mostrecent",
)
follower_oldest = Gauge(
    "carteira_follower_oldest_seconds",
    "Age of the oldest event that a follower has not handled yet; 0 if there is none",
    ["follower"],
    multiprocess_mode="mostrecent",
)
follower_rows = Counter("carteira_follower_rows", "Events that a follower handled", ["follower"])
worker_seen_at = Gauge(
    "carteira_worker_seen_timestamp_seconds", "Time of a worker's last round", multiprocess_mode="mostrecent"
)
jobs_total = Counter("carteira_jobs", "Jobs that a worker ran, by outcome", ["task", "outcome"])
job_seconds = Histogram(
    "carteira_job_seconds", "Time of a job", ["task"], buckets=(0.01, 0.05, 0.25, 1, 5, 30, 120, 600, 3600)
)
job_succeeded_at = Gauge(
    "carteira_job_succeeded_timestamp_seconds", "Time of a job's last success", ["task"], multiprocess_mode="mostrecent"
)
jobs_waiting = Gauge("carteira_jobs_waiting", "Jobs that are due and not started", multiprocess_mode="mostrecent")
job_oldest = Gauge(
    "carteira_job_oldest_seconds", "Time since the oldest waiting job was due", multiprocess_mode="mostrecent"
)
jobs_failed = Gauge("carteira_jobs_failed", "Failed jobs that are kept", multiprocess_mode="mostrecent")
connections_used = Gauge(
    "carteira_database_connections_used",
    "Connections to PostgreSQL in use, by pool: `session` (most verbs), `lean` (hot paths and single reads)",
    ["pool"],
    multiprocess_mode="livesum",
)
connections_most = Gauge(
    "carteira_database_connections_most", "Most connections that a pool may have", ["pool"], multiprocess_mode="livesum"
)
connection_waits = Counter(
    "carteira_database_connection_waits", "Transactions that waited because their pool was in use entirely", ["pool"]
)
process_cpu = Counter("carteira_process_cpu_seconds", "Processor time of the processes of this server or worker")
process_memory = Gauge(
    "carteira_process_resident_bytes", "Resident memory of the processes", multiprocess_mode="livesum"
)

REPORT_SECONDS = 0.01
PROCESS_SECONDS = 1.0
_MEMORY = Path("/proc/self/statm")


_reported: list["Tally | Level | Sums | Places | Process"] = []
_reporting: asyncio.AbstractEventLoop | None = None
"""The event loop of the scheduled report; the report of a loop that has ended never comes."""


def _report_soon() -> None:
    """Schedule a report unless one is scheduled; it needs a running event loop."""
    global _reporting  # noqa: PLW0603 - one report a process
    loop = asyncio.get_running_loop()
    if _reporting is not loop:
        _reporting = loop
        loop.call_later(REPORT_SECONDS, _report)


def _report() -> None:
    global _reporting  # noqa: PLW0603 - one report a process
    _reporting = None
    for each in _reported:
        each.report()


class Level:
    """A gauge of a present number, reported as `Tally` reports."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._now = self._reported = 0
        _reported.append(self)

    def up(self) -> None:
        """Count one more."""
        self._now += 1
        _report_soon()

    def down(self) -> None:
        """Count one less."""
        self._now -= 1
        _report_soon()

    def report(self) -> None:
        """Report the number, if it has changed."""
        if self._reported != self._now:
            self._reported = self._now
            self._gauge.set(self._now)


class Sums:
    """A counter's sums, reported as `Tally` reports."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._sums: Count[tuple[str, ...]] = Count()
        _reported.append(self)

    def add(self, *labels: str, amount: int = 1) -> None:
        """Add an amount; it needs a running event loop."""
        self._sums[labels] += amount
        _report_soon()

    def report(self) -> None:
        """Report what was counted since the last time."""
        sums, self._sums = self._sums, Count()
        for labels, amount in sums.items():
            self._counter.labels(*labels).inc(amount)


class Places:
    """The connections of a process's pool, reported as `Tally` reports: whoever enters has one, or waits for one."""

    def __init__(self, pool: str) -> None:
        self._used = connections_used.labels(pool)
        self._most = connections_most.labels(pool)
        self._waits = connection_waits.labels(pool)
        self._places = self._inside = self._waited = 0
        self._reported = (0, 0)
        _reported.append(self)

    def add(self, places: int) -> None:
        """Count so many more connections, fewer if negative."""
        self._places += places

    def __enter__(self) -> None:
        """Count one more who has or awaits a connection; in a running event loop."""
        self._inside += 1
        if self._inside > self._places:
            self._waited += 1
        _report_soon()

    def __exit__(self, *_error: object) -> None:
        """Count one less."""
        self._inside -= 1
        _report_soon()

    def report(self) -> None:
        """Report what has changed."""
        now = (min(self._inside, self._places), self._places)
        if now != self._reported:
            self._reported = now
            self._used.set(now[0])
            self._most.set(now[1])
        waited, self._waited = self._waited, 0
        if waited:
            self._waits.inc(waited)


class Process:
    """The processor time and memory of this process, reported with its other metrics, once a second at most."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._next = 0.0
        _reported.append(self)

    def report(self) -> None:
        """Report the processor time since the last report, and the memory, where the system tells it."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + PROCESS_SECONDS
        seconds = time.process_time()
        process_cpu.inc(seconds - (self._seconds if self._seconds <= seconds else 0.0))  # a fork begins at 0
        self._seconds = seconds
        try:
            pages = int(_MEMORY.read_text().split()[1])
        except OSError:  # a system without /proc
            return
        process_memory.set(pages * os.sysconf("SC_PAGE_SIZE"))


class Tally:
    """Counts events and their duration, and reports to the metrics at most a hundred times a second.

    Changing a value that processes share costs more than a microsecond: too much for thousands a second. The histogram
    has the first of the counter's labels, or none.
    """

    def __init__(self, counter: Counter, histogram: Histogram) -> None:
        self._counter = counter
        self._histogram = histogram
        self._shared = len(histogram._labelnames)  # noqa: SLF001 - the library has no way to observe several at once
        self._bounds = histogram._upper_bounds  # noqa: SLF001 - the library has no public way
        self._counters: dict[tuple[str, ...], Counter] = {}
        self._histograms: dict[tuple[str, ...], Histogram] = {}
        self._events: Count[tuple[str, ...]] = Count()
        self._places: Count[tuple[tuple[str, ...], int]] = Count()
        self._seconds: defaultdict[tuple[str, ...], float] = defaultdict(float)
        _reported.append(self)

    def add(self, labels: tuple[str, ...], seconds: float) -> None:
        """Count one event and its seconds; it needs a running event loop."""
        _report_soon()
        self._events[labels] += 1
        shared = labels[: self._shared]
        self._places[shared, bisect_left(self._bounds, seconds)] += 1
        self._seconds[shared] += seconds

    def report(self) -> None:
        """Report what was counted since the last time."""
        events, places, seconds = self._events, self._places, self._seconds
        self._events, self._places, self._seconds = Count(), Count(), defaultdict(float)
        for labels, count in events.items():
            counter = self._counters.get(labels)
            if counter is None:
                counter = self._counters[labels] = self._counter.labels(*map(str, labels))
            counter.inc(count)
        for (labels, place), count in places.items():
            self._child(labels)._buckets[place].inc(count)  # noqa: SLF001 - the library observes one value at a time
        for labels, total in seconds.items():
            self._child(labels)._sum.inc(total)  # noqa: SLF001 - the library observes one value at a time

    def _child(self, labels: tuple[str, ...]) -> Histogram:
        child = self._histograms.get(labels)
        if child is None:
            child = self._histograms[labels] = self._histogram.labels(*labels) if labels else self._histogram
        return child


requests = Tally(requests_total, request_seconds)
session_connections = Places("session")
lean_connections = Places("lean")
process = Process()
requests_under_way = Level(
    Gauge("carteira_http_requests_under_way", "HTTP requests being answered", multiprocess_mode="livesum")
)


def render() -> bytes:
    """Return the metrics of all processes in Prometheus' text format."""
    _report()
    return generate_latest(_of_all_processes())


def _of_all_processes() -> CollectorRegistry:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # the library's own gap
    return registry


def buckets_of(name: str) -> list[tuple[float, int]]:
    """Return a histogram's buckets, each with its bound in seconds and its observations; empty: it has none.

    They count from the start of this server's processes; the last bound is infinite.
    """
    _report()
    upto: Count[float] = Count()
    for metric in _of_all_processes().collect():
        if metric.name == name:
            for sample in metric.samples:
                if sample.name == f"{name}_bucket":
                    upto[float(sample.labels["le"])] += int(sample.value)
    bounds = sorted(upto)
    counts = [upto[bound] - upto[before] for before, bound in zip([-math.inf, *bounds], bounds, strict=False)]
    return list(zip(bounds, counts, strict=True)) if any(counts) else []


def seconds_within(buckets: Sequence[tuple[float, int]], share: float) -> float | None:
    """Return the least bound that covers a share of the observations; None: it lies beyond all, or there are none."""
    whole = sum(count for _, count in buckets)
    covered = accumulate(count for _, count in buckets)
    within = [bound for (bound, _), upto in zip(buckets, covered, strict=True) if upto >= share * whole]
    return within[0] if within and math.isfinite(within[0]) else None


def forget_dead_processes() -> None:
    """Drop the live gauges of ended processes, so that a killed worker's requests do not count for ever."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        return
    for file in Path(folder).glob("gauge_live*_*.db"):
        process = int(file.stem.rpartition("_")[2])
        if not is_alive(process):
            mark_process_dead(process, folder)  # type: ignore[no-untyped-call] # the library's own gap
