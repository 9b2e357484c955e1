"""A queue for work that costs a core: a bounded number runs, a bounded number waits, the rest is refused at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import Counter

turned_away = Counter(
    "carteira_work_turned_away", "Expensive work that was refused because too much was waiting", ["work"]
)


class Busy(Exception):
    """Too many wait for a turn already."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(retry_after_seconds)
        self.retry_after_seconds = retry_after_seconds


class Turns:
    """A bounded queue in front of one kind of work, in one process."""

    def __init__(self, work: str, *, at_once: int, waiting: int, retry_after_seconds: int = 3) -> None:
        self._work = work
        self._places = at_once + waiting
        self._taken = 0
        self._retry_after_seconds = retry_after_seconds
        self._at_once = asyncio.Semaphore(at_once)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until the block may run.

        Raises:
            Busy: every place in the queue is taken.
        """
        if self._taken >= self._places:
            turned_away.labels(self._work).inc()
            raise Busy(self._retry_after_seconds)
        self._taken += 1
        try:
            async with self._at_once:
                yield
        finally:
            self._taken -= 1
