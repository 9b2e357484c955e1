"""Wakes over Redis: a message on one channel, without content, to every process with followers."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from redis.asyncio import Redis

from carteira.kit.outbound.redis import AWAY, PatientRedis, connect

CHANNEL = "carteira:written"
_PATIENCE_SECONDS = 0.5
_AWAY_SECONDS = 2.0

log = structlog.get_logger(__name__)


def publisher(client: Redis) -> Callable[[], Awaitable[None]]:
    """Return the function that sends a wake; while Redis is away it sends none."""
    redis = PatientRedis(client, "wakes", patience_seconds=_PATIENCE_SECONDS, away_seconds=_AWAY_SECONDS)

    async def publish() -> None:
        await redis.ask(lambda client: client.publish(CHANNEL, b""))

    return publish


class Listener:
    """Receives wakes on a connection of its own, and reconnects when Redis is back."""

    def __init__(self, url: str, wake: Callable[[], None]) -> None:
        self._url = url
        self._wake = wake
        self.hears = False
        """Whether a wake would be received."""

    async def listen(self) -> None:
        """Call `wake` for every wake, and after each (re)connection, until cancelled."""
        while True:
            try:
                await self._listen()
            except AWAY as error:
                if self.hears:
                    log.warning("wakes not received", error=type(error).__name__)
            finally:
                self.hears = False
            self._wake()
            await asyncio.sleep(_AWAY_SECONDS)

    async def _listen(self) -> None:
        client = connect(self._url, retries=0)  # a lost connection is reported, since wakes were lost with it
        async with client, client.pubsub() as channel:
            await channel.subscribe(CHANNEL)
            async for message in channel.listen():
                self.hears = True
                if message["type"] in {"subscribe", "message"}:
                    self._wake()
