"""Metrics that are written now and then get the values that they would have got at once."""

import asyncio
import math
import random
import time

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from carteira.kit.db.engine import Database
from carteira.kit.ops import metrics as of_product
from carteira.kit.ops.metrics import Level, Places, Process, Tally, buckets_of, seconds_within
from tests.support.waiting import until

BUCKETS = (0.001, 0.01, 0.1)


def metrics(registry: CollectorRegistry) -> tuple[Counter, Histogram]:
    counter = Counter("answers", "Answers", ["code", "reason"], registry=registry)
    return counter, Histogram("answer_seconds", "Seconds", buckets=BUCKETS, registry=registry)


def text_of(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line and "_sum" not in line]


async def test_a_tally_equals_single_observations() -> None:
    rng = random.Random(4)
    events = [
        (rng.choice([("00", "approved"), ("51", "short")]), rng.choice([0.0, 0.0005, 0.001, 0.02, 0.1, 3]))
        for _ in range(200)
    ]
    at_once, later = CollectorRegistry(), CollectorRegistry()
    counter, histogram = metrics(at_once)
    tally = Tally(*metrics(later))
    for number, (labels, seconds) in enumerate(events):
        counter.labels(*labels).inc()
        histogram.observe(seconds)
        tally.add(labels, seconds)
        if number % 70 == 0:
            await until(lambda: text_of(later) == text_of(at_once), "the tally is reported")
    assert text_of(later) != text_of(at_once), "not due yet"
    await until(lambda: text_of(later) == text_of(at_once), "the rest is reported")
    total = later.get_sample_value("answer_seconds_sum")
    assert total is not None
    assert abs(total - sum(seconds for _, seconds in events)) < 1e-6


def test_a_tally_outlives_its_event_loop() -> None:
    registry = CollectorRegistry()
    tally = Tally(*metrics(registry))

    def reported() -> float | None:
        return registry.get_sample_value("answers_total", {"code": "00", "reason": "approved"})

    async def add() -> None:
        tally.add(("00", "approved"), 0.1)

    async def add_and_wait() -> None:
        tally.add(("00", "approved"), 0.1)
        await until(lambda: reported() is not None, "the tally is reported")

    asyncio.run(add())  # its timer ends with it
    asyncio.run(add_and_wait())
    assert reported() == 2


async def test_a_level_reports_the_present_number() -> None:
    registry = CollectorRegistry()
    level = Level(Gauge("under_way", "Under way", registry=registry))
    for _ in range(3):
        level.up()
    level.down()
    await until(lambda: registry.get_sample_value("under_way") == 2, "the level is reported")
    level.down()
    level.down()
    await until(lambda: registry.get_sample_value("under_way") == 0, "the level is reported again")


def of_pool(name: str, pool: str) -> float:
    return REGISTRY.get_sample_value(f"carteira_database_{name}", {"pool": pool}) or 0.0


async def test_a_pool_reports_its_connections_in_use_and_waits() -> None:
    pool = Places("of this test")
    pool.add(2)
    with pool, pool:
        await until(lambda: of_pool("connections_used", "of this test") == 2, "all are in use")
        with pool:
            await until(lambda: of_pool("connection_waits_total", "of this test") == 1, "one waits")
            assert of_pool("connections_used", "of this test") == 2
    await until(lambda: of_pool("connections_used", "of this test") == 0, "none is in use")
    assert of_pool("connections_most", "of this test") == 2


async def test_a_database_counts_its_connections_in_both_pools(database_url: str) -> None:
    def most() -> list[float]:
        for pool in (of_product.session_connections, of_product.lean_connections):
            pool.report()
        return [of_pool("connections_most", pool) for pool in ("session", "lean")]

    before = most()
    database = Database(database_url, pool_size=3)
    assert most() == [number + 3 for number in before]
    async with database.transaction(), database.lean_statements():
        most()
        assert [of_pool("connections_used", pool) for pool in ("session", "lean")] == [1, 1]
    await database.close()
    assert most() == before, "a closed database has none"


def test_a_process_reports_its_processor_time_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_product, "PROCESS_SECONDS", 0.0)
    process, name = Process(), "carteira_process_cpu_seconds_total"
    process.report()
    before = REGISTRY.get_sample_value(name) or 0.0
    spent = time.process_time()
    while time.process_time() < spent + 0.05:
        pass
    process.report()
    after = REGISTRY.get_sample_value(name) or 0.0
    assert 0.05 <= after - before < 5
    assert (REGISTRY.get_sample_value("carteira_process_resident_bytes") or 0) > 10_000_000


def test_a_histogram_reports_the_bound_of_a_share_of_answers() -> None:
    histogram = Histogram("told_seconds", "Seconds", ["kind"], buckets=BUCKETS)
    assert buckets_of("told_seconds") == []
    for kind, seconds in (("a", 0.0005), ("b", 0.0005), ("a", 0.005), ("b", 0.5)):
        histogram.labels(kind).observe(seconds)
    found = buckets_of("told_seconds")
    assert found == [(0.001, 2), (0.01, 1), (0.1, 0), (math.inf, 1)]
    assert [seconds_within(found, share) for share in (0.5, 0.6, 0.99)] == [0.001, 0.01, None]
    assert seconds_within([], 0.5) is None
