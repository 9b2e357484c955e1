"""Redis: one client for a process, and the little patience that those have who can go on without it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from carteira.kit.ops import tracing

TIMEOUT_SECONDS = 1.0
"""Of a connection and of an answer, for who cannot go on without Redis; others give it less."""
MAX_CONNECTIONS = 300
"""One more at once is an error, so this is a bound against a leak and not a queue."""
AWAY = (RedisError, OSError, TimeoutError)
"""What the client raises when Redis is away, slow, or says no."""

T = TypeVar("T")
_SYSTEM = {"db.system.name": "redis"}
log = structlog.get_logger(__name__)


def connect(url: str) -> Redis:
    """Make a process's client; it connects when it is first asked.

    A connection that Redis closed while it was idle is noticed when it is used, and opened once more.
    """
    kind = _TracedRedis if tracing.is_on() else Redis
    return kind.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )


class _TracedRedis(Redis):
    """A client whose commands are parts of the trace that they are sent in: their names, and nothing that they hold."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as the library's
        with tracing.span(str(args[0]), "client", _SYSTEM):
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call] # the library's own gap

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:  # noqa: FBT001, FBT002 - as the library's
        return _TracedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _TracedPipeline(Pipeline):
    """Several commands in one trip."""

    async def execute(self, raise_on_error: bool = True) -> Any:  # noqa: ANN401, FBT001, FBT002 - as the library's
        with tracing.span("MULTI" if self.is_transaction else "PIPELINE", "client", _SYSTEM):
            return await super().execute(raise_on_error)


def why(error: BaseException) -> str:
    """Say in Portuguese why Redis is away; any of `AWAY`."""
    if isinstance(error, AuthenticationError | NoPermissionError):
        return "o Redis recusou o usuário ou a senha de REDIS_URL"
    return "o Redis não responde"


class PatientRedis:
    """A client whose errors and slow answers count as *away*; Redis is then left alone for a while.

    Each user has one of its own over the process's client, with the patience that its answers allow.
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
        """Return Redis' answer, or None while it is away; `even_if_away` asks although it was away just now."""
        if self._client is None or (time.monotonic() < self._away_until and not even_if_away):
            return None
        try:
            async with asyncio.timeout(self._patience_seconds):
                return await question(self._client)
        except AWAY as error:
            self._away_until = time.monotonic() + self._away_seconds
            log.warning("redis away", user=self._user, error=type(error).__name__)
            return None
