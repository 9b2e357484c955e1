"""A circuit breaker that all processes share through Redis; while Redis is away each has its own.

Closed: calls pass, and `threshold` failures in a row within `window` open it. Open: nothing passes for `open_for`.
Half-open: one call at a time passes as a probe; its success closes the breaker, its failure opens it again.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import structlog
from prometheus_client import Counter, Gauge
from redis.asyncio import Redis

from carteira.kit.outbound.redis import PatientRedis
from carteira.kit.values.clock import clock

State = Literal["closed", "open", "half_open"]

REDIS_SECONDS = 0.25
"""Redis' time-out; after it Redis counts as away."""
AWAY_SECONDS = 5.0
"""The time for which Redis is not asked after it was away."""

log = structlog.get_logger(__name__)

_BEFORE = """
local s = redis.call('HMGET', KEYS[1], 'open_until', 'probe_until')
local now, open_until, probe_until = tonumber(ARGV[1]), tonumber(s[1] or '0'), tonumber(s[2] or '0')
if open_until == 0 then return {'closed', 0} end
if now < open_until then return {'open', open_until - now} end
if now < probe_until then return {'open', probe_until - now} end
redis.call('HSET', KEYS[1], 'probe_until', now + tonumber(ARGV[2]))
return {'half_open', 0}
"""
_FAILED = """
local s = redis.call('HMGET', KEYS[1], 'open_until', 'failures', 'since')
local now, open_until = tonumber(ARGV[1]), tonumber(s[1] or '0')
local failures, since = tonumber(s[2] or '0'), tonumber(s[3] or '0')
local opened = 0
if open_until > 0 then
    if now >= open_until then opened = 1 end
else
    if now - since > tonumber(ARGV[3]) then failures, since = 0, now end
    failures = failures + 1
    redis.call('HSET', KEYS[1], 'failures', failures, 'since', since)
    if failures >= tonumber(ARGV[2]) then opened = 1 end
end
if opened == 1 then redis.call('HSET', KEYS[1], 'open_until', now + tonumber(ARGV[4]), 'probe_until', 0) end
redis.call('PEXPIRE', KEYS[1], 86400000)
return opened
"""
_SUCCEEDED = """
local open_until = tonumber(redis.call('HGET', KEYS[1], 'open_until') or '0')
redis.call('DEL', KEYS[1])
return open_until > 0 and 1 or 0
"""


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """The conditions under which a breaker opens, and for how long."""

    threshold: int = 5
    window: timedelta = timedelta(seconds=30)
    open_for: timedelta = timedelta(seconds=10)
    probe: timedelta = timedelta(seconds=5)
    """The time after which another probe is let through; more than a call's time budget."""


class BreakerMetrics:
    """The metrics of a service's breaker, under a prefix; made once per process."""

    def __init__(self, prefix: str, service: str) -> None:
        self.is_open = Gauge(
            f"{prefix}_breaker_open", f"1 while calls to {service} are held back", multiprocess_mode="mostrecent"
        )
        self.transitions = Counter(f"{prefix}_breaker_transitions", "Changes of the breaker's state", ["to"])


@dataclass(frozen=True, slots=True)
class Verdict:
    """The breaker's answer: whether a call may pass, and if not, in how many seconds to try again."""

    state: State
    retry_after_seconds: float = 0.0


def _milliseconds(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)


def _now() -> int:
    return int(clock.now().timestamp() * 1000)


class _Local:
    """The same breaker in this process's memory; times in milliseconds."""

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._failures = self._since = self._open_until = self._probe_until = 0

    def before(self, now: int) -> Verdict:
        if self._open_until == 0:
            return Verdict("closed")
        blocked_until = max(self._open_until, self._probe_until)
        if now < blocked_until:
            return Verdict("open", (blocked_until - now) / 1000)
        self._probe_until = now + _milliseconds(self._rules.probe)
        return Verdict("half_open")

    def failed(self, now: int) -> bool:
        if self._open_until:
            opened = now >= self._open_until
        else:
            if now - self._since > _milliseconds(self._rules.window):
                self._failures, self._since = 0, now
            self._failures += 1
            opened = self._failures >= self._rules.threshold
        if opened:
            self._open_until, self._probe_until = now + _milliseconds(self._rules.open_for), 0
        return opened

    def succeeded(self) -> bool:
        was_open = self._open_until > 0
        self._failures = self._since = self._open_until = self._probe_until = 0
        return was_open


class Breaker:
    """The breaker of one external service, named by its Redis key."""

    def __init__(self, redis: PatientRedis, key: str, rules: BreakerRules, metrics: BreakerMetrics) -> None:
        self._redis = redis
        self._key = key
        self._rules = rules
        self._metrics = metrics
        self._local = _Local(rules)

    async def before(self) -> Verdict:
        """Return whether a call may pass."""
        now = _now()
        answer: Any = await self._eval(_BEFORE, now, _milliseconds(self._rules.probe))
        if answer is None:
            verdict = self._local.before(now)
        else:
            state, wait = answer
            verdict = Verdict(state.decode(), wait / 1000)
        if verdict.state == "half_open":
            self._metrics.transitions.labels("half_open").inc()
        self._metrics.is_open.set(verdict.state != "closed")
        return verdict

    async def failed(self) -> None:
        """Record that a call failed."""
        now = _now()
        rules = self._rules
        answer = await self._eval(
            _FAILED, now, rules.threshold, _milliseconds(rules.window), _milliseconds(rules.open_for)
        )
        if self._local.failed(now) if answer is None else answer == 1:
            self._metrics.transitions.labels("open").inc()
            self._metrics.is_open.set(1)
            log.warning("breaker opened", breaker=self._key, seconds=rules.open_for.total_seconds())

    async def succeeded(self) -> None:
        """Record that a call succeeded."""
        answer = await self._eval(_SUCCEEDED)
        if self._local.succeeded() if answer is None else answer == 1:
            self._metrics.transitions.labels("closed").inc()
            log.info("breaker closed", breaker=self._key)
        self._metrics.is_open.set(0)

    async def _eval(self, script: str, *arguments: int) -> Any:  # noqa: ANN401 - a script's answer has any type
        def ask(redis: Redis) -> Awaitable[Any]:
            return redis.eval(script, 1, self._key, *map(str, arguments))

        return await self._redis.ask(ask)
