"""The client of the external service of accumulated cashback.

`GET {base}/v1/cashback?cpf=<11 digits>` with the header `token`, answered `{"statusCode": 200, "body": {"credit":
1015}}`, credit in reais. Reading is idempotent, so failures are retried within a time budget. Any other answer is a
failure, and never a wrong number.
"""

import asyncio
import hashlib
import hmac
import random
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal

import httpx
import structlog
from prometheus_client import Counter, Histogram
from redis.asyncio import Redis

from carteira.kit.outbound.breaker import AWAY_SECONDS, REDIS_SECONDS, Breaker, BreakerMetrics, BreakerRules
from carteira.kit.outbound.http import TracedClient
from carteira.kit.outbound.redis import PatientRedis
from carteira.kit.values.exact_json import JsonNumber, parse_exact_json
from carteira.kit.values.money import Centavos
from carteira.kit.web.state import StateKey
from carteira.resellers.errors import CashbackServiceDown

MAX_ANSWER_BYTES = 64 * 1024
MAX_CREDIT = 10**14
"""A trillion reais, in centavos: nobody's cashback is more."""
_OK = 200
_CLIENT_ERROR = 400
_SERVER_ERROR = 500
_REFUSED_FOR_ALL = frozenset({401, 403, 408, 429})
"""The 4xx that concern the service or our configuration, not one CPF."""
_NUMBER = re.compile(r"[0-9]{1,16}(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?", re.ASCII)
_STATUS = re.compile(r"[1-5][0-9]{2}", re.ASCII)

log = structlog.get_logger(__name__)

answers_total = Counter(
    "carteira_cashback_service_answers", "Answers to callers: `ok`, `cached`, `held_back`, `down`", ["outcome"]
)
attempts_total = Counter("carteira_cashback_service_attempts", "Requests sent, by outcome", ["outcome"])
breaker_metrics = BreakerMetrics("carteira_cashback_service", "the external cashback service")
attempt_seconds = Histogram(
    "carteira_cashback_service_attempt_seconds",
    "Time of one request",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)


@dataclass(frozen=True)
class ServiceConfig:
    """The service's address and the time-outs."""

    base_url: str | None
    token: str = field(default="", repr=False)
    attempt_seconds: float = 1.0
    budget_seconds: float = 2.5
    attempts: int = 3
    backoff_seconds: float = 0.05
    cache_seconds: float = 30.0
    breaker: BreakerRules = field(default_factory=BreakerRules)


class _Failed(Exception):
    """One request failed."""

    def __init__(self, outcome: str, *, retry: bool, counts: bool = True) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.retry = retry
        self.counts = counts
        """Whether it counts as the service's failure for the breaker."""


def _failed_with(status: int) -> _Failed:
    """Return a failure for a status other than 200: whether to retry, and whether it counts as the service's."""
    for_all = status in _REFUSED_FOR_ALL or not _CLIENT_ERROR <= status < _SERVER_ERROR
    return _Failed(f"status_{status}", retry=status >= _SERVER_ERROR, counts=for_all)


