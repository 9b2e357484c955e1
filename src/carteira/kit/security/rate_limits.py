"""Limits on failures, the same for all processes through Redis; while Redis is down each process counts for itself.

Neither open nor closed: with Redis away people go on signing in, and an attacker has as many tries per process as
otherwise in all.
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
"""Second factors of sign-ins that never were: nobody's failures but their address's own."""
PER_RECOVERY = RateLimitItemPerMinute(5, WINDOW_MINUTES, namespace="carteira:recovery")
PER_RECOVERY_DAY = RateLimitItemPerMinute(20, 24 * 60, namespace="carteira:recovery-day")
_PRESENCE_DAY = RateLimitItemPerMinute(30, 24 * 60, namespace="carteira:step-up-day")
"""Codes are short and a stolen session lives for days: beyond this many wrong answers a day only a sign-in helps."""
WRONG_CODES = RateLimitItemPerHour(100, namespace="carteira:codes")
"""Wrong codes by message, a network address; a link's right code passes it."""
_PATIENCE_SECONDS = 1.0
_AWAY_SECONDS = 2.0
_HOST_BITS_V6 = 64


class LimitReached(Exception):
    """No try is left under a limit."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(retry_after_seconds)
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True)
class RateLimit:
    """A limit and whose failures it counts. The name is hashed: no CPF or address is stored."""

    item: RateLimitItem
    key: str

    @classmethod
    def of(cls, item: RateLimitItem, *parts: object) -> "RateLimit":
        """Name whose failures are counted."""
        return cls(item, hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()[:32])


def network(address: str) -> str:
    """Give what an address is counted by: itself, or for IPv6 the /64 that one customer has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.version == 4:  # noqa: PLR2004 - IP's own number
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed) >> _HOST_BITS_V6 << _HOST_BITS_V6, _HOST_BITS_V6)))


def is_loopback(address: str) -> bool:
    """Tell whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def truncated_network(address: str) -> str:
    """Give an address without the part that tells one household from the next (/24, /48): what records keep."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    bits = 24 if parsed.version == 4 else 48  # noqa: PLR2004 - IP's own number
    return str(ipaddress.ip_network(f"{parsed}/{bits}", strict=False))


def is_within(address: str, networks: Collection[str]) -> bool:
    """Tell whether an address lies in one of the networks; without any, each does."""
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
            pool = redis.connection_pool  # the URL only names the kind of server: connections come from the pool
            storage = RedisStorage("async+redis://", implementation="redispy", connection_pool=pool)  # type: ignore[arg-type] # the option exists; its annotation forgets it
            self._shared = SlidingWindowCounterRateLimiter(storage)

    async def is_reached(self, limit: RateLimit) -> bool:
        """Tell whether no failure is left."""
        return not await self._ask("test", limit)

    async def check(self, *limits: RateLimit) -> None:
        """Insist that a try is left under each limit.

        Raises:
            LimitReached: none is; it says when to come back.
        """
        for limit in limits:
            if await self.is_reached(limit):
                stats = await self._ask("get_window_stats", limit)
                raise LimitReached(min(math.ceil(stats.reset_time - time.time()), limit.item.get_expiry()))

    async def count(self, *limits: RateLimit) -> bool:
        """Count a failure; False if one of the limits was reached already."""
        return all([await self._ask("hit", limit) for limit in limits])

    async def spend(self, limit: RateLimit, amount: int) -> None:
        """Count so much at once, of which what is beyond the limit uses it up."""
        left = (await self._ask("get_window_stats", limit)).remaining
        if left > 0:
            await self._ask("hit", limit, cost=min(amount, left))

    async def _ask(self, verb: str, limit: RateLimit, **more: int) -> Any:  # noqa: ANN401 - as the verb answers
        answer = await self._redis.ask(lambda _: getattr(self._shared, verb)(limit.item, limit.key, **more))
        return await getattr(self._local, verb)(limit.item, limit.key, **more) if answer is None else answer


def presence_limits(user_id: UUID) -> tuple[RateLimit, RateLimit]:
    """Return what wrong answers count against of who shows in a session that they are there, by whatever route.

    They are limits of their own: who has but a stolen session uses up nobody's sign-in.
    """
    return RateLimit.of(PER_ACCOUNT, "step-up", user_id), RateLimit.of(_PRESENCE_DAY, user_id)
