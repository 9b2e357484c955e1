"""The external service: exact results when it is well, a clear 503 within the time budget when it is not."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, get_args
from uuid import uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from carteira.kit.outbound.breaker import BreakerRules
from carteira.kit.values.clock import clock
from carteira.resellers import cashback_service
from carteira.resellers.cashback_service import CashbackService, ServiceConfig, connected, read_credit
from carteira.resellers.errors import CashbackServiceDown
from carteira.resellers.sandbox import Behaviour, Mode, Sandbox, credit_of
from tests.support.app import RunningApp
from tests.support.people import new_cpf
from tests.support.resellers import buyer, new_operator, new_reseller

BUDGET = 0.5
SLACK = 1.0
"""What a busy machine may add to the budget; the slow stand-in takes longer than both."""
KEYS = "carteira:cashback_service:*"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """Redis without the keys that other tests of the service left."""
    async with Redis.from_url(redis_url) as redis:
        await forget(redis)
        yield redis
        await forget(redis)


async def forget(redis: Redis) -> None:
    if keys := await redis.keys(KEYS):
        await redis.delete(*keys)


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


class Moved:
    """The change of metrics since this object was made."""

    def __init__(self, *metrics: tuple[str, dict[str, str]]) -> None:
        self.metrics = metrics
        self.before = self.now()

    def now(self) -> list[float]:
        return [metric(name, **labels) for name, labels in self.metrics]

    def by(self) -> list[float]:
        return [now - before for now, before in zip(self.now(), self.before, strict=True)]


def config(url: str, **more: Any) -> ServiceConfig:  # noqa: ANN401 - any field's type
    rules: dict[str, Any] = {
        "token": "the-token",
        "attempt_seconds": 0.2,
        "budget_seconds": BUDGET,
        "backoff_seconds": 0.001,
    }
    return ServiceConfig(base_url=url, **(rules | more))


@asynccontextmanager
async def service_at(url: str, redis: Redis | None, **more: Any) -> AsyncIterator[CashbackService]:  # noqa: ANN401 - settings of the service
    async with connected(config(url, **more), redis) as service:
        yield service


async def fails(service: CashbackService, cpf: str) -> CashbackServiceDown:
    began = time.monotonic()
    with pytest.raises(CashbackServiceDown) as caught:
        await service.credit(cpf)
    assert time.monotonic() - began < BUDGET + SLACK
    return caught.value


async def test_accumulated_cashback_over_http(app: RunningApp, sandbox: Sandbox, redis: Redis) -> None:
    me, other, operator = await new_reseller(app), await new_reseller(app), new_operator(app)
    sandbox.set_credit(me.cpf, "1015")
    sandbox.set_credit(other.cpf, "10.15")
    assert await me.read("/cashback/accumulated") == {"cpf": me.cpf, "credit": 101_500}
    assert await operator.read(f"/cashback/accumulated?cpf={other.cpf}") == {"cpf": other.cpf, "credit": 1_015}
    unset = new_cpf()
    assert (await operator.read(f"/cashback/accumulated?cpf={unset}"))["credit"] == credit_of(unset)
    path = "/cashback/accumulated"
    assert (await me.call("GET", f"{path}?cpf={other.cpf}")).status_code == 403
    assert (await buyer(app).call("GET", path)).status_code == 403
    assert (await operator.call("GET", path)).json()["code"] == "forbidden"
    assert (await app.client.get(path)).status_code == 401
    keys = [str(key) for key in await redis.keys(KEYS)]
    assert keys
    assert not [key for key in keys if me.cpf in key or other.cpf in key]


@pytest.mark.parametrize("mode", sorted(set(get_args(Mode)) - {"ok"}))
async def test_any_fault_is_a_clear_503_in_time(
    app: RunningApp,
    sandbox: Sandbox,
    redis: Redis,
    mode: Any,  # noqa: ANN401 - one of the stand-in's modes
) -> None:
    me = await new_reseller(app)
    sandbox.behave(Behaviour(mode=mode, seconds=3))
    began = time.monotonic()
    response = await me.call("GET", "/cashback/accumulated")
    assert time.monotonic() - began < BUDGET + SLACK
    assert response.status_code == 503, response.text
    problem = response.json()
    assert (problem["code"], problem["title"]) == ("cashback_service_down", "Serviço indisponível")
    assert problem["detail"] == "O serviço de cashback acumulado está fora do ar. Tente de novo em instantes."
    assert int(response.headers["Retry-After"]) >= 1
    assert me.cpf not in response.text
    tries = {"slow": 2, "silent": 2, "error": 3, "unavailable": 3}.get(mode, 1)
    assert tries <= sandbox.requests[me.cpf] <= max(tries, 3 if tries > 1 else 1)
    sandbox.recover()
    await forget(redis)
    assert (await me.read("/cashback/accumulated"))["credit"] == credit_of(me.cpf)


async def test_nobody_there_and_nothing_configured(redis: Redis) -> None:
    async with service_at("http://127.0.0.1:9", redis) as service:
        await fails(service, new_cpf())
    async with connected(ServiceConfig(base_url=None), redis) as service:
        assert "não está configurado" in (await fails(service, new_cpf())).detail


async def test_a_failure_that_passes_is_not_seen(stand_in: tuple[Sandbox, str], sandbox: Sandbox, redis: Redis) -> None:
    cpf = new_cpf()
    moved = Moved(
        ("carteira_cashback_service_attempts_total", {"outcome": "status_500"}),
        ("carteira_cashback_service_attempts_total", {"outcome": "ok"}),
        ("carteira_cashback_service_answers_total", {"outcome": "ok"}),
    )
    sandbox.behave(Behaviour(mode="error", times=2))
    async with service_at(stand_in[1], redis) as service:
        assert await service.credit(cpf) == credit_of(cpf)
    assert sandbox.requests[cpf] == 3
    assert moved.by() == [2, 1, 1]


async def test_an_answer_is_remembered_for_a_while_and_by_all_workers(
    stand_in: tuple[Sandbox, str], sandbox: Sandbox, redis: Redis
) -> None:
    cpf = new_cpf()
    moved = Moved(("carteira_cashback_service_answers_total", {"outcome": "cached"}))
    async with service_at(stand_in[1], redis) as one, service_at(stand_in[1], redis) as two:
        first = await one.credit(cpf)
        sandbox.set_credit(cpf, "1.23")
        assert [await one.credit(cpf), await two.credit(cpf)] == [first, first]
        assert (sandbox.requests[cpf], moved.by()) == (1, [2])
        (key,) = [key for key in await redis.keys(KEYS) if b":credit:" in key]
        assert 0 < await redis.pttl(key) <= 30_000
        await redis.set(key, "12x")  # a value that this product did not write is not trusted
        assert await one.credit(cpf) == 123
    async with service_at(stand_in[1], redis, token="another") as other:
        await fails(other, cpf)  # a cache under another token is not shared: this one is refused


async def test_the_breaker_opens_and_closes_as_its_metrics_say(
    stand_in: tuple[Sandbox, str], sandbox: Sandbox, redis: Redis
) -> None:
    cpf = new_cpf()
    transitions = "carteira_cashback_service_breaker_transitions_total"
    moved = Moved(*((transitions, {"to": to}) for to in ("open", "half_open", "closed")))
    gauge = "carteira_cashback_service_breaker_open"
    rules = BreakerRules(threshold=3, open_for=timedelta(seconds=10))
    at = {"cache_seconds": 0.0, "attempts": 1, "breaker": rules}
    async with service_at(stand_in[1], redis, **at) as one, service_at(stand_in[1], redis, **at) as two:
        clock.set(clock.now())
        sandbox.behave(Behaviour(mode="error"))
        for service in (one, two, one):  # three failures of two workers
            assert metric(gauge) == 0
            await fails(service, cpf)
        assert (moved.by(), metric(gauge)) == ([1, 0, 0], 1)
        for service in (one, two):
            assert (await fails(service, cpf)).headers["Retry-After"] == "10"
        assert sandbox.requests[cpf] == 3, "the breaker is open: the service is not called"

        clock.advance(timedelta(seconds=10))
        await fails(two, cpf)  # the probe fails
        assert (sandbox.requests[cpf], moved.by(), metric(gauge)) == (4, [2, 1, 0], 1)
        await fails(one, cpf)
        assert sandbox.requests[cpf] == 4

        sandbox.recover()
        clock.advance(timedelta(seconds=10))
        answers = await asyncio.gather(*(service.credit(cpf) for service in (one, two) * 5), return_exceptions=True)
        assert credit_of(cpf) in answers
        assert moved.by() == [2, 2, 1], "one probe at a time"
        assert [await one.credit(cpf), await two.credit(cpf)] == [credit_of(cpf)] * 2
        assert metric(gauge) == 0


async def test_errors_of_one_cpf_do_not_open_the_breaker(
    stand_in: tuple[Sandbox, str], sandbox: Sandbox, redis: Redis
) -> None:
    unlucky, other = new_cpf(), new_cpf()
    sandbox.behave(Behaviour(mode="other_status", cpf=unlucky))
    async with service_at(stand_in[1], redis, breaker=BreakerRules(threshold=2)) as service:
        for _ in range(4):
            await fails(service, unlucky)
        assert await service.credit(other) == credit_of(other)
    assert sandbox.requests[unlucky] == 4


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("away", ["none", "unreachable", "deaf"])
async def test_without_redis_each_worker_breaks_for_itself(
    stand_in: tuple[Sandbox, str], sandbox: Sandbox, away: str, deaf_port: int
) -> None:
    cpf = new_cpf()
    redis = None if away == "none" else Redis.from_url(f"redis://127.0.0.1:{9 if away == 'unreachable' else deaf_port}")
    at = {"attempts": 1, "breaker": BreakerRules(threshold=2, open_for=timedelta(seconds=10))}
    clock.set(clock.now())
    async with service_at(stand_in[1], redis, **at) as one, service_at(stand_in[1], redis, **at) as two:
        sandbox.behave(Behaviour(mode="error", times=2))
        for _ in range(4):
            await fails(one, cpf)
        assert sandbox.requests[cpf] == 2
        assert await two.credit(cpf) == credit_of(cpf)
        clock.advance(timedelta(seconds=11))
        assert await one.credit(cpf) == credit_of(cpf)
    if redis is not None:
        await redis.aclose()


async def test_failures_that_lie_apart_do_not_open_the_breaker(
    stand_in: tuple[Sandbox, str], sandbox: Sandbox, redis: Redis
) -> None:
    cpf = new_cpf()
    sandbox.behave(Behaviour(mode="error"))
    rules = BreakerRules(threshold=2, window=timedelta(seconds=30))
    for shared in (redis, None):
        clock.set(clock.now())
        async with service_at(stand_in[1], shared, attempts=1, breaker=rules) as service:
            for _ in range(4):
                await fails(service, cpf)
                clock.advance(timedelta(seconds=31))
    assert sandbox.requests[cpf] == 8


@pytest.mark.usefixtures("sandbox")
async def test_the_stand_in_is_controlled_over_http(stand_in: tuple[Sandbox, str]) -> None:
    async with httpx.AsyncClient(base_url=stand_in[1], trust_env=False) as client:
        cpf, token = new_cpf(), {"token": "the-token"}

        async def ask() -> httpx.Response:
            return await client.get("/v1/cashback", params={"cpf": cpf}, headers=token)

        assert (await client.put("/sandbox/credits", json={"cpf": cpf, "credit": "10.50"})).status_code == 204
        assert (await ask()).json() == {"statusCode": 200, "body": {"credit": 10.5}}
        assert (
            await client.put("/sandbox/behaviour", json={"mode": "html", "times": 1, "cpf": cpf})
        ).status_code == 204
        assert (await ask()).headers["content-type"].startswith("text/html")
        assert (await ask()).status_code == 200
        assert (await client.put("/sandbox/behaviour", json={"mode": "nada"})).status_code == 422
        assert (await client.put("/sandbox/credits", json={"cpf": "1", "credit": "x"})).status_code == 422
        assert (await client.get("/sandbox/requests")).json() == {"count": 3}
        assert (await client.delete("/sandbox/behaviour")).status_code == 204
        assert (await client.get("/v1/cashback", params={"cpf": cpf})).status_code == 401
        assert (await client.get("/v1/cashback", params={"cpf": "1"}, headers=token)).status_code == 400
        assert (await client.get("/health")).json() == {"status": "ok"}


def answer(credit: str, status: str = "200") -> bytes:
    return f'{{"statusCode": {status}, "body": {{"credit": {credit}}}}}'.encode()


@pytest.mark.parametrize(
    ("credit", "centavos"),
    [
        ("1015", 101_500),
        ("0", 0),
        ("0.0", 0),
        ("0.07", 7),
        ("4.35", 435),
        ("10.1", 1_010),
        ("10.150", 1_015),
        ("1e3", 100_000),
        ("1.1E1", 1_100),
        ("15e-2", 15),
        ("999999999999.99", 99_999_999_999_999),
    ],
)
def test_a_credit_is_read_from_its_text(credit: str, centavos: int) -> None:
    assert read_credit(answer(credit)) == centavos


@pytest.mark.parametrize(
    "body",
    [answer(credit) for credit in ('"1015"', "-1", "-0", "true", "false", "null", "[1]", "{}", "10.155", "NaN")]
    + [answer(credit) for credit in ("Infinity", "1e99", "1e-9", "9" * 40, "01", "1.", "1_0", "１", "1000000000001")]
    + [answer("1", status) for status in ('"200"', "null", "true", "2e2", "200.0", "99999")]
    + [b"", b"null", b"[]", b"1015", b'"a"', b"{}", b'{"statusCode":200}', b'{"statusCode":200,"body":1015}']
    + [b'{"statusCode":200,"body":"{\\"credit\\":1}"}', b'{"statusCode":200,"body":{"credit":1,"credit":2}}']
    + [b"<html>", b"\xff\xfe", answer("1") + b"x", b"[" * 100_000],
)
def test_malformed_answers_are_no_credit(body: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        read_credit(body)


@given(st.integers(0, cashback_service.MAX_CREDIT))
def test_every_number_of_centavos_survives_the_way_in(centavos: int) -> None:
    whole, cents = divmod(centavos, 100)
    assert read_credit(answer(f"{whole}.{cents:02d}")) == centavos


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_rubbish_never_becomes_a_number(body: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        read_credit(body)


def test_the_token_is_in_no_text() -> None:
    secret = uuid4().hex
    assert secret not in repr(ServiceConfig(base_url="http://x", token=secret))
