"""Redis: one client per process, and short time-outs for users that can go on without it."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from carteira.kit.ops import tracing
from carteira.kit.outbound.redis_address import RedisAddress

TIMEOUT_SECONDS = 1.0
"""For a connection and for an answer, where Redis is indispensable; other users wait less."""
MAX_CONNECTIONS = 300
"""The most connections; one more is an error, since the bound is there to detect leaks."""
AWAY = (RedisError, OSError, TimeoutError)
"""The errors that the client raises when Redis is away, slow, or refuses."""
SENTINEL_SECONDS = 0.1
"""The time-out of a Sentinel's connection and answer: two silent ones must leave time for a third."""

T = TypeVar("T")
_SYSTEM = {"db.system.name": "redis"}
_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}
"""The keepalive by which a machine that vanished is noticed within seconds, even on a connection that only receives."""
log = structlog.get_logger(__name__)


def connect(url: str, *, retries: int = 1) -> Redis:
    """Return a process's client; it connects at its first command.

    A connection that Redis closed while idle is opened again at its next use. With Sentinels, each connection is opened
    to the master that a Sentinel names then, and idle ones to a former master are closed.

    Raises:
        RedisAddressRefused: the URL is not an address of Redis.
    """
    kind = _TracedRedis if tracing.is_on() else Redis
    address = RedisAddress.parse(url)
    options: dict[str, Any] = {
        "max_connections": MAX_CONNECTIONS,
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "socket_keepalive": True,
        "socket_keepalive_options": {
            getattr(socket, name): number for name, number in _KEEPALIVE.items() if hasattr(socket, name)
        },
        "retry": Retry(NoBackoff(), retries),
    }
    if address.service is None:
        return kind.from_url(address.client_url, **options)
    return _by_sentinel(address, kind, options)


def _by_sentinel(address: RedisAddress, kind: type[Redis], options: dict[str, Any]) -> Redis:
    assert address.service is not None
    given = dict(parse_url(address.client_url))
    for name in ("host", "port", "connection_class"):  # the Sentinels and the pool set these
        given.pop(name, None)
    tls = {"ssl": True} if address.is_tls else {}
    sentinels = Sentinel(  # type: ignore[no-untyped-call] # the library's own gap
        [(host.name, host.port) for host in address.hosts],
        sentinel_kwargs={
            "socket_timeout": SENTINEL_SECONDS,
            "socket_connect_timeout": SENTINEL_SECONDS,
            "retry": Retry(NoBackoff(), 0),
            **{name: value for name, value in given.items() if name.startswith("ssl_")},
            **tls,
            **dict(address.sentinel_options),
        },
    )
    client: Redis = sentinels.master_for(
        address.service, redis_class=kind, connection_pool_class=_MasterPool, **given, **tls, **options
    )
    return client


class _MasterPool(SentinelConnectionPool):
    """Connections to a service's master, which are closed together with those to its Sentinels."""

    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinel_manager.aclose()


class _TracedRedis(Redis):
    """A client whose commands are spans of the present trace: their names, without arguments."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as the library's
        with tracing.span(str(args[0]), "client", _SYSTEM):
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call] # the library's own gap

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:  # noqa: FBT001, FBT002 - as the library's
        return _TracedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _TracedPipeline(Pipeline):
    """A pipeline: several commands in one trip."""

    async def execute(self, raise_on_error: bool = True) -> Any:  # noqa: ANN401, FBT001, FBT002 - as the library's
        with tracing.span("MULTI" if self.is_transaction else "PIPELINE", "client", _SYSTEM):
            return await super().execute(raise_on_error)


def why(error: BaseException) -> str:
    """Return in Portuguese why Redis is away, from any of `AWAY`."""
    if isinstance(error, AuthenticationError | NoPermissionError):
        return "o Redis recusou o usuário ou a senha de REDIS_URL"
    return "o Redis não responde"


class PatientRedis:
    """A client whose errors and slow answers count as *away*; Redis is then left alone for a while.

    Each user has its own over the process's client, with its own time-out.
    """

    def __init__(self, client: Redis | None, user: str, *, patience_seconds: float, away_seconds: float) -> None:
        self._client = client
        self._user = user
        self._patience_seconds = patience_seconds
        self._away_seconds = away_seconds
        self._away_until = 0.0

    @property
    def is_configured(self) -> bool:
        """Whether there is a Redis at all, away or not."""
        return self._client is not None

    async def ask(self, question: Callable[[Redis], Awaitable[T]], *, even_if_away: bool = False) -> T | None:
        """Return Redis' answer, or None while it is away; `even_if_away` asks even just after it was away."""
        if self._client is None or (time.monotonic() < self._away_until and not even_if_away):
            return None
        try:
            async with asyncio.timeout(self._patience_seconds):
                return await question(self._client)
        except AWAY as error:
            self._away_until = time.monotonic() + self._away_seconds
            log.warning("redis unavailable", user=self._user, error=type(error).__name__)
            return None
