"""Limits on failures, shared by all processes through Redis; while Redis is down each process counts for itself.

So an outage of Redis neither locks people out nor lifts the limits: an attacker gets the tries once per process.
"""

import hashlib
import ipaddress
import math
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import Redis

from carteira.kit.outbound.redis import PatientRedis

WINDOW_MINUTES = 15
PER_ACCOUNT = RateLimitItemPerMinute(10, WINDOW_MINUTES, namespace="carteira:account")
PER_ADDRESS = RateLimitItemPerMinute(300, WINDOW_MINUTES, namespace="carteira:address")
PER_JUNK = RateLimitItemPerMinute(300, WINDOW_MINUTES, namespace="carteira:junk")
"""Second factors without a sign-in: failures of no person, counted for the network address."""
PER_RECOVERY = RateLimitItemPerMinute(5, WINDOW_MINUTES, namespace="carteira:recovery")
PER_RECOVERY_DAY = RateLimitItemPerMinute(20, 24 * 60, namespace="carteira:recovery-day")
_PRESENCE_DAY = RateLimitItemPerMinute(30, 24 * 60, namespace="carteira:step-up-day")
"""Codes are short and a stolen session lives for days: after so many wrong answers a day only a new sign-in helps."""
WRONG_CODES = RateLimitItemPerHour(100, namespace="carteira:codes")
"""Wrong codes by message, per network address; a link's right code is accepted even beyond it."""
_PATIENCE_SECONDS = 1.0
_AWAY_SECONDS = 2.0
_HOST_BITS_V6 = 64


class LimitReached(Exception):
    """A limit has no try left."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(retry_after_seconds)
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True)
class RateLimit:
    """A limit and the subject whose failures it counts. The subject is hashed: no CPF or address is stored."""

    item: RateLimitItem
    key: str

    @classmethod
    def of(cls, item: RateLimitItem, *parts: object) -> "RateLimit":
        """Return the limit for a subject."""
        return cls(item, hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()[:32])


def network(address: str) -> str:
    """Return the network that an address counts for: itself, or one customer's /64 in IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.version == 4:  # noqa: PLR2004 - IP's own number
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed) >> _HOST_BITS_V6 << _HOST_BITS_V6, _HOST_BITS_V6)))


def is_loopback(address: str) -> bool:
    """Return whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def truncated_network(address: str) -> str:
    """Return an address cut to /24 or /48, which records keep: it identifies no household."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    bits = 24 if parsed.version == 4 else 48  # noqa: PLR2004 - IP's own number
    return str(ipaddress.ip_network(f"{parsed}/{bits}", strict=False))


def is_within(address: str, networks: Collection[str]) -> bool:
    """Return whether an address lies in one of the networks; an empty list includes every address."""
    if not networks:
        return True
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in ipaddress.ip_network(one) for one in networks)


class Limiter:
    """Counts failures."""

    def __init__(self, redis: Redis | None) -> None:
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared: SlidingWindowCounterRateLimiter | None = None
        self._redis = PatientRedis(redis, "rate limits", patience_seconds=_PATIENCE_SECONDS, away_seconds=_AWAY_SECONDS)
        if redis is not None:
            pool = redis.connection_pool  # the URL only names the kind of server; connections come from the pool
            storage = RedisStorage("async+redis://", implementation="redispy", connection_pool=pool)  # type: ignore[arg-type] # the option exists; its annotation forgets it
            self._shared = SlidingWindowCounterRateLimiter(storage)

    async def is_reached(self, limit: RateLimit) -> bool:
        """Return whether the limit is reached."""
        return not await self._ask("test", limit)

    async def check(self, *limits: RateLimit) -> None:
        """Check that each limit has a try left.

        Raises:
            LimitReached: one has none; it names the time after which it has.
        """
        for limit in limits:
            if await self.is_reached(limit):
                stats = await self._ask("get_window_stats", limit)
                raise LimitReached(min(math.ceil(stats.reset_time - time.time()), limit.item.get_expiry()))

    async def count(self, *limits: RateLimit) -> bool:
        """Count a failure; False if one of the limits was reached already."""
        return all([await self._ask("hit", limit) for limit in limits])

    async def spend(self, limit: RateLimit, amount: int) -> None:
        """Count several at once; an amount beyond the limit uses it up."""
        left = (await self._ask("get_window_stats", limit)).remaining
        if left > 0:
            await self._ask("hit", limit, cost=min(amount, left))

    async def _ask(self, verb: str, limit: RateLimit, **more: int) -> Any:  # noqa: ANN401 - the type is the verb's
        answer = await self._redis.ask(lambda _: getattr(self._shared, verb)(limit.item, limit.key, **more))
        return await getattr(self._local, verb)(limit.item, limit.key, **more) if answer is None else answer


def presence_limits(user_id: UUID) -> tuple[RateLimit, RateLimit]:
    """Return the limits for wrong answers of a step-up within a session, by whatever route.

    They are separate, so that a thief with a stolen session does not use up the person's sign-in limits.
    """
    return RateLimit.of(PER_ACCOUNT, "step-up", user_id), RateLimit.of(_PRESENCE_DAY, user_id)
