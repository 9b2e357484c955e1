"""Wakes: whoever wrote what is followed (`kit.db.outbox`) has the followers in other processes woken, after its commit.

Told beside PostgreSQL: a `NOTIFY` inside of a transaction that moves money has all of them commit one after the other.
A wake that is lost costs nothing but time, since followers look by themselves now and then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context

from sqlalchemy.ext.asyncio import AsyncSession

from carteira.kit.db.session import LeanTx, Tx

LEAST_SECONDS = 0.05
"""Between two wakes of a process, whatever it writes."""
_FOLLOWED = "followed"


def followed(tx: Tx | LeanTx) -> None:
    """Have the followers woken once the transaction is committed; those of the driver itself do so anyway."""
    if isinstance(tx, AsyncSession):
        tx.info[_FOLLOWED] = True


def wrote_what_is_followed(tx: Tx) -> bool:
    """Return whether `followed` was said of a transaction that is over, and forget it."""
    return bool(tx.info.pop(_FOLLOWED, False))


class Wakes:
    """Wakes the followers by `publish`, if there is one, at once and then every `LEAST_SECONDS` at most."""

    def __init__(self) -> None:
        self.publish: Callable[[], Awaitable[None]] | None = None
        """Sends a wake; it must not raise."""
        self._is_due = False
        self._sending: asyncio.Task[None] | None = None

    def ring(self) -> None:
        """Wake the followers; in a running event loop."""
        self._is_due = True
        if self.publish is not None and (self._sending is None or self._sending.done()):
            # In a context of its own: it is nobody's request that it is sent in.
            self._sending = asyncio.create_task(self._send(self.publish), name="wakes", context=Context())

    async def _send(self, publish: Callable[[], Awaitable[None]]) -> None:
        while self._is_due:
            self._is_due = False
            await publish()
            await asyncio.sleep(LEAST_SECONDS)

    async def close(self) -> None:
        """Send what is due, and no more."""
        sending, self._sending = self._sending, None
        if sending is not None and sending.get_loop() is asyncio.get_running_loop():
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            if self._is_due and self.publish is not None:
                await self.publish()
        self.publish = None