class OtherStatus(Exception):
    """The answer's own `statusCode` is not 200."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def _members(value: object) -> Mapping[str, object]:
    match value:
        case dict():
            return value
    raise ValueError("another shape")


def read_credit(body: bytes) -> Centavos:
    """Parse the credit of an answer's body, from the number's own text into centavos, exactly.

    Raises:
        ValueError: the answer is malformed, or the credit is not a JSON number of non-negative reais in whole centavos.
        OtherStatus: the body has another `statusCode` than 200.
    """
    members = _members(parse_exact_json(body.decode("utf-8-sig")))
    status = members.get("statusCode")
    if not isinstance(status, JsonNumber) or not _STATUS.fullmatch(status):
        raise ValueError("no status")
    if int(status) != _OK:
        raise OtherStatus(int(status))
    credit = _members(members.get("body")).get("credit")
    if not isinstance(credit, JsonNumber) or not _NUMBER.fullmatch(credit):
        raise ValueError("not a number from 0 up")
    scaled = Decimal(credit) * 100
    if scaled > MAX_CREDIT or scaled != scaled.to_integral_value():
        raise ValueError("too much, or a part of a centavo")
    return Centavos(int(scaled))


class CashbackService:
    """The service's client, with a time budget, retries, a breaker and a short cache. One per process."""

    def __init__(self, config: ServiceConfig, client: httpx.AsyncClient, redis: Redis | None) -> None:
        self._config = config
        self._client = client
        self._redis = PatientRedis(redis, "cashback service", patience_seconds=REDIS_SECONDS, away_seconds=AWAY_SECONDS)
        self._breaker = Breaker(self._redis, "carteira:cashback_service:breaker", config.breaker, breaker_metrics)
        self._url = f"{(config.base_url or '').rstrip('/')}/v1/cashback"

    async def credit(self, cpf: str) -> Centavos:
        """Return a CPF's accumulated cashback in centavos.

        Raises:
            CashbackServiceDown: no reliable answer came within the budget, or the breaker is open.
        """
        if self._config.base_url is None:
            answers_total.labels("down").inc()
            raise CashbackServiceDown("O serviço de cashback acumulado não está configurado.")
        cached = await self._cached(cpf)
        if cached is not None:
            answers_total.labels("cached").inc()
            return cached
        verdict = await self._breaker.before()
        if verdict.state == "open":
            answers_total.labels("held_back").inc()
            raise CashbackServiceDown(retry_after_seconds=max(1, round(verdict.retry_after_seconds)))
        credit = await self._ask(cpf)
        await self._remember(cpf, credit)
        answers_total.labels("ok").inc()
        return credit

    async def _ask(self, cpf: str) -> Centavos:
        """Send the request until it is answered, or the attempts or the time are used up."""
        deadline = time.monotonic() + self._config.budget_seconds
        failure = _Failed("not_tried", retry=False)
        for attempt in range(self._config.attempts):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            try:
                credit = await self._attempt(cpf, min(left, self._config.attempt_seconds))
            except _Failed as failed:
                failure = failed
            else:
                await self._breaker.succeeded()
                return credit
            pause = random.uniform(0, self._config.backoff_seconds * 2**attempt)  # noqa: S311 - jitter is no secret
            if not failure.retry or time.monotonic() + pause >= deadline:
                break
            await asyncio.sleep(pause)
        await (self._breaker.failed() if failure.counts else self._breaker.succeeded())
        answers_total.labels("down").inc()
        log.warning("cashback service failed", outcome=failure.outcome)
        raise CashbackServiceDown from failure

    async def _attempt(self, cpf: str, seconds: float) -> Centavos:
        outcome = "ok"
        began = time.perf_counter()
        try:
            async with asyncio.timeout(seconds):
                return await self._request(cpf)
        except TimeoutError as error:
            outcome = "timeout"
            raise _Failed(outcome, retry=True) from error
        except _Failed as failed:
            outcome = failed.outcome
            raise
        finally:
            attempts_total.labels(outcome).inc()
            attempt_seconds.observe(time.perf_counter() - began)

    async def _request(self, cpf: str) -> Centavos:
        """Send one request and read its answer, up to the largest size.

        Raises:
            _Failed: there is no credit in it.
        """
        body = b""
        headers = {"token": self._config.token, "accept": "application/json", "accept-encoding": "identity"}
        try:
            async with self._client.stream("GET", self._url, params={"cpf": cpf}, headers=headers) as response:
                if response.status_code != _OK:
                    raise _failed_with(response.status_code)
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise _Failed("malformed", retry=False)
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise _Failed("connection", retry=True) from error
        try:
            return read_credit(body)
        except OtherStatus as other:
            raise _failed_with(other.status) from other
        except (ValueError, RecursionError) as error:
            raise _Failed("malformed", retry=False) from error

    def _key(self, cpf: str) -> str:
        """Return a CPF's cache key: a hash keyed with the token, since a plain hash of so few CPFs hides nothing."""
        secret = hashlib.sha256(f"{self._url}\0{self._config.token}".encode()).digest()
        return "carteira:cashback_service:credit:" + hmac.new(secret, cpf.encode(), hashlib.sha256).hexdigest()

    async def _cached(self, cpf: str) -> Centavos | None:
        if self._config.cache_seconds <= 0:
            return None
        value = await self._redis.ask(lambda redis: redis.get(self._key(cpf)))
        text = value.decode() if isinstance(value, bytes) else value
        return Centavos(int(text)) if isinstance(text, str) and text.isascii() and text.isdigit() else None

    async def _remember(self, cpf: str, credit: Centavos) -> None:
        if self._config.cache_seconds > 0:
            milliseconds = max(1, int(self._config.cache_seconds * 1000))
            await self._redis.ask(lambda redis: redis.set(self._key(cpf), str(credit), px=milliseconds))


CASHBACK_SERVICE = StateKey[CashbackService]("cashback_service")


@asynccontextmanager
async def connected(config: ServiceConfig, redis: Redis | None) -> AsyncIterator[CashbackService]:
    """Open the one pooled client of this process."""
    limits = httpx.Limits(max_connections=20, max_keepalive_connections=10, keepalive_expiry=30)
    async with TracedClient(timeout=config.budget_seconds, limits=limits, trust_env=False) as client:
        yield CashbackService(config, client, redis)
