"""Prometheus metrics, right with several processes (prometheus-client's multiprocess mode).

The processes of one server share a folder named by `PROMETHEUS_MULTIPROC_DIR`, which the starter sets and empties.
"""

import asyncio
import os
import time
from bisect import bisect_left
from collections import Counter as Count
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
requests_under_way = Gauge(
    "carteira_http_requests_under_way", "HTTP requests being answered", multiprocess_mode="livesum"
)
follower_lag = Gauge(
    "carteira_follower_lag_rows",
    "Events that a follower has not handled yet (10,000 at most)",
    ["follower"],
    multiprocess_mode="mostrecent",
)
follower_oldest = Gauge(
    "carteira_follower_oldest_seconds",
    "For how long the oldest event is there that a follower has not handled yet; 0 if there is none",
    ["follower"],
    multiprocess_mode="mostrecent",
)
follower_rows = Counter("carteira_follower_rows", "Events that a follower handled", ["follower"])
worker_seen_at = Gauge(
    "carteira_worker_seen_timestamp_seconds", "When a worker last did a round", multiprocess_mode="mostrecent"
)
jobs_total = Counter("carteira_jobs", "Jobs that a worker ran, by what became of them", ["task", "outcome"])
job_seconds = Histogram(
    "carteira_job_seconds", "Time of a job", ["task"], buckets=(0.01, 0.05, 0.25, 1, 5, 30, 120, 600, 3600)
)
job_succeeded_at = Gauge(
    "carteira_job_succeeded_timestamp_seconds", "When a job last went well", ["task"], multiprocess_mode="mostrecent"
)
jobs_waiting = Gauge("carteira_jobs_waiting", "Jobs that are due and not begun", multiprocess_mode="mostrecent")
job_oldest = Gauge(
    "carteira_job_oldest_seconds", "For how long the oldest of them is due", multiprocess_mode="mostrecent"
)
jobs_failed = Gauge("carteira_jobs_failed", "Jobs that were given up and kept", multiprocess_mode="mostrecent")

TELL_SECONDS = 0.01


class Tally:
    """Counts what happened and how long it took, and tells the metrics a hundred times a second at most.

    A value that processes share costs more than a microsecond to change: too much for each of thousands a second.
    """

    def __init__(self, counter: Counter, histogram: Histogram) -> None:
        self._counter = counter
        self._buckets = histogram._buckets  # noqa: SLF001 - the library has no way to observe several at once
        self._sum = histogram._sum  # noqa: SLF001
        self._bounds = histogram._upper_bounds  # noqa: SLF001
        self._children: dict[tuple[str, ...], Counter] = {}
        self._events: Count[tuple[str, ...]] = Count()
        self._places: Count[int] = Count()
        self._seconds = 0.0
        self._due = 0.0

    def add(self, labels: tuple[str, ...], seconds: float) -> None:
        """Count something that took so many seconds; in a running event loop."""
        if not self._events or time.perf_counter() > self._due:  # late: the event loop of the last timer has ended
            self._due = time.perf_counter() + 1
            asyncio.get_running_loop().call_later(TELL_SECONDS, self._tell)
        self._events[labels] += 1
        self._places[bisect_left(self._bounds, seconds)] += 1
        self._seconds += seconds

    def _tell(self) -> None:
        events, places, seconds = self._events, self._places, self._seconds
        self._events, self._places, self._seconds = Count(), Count(), 0.0
        for labels, count in events.items():
            child = self._children.get(labels)
            if child is None:
                child = self._children[labels] = self._counter.labels(*map(str, labels))
            child.inc(count)
        for place, count in places.items():
            self._buckets[place].inc(count)
        self._sum.inc(seconds)


def render() -> bytes:
    """Give the metrics of all processes in Prometheus' text format."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # the library's own gap
    return generate_latest(registry)


def forget_dead_processes() -> None:
    """Drop the live gauges of processes that are gone, so that a killed worker's requests do not count for ever."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        return
    for file in Path(folder).glob("gauge_live*_*.db"):
        process = int(file.stem.rpartition("_")[2])
        if not is_alive(process):
            mark_process_dead(process, folder)  # type: ignore[no-untyped-call] # the library's own gap
