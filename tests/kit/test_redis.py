"""The Redis client returns None while Redis is away, and pauses before it tries again; limits work without it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from carteira.embedded import Endpoints
from carteira.kit.outbound.redis import AWAY, PatientRedis, connect, why
from carteira.kit.security.rate_limits import PER_RECOVERY, Limiter, LimitReached, RateLimit
from carteira.kit.values.ids import uuid7


@pytest.fixture
async def client(endpoints: Endpoints) -> AsyncIterator[Redis]:
    async with connect(str(endpoints.redis_url)) as client:
        yield client


@pytest.fixture
async def nowhere() -> AsyncIterator[Redis]:
    async with connect("redis://127.0.0.1:1") as client:
        yield client


def patient(client: Redis | None, *, away_seconds: float = 60.0) -> PatientRedis:
    return PatientRedis(client, "a test", patience_seconds=0.25, away_seconds=away_seconds)


async def test_an_answer_is_returned(client: Redis) -> None:
    assert await patient(client).ask(lambda redis: redis.echo("hello")) == b"hello"


async def test_an_unreachable_redis_is_skipped_for_a_while(nowhere: Redis) -> None:
    redis, asked = patient(nowhere), []

    async def ask(there: Redis) -> object:
        asked.append(there)
        return await there.echo("hello")

    with capture_logs() as lines:
        assert [await redis.ask(ask) for _ in range(3)] == [None] * 3
    assert len(asked) == 1
    assert [line["event"] for line in lines] == ["redis unavailable"]
    assert await redis.ask(ask, even_if_away=True) is None
    assert len(asked) == 2


async def test_a_slow_redis_counts_as_unreachable(client: Redis) -> None:
    async def never(_redis: Redis) -> None:
        await asyncio.Event().wait()

    redis = patient(client)
    await redis.ask(never)
    assert await redis.ask(lambda there: there.echo("hello")) is None


async def test_a_redis_error_does_not_count_as_unreachable(client: Redis) -> None:
    async def stumble(_redis: Redis) -> None:
        raise ValueError("our own fault")

    with pytest.raises(ValueError, match="our own fault"):
        await patient(client).ask(stumble)


async def test_redis_may_be_unconfigured() -> None:
    redis = patient(None)
    assert not redis.is_configured
    assert await redis.ask(lambda there: there.echo("hello")) is None


async def test_a_connection_that_redis_closed_is_opened_once_more(client: Redis) -> None:
    redis = patient(client)
    for _ in range(2):
        assert await redis.ask(lambda there: there.echo("hello")) == b"hello"
        await client.client_kill_filter(_id=str(await client.client_id()), skipme=False)


async def test_limiters_count_together_and_each_for_itself_without_redis(client: Redis, nowhere: Redis) -> None:
    for shared, tries_of_the_second in ((client, 0), (nowhere, PER_RECOVERY.amount)):
        limit = RateLimit.of(PER_RECOVERY, uuid7())
        first, second = Limiter(shared), Limiter(shared)
        for _ in range(PER_RECOVERY.amount):
            assert await first.count(limit)
        with pytest.raises(LimitReached) as reached:
            await first.check(limit)
        assert 0 < reached.value.retry_after_seconds <= PER_RECOVERY.get_expiry()
        assert [await second.count(limit) for _ in range(PER_RECOVERY.amount)].count(True) == tries_of_the_second


async def test_the_reason_for_an_unreachable_redis_is_reported(endpoints: Endpoints) -> None:
    there = str(endpoints.redis_url).rpartition("@")[2].removeprefix("redis://")
    for url, said in (
        (f"redis://ninguem:errada@{there}", "o Redis recusou o usuário ou a senha de REDIS_URL"),
        ("redis://127.0.0.1:1", "o Redis não responde"),
    ):
        async with connect(url) as client:
            with pytest.raises(AWAY) as caught:
                await client.ping()
        assert why(caught.value) == said
