"""Wakes: after its commit, a writer of followed rows (`kit.db.outbox`) wakes followers in other processes.

They do not go through PostgreSQL: `NOTIFY` inside transactions that move money would make all of them commit one after
the other. A lost wake costs only time, since followers also poll now and then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context

from sqlalchemy.ext.asyncio import AsyncSession

from carteira.kit.db.session import LeanTx, Tx

LEAST_SECONDS = 0.05
"""The least time between two wakes of one process."""
_FOLLOWED = "followed"


def followed(tx: Tx | LeanTx) -> None:
    """Wake the followers once the transaction is committed; transactions of the driver itself always do."""
    if isinstance(tx, AsyncSession):
        tx.info[_FOLLOWED] = True


def wrote_followed_rows(tx: Tx) -> bool:
    """Return whether `followed` was called for a transaction that has ended, and reset that."""
    return bool(tx.info.pop(_FOLLOWED, False))


class Wakes:
    """Wakes the followers by `publish`, if set: at once, then at most every `LEAST_SECONDS`."""

    def __init__(self) -> None:
        self.publish: Callable[[], Awaitable[None]] | None = None
        """The function that sends a wake; it must not raise."""
        self._is_due = False
        self._sending: asyncio.Task[None] | None = None

    def ring(self) -> None:
        """Wake the followers; it needs a running event loop."""
        self._is_due = True
        if self.publish is not None and (self._sending is None or self._sending.done()):
            # In a context of its own: it belongs to no request.
            self._sending = asyncio.create_task(self._send(self.publish), name="wakes", context=Context())

    async def _send(self, publish: Callable[[], Awaitable[None]]) -> None:
        while self._is_due:
            self._is_due = False
            await publish()
            await asyncio.sleep(LEAST_SECONDS)

    async def close(self) -> None:
        """Send the wake that is due, and none after it."""
        sending, self._sending = self._sending, None
        if sending is not None and sending.get_loop() is asyncio.get_running_loop():
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            if self._is_due and self.publish is not None:
                await self.publish()
        self.publish = None
