"""Three ways to get to the authorizer, which differ only in how requests of one account meet (SPEC, benefits).

- `pessimistic`: a request at a time, the accounts' rows locked;
- `optimistic`: a request at a time, no lock; the versions are compared at the write, and after five conflicts the row
  lock is taken, so that contention alone never refuses;
- `queue`: requests pass through one queue a process, and one writer takes those that wait together: it reads
  without a lock what it does not remember, and at the write the accounts are moved on from where they are, as long as
  they cover it.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice, takewhile
from typing import Final, Literal, Protocol

import structlog

from carteira.benefits.authorization import Authorization, Decision
from carteira.benefits.authorizer import Authorizer
from carteira.kit.tx import DatabaseDown

StrategyName = Literal["optimistic", "pessimistic", "queue"]

MIN_BATCH: Final = 32
MAX_BATCH: Final = 128
MAX_WRITE_SECONDS: Final = 0.02
"""A batch is no larger than can be written in this time: who is decided waits for one batch or two."""
MIN_WAITING: Final = MAX_BATCH
MAX_WAITING: Final = 4_096
MAX_STAY_SECONDS: Final = 0.08
FIRST_PACE: Final = 10_000.0
WEIGHT: Final = 0.1
"""Of the newest reading in an average."""
OVERLOAD_SECONDS: Final = 0.1
"""How long a flood is taken to last after a request had to be turned away."""
FRESH_SECONDS: Final = 0.03
"""Who has waited longer is not decided during a flood, since newer ones can still be answered in time."""
GATHER_SECONDS: Final = 0.004
"""How long after the last batch began the next waits until as many are there as lately came together."""
FORGET: Final = 0.05
"""By how much that number shrinks from batch to batch."""
ENOUGH: Final = 8
"""What it is at most: larger batches come about by themselves, and the server reads while PostgreSQL writes them."""

log = structlog.get_logger(__name__)


class Overloaded(Exception):
    """More requests came than the process can serve in time, and this one had waited longest."""


class Strategy(Protocol):
    """How requests of one account meet."""

    async def authorize(self, request: Authorization) -> Decision:
        """Decide one request.

        Raises:
            Overloaded: too many wait.
            DatabaseDown: PostgreSQL is unreachable.
        """
        ...


class Pessimistic:
    """A request at a time, under the accounts' row locks."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def authorize(self, request: Authorization) -> Decision:
        """Decide one request."""
        return (await self._authorizer.authorize([request], "locked"))[0]


class Optimistic:
    """A request at a time, no lock, versions compared at the write; after five conflicts, under the lock."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def authorize(self, request: Authorization) -> Decision:
        """Decide one request."""
        return (await self._authorizer.authorize([request], "compared"))[0]


class Waiting(Protocol):
    """A request in the queue; `since` is when it joined, by `time.perf_counter`."""

    since: float

    def read(self) -> Authorization:
        """Read the request: at once, or when its turn has come.

        Raises:
            Malformed: it cannot be decided; that is its outcome then.
        """
        ...

    def done(self, outcome: Decision | Exception) -> None:
        """Take the outcome; called exactly once, in the event loop."""
        ...


class Queue:
    """One queue a process; one writer takes those that wait into one transaction, in the order they came.

    No more requests wait than can be answered within `MAX_STAY_SECONDS` at the pace seen lately, those that are being
    written counted. Whoever comes then takes the place of the one that has waited longest, which is turned away. While
    that goes on the newest are decided first: neither memory nor the wait of those that are decided grows beyond
    capacity. A request that has many before it is read when its turn has come, so that turning it away costs little.
    """

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self._waiting: deque[tuple[Waiting, Authorization | None]] = deque()
        self._arrived = asyncio.Event()
        self._all_here = asyncio.Event()
        self._together = 1.0
        self._began = 0.0
        self._overflowed_at = 0.0
        self._adapt(FIRST_PACE)

    def _adapt(self, pace: float) -> None:
        self._pace = pace
        self._most_at_once = min(MAX_BATCH, max(MIN_BATCH, int(pace * MAX_WRITE_SECONDS)))
        self.room = min(MAX_WAITING, max(MIN_WAITING, int(pace * MAX_STAY_SECONDS) - self._most_at_once))

    def submit(self, request: Waiting) -> None:
        """Join the queue. A request whose client has gone still counts: nobody asks whether anybody waits."""
        content = None
        if len(self._waiting) < MAX_BATCH:  # now, while PostgreSQL writes; further back it may yet be turned away
            content = _read(request)
            if content is None:
                return
        self._waiting.append((request, content))
        self._arrived.set()
        if len(self._waiting) >= self._together:
            self._all_here.set()
        if len(self._waiting) > self.room:
            self._overflowed_at = time.perf_counter()
            self._waiting.popleft()[0].done(Overloaded())

    async def authorize(self, request: Authorization) -> Decision:
        """Join the queue and wait for the decision."""
        waiting = _Awaited(request)
        self.submit(waiting)
        return await waiting.outcome

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the writer; at the end it finishes what is in the queue."""
        stopping = asyncio.Event()
        writer = asyncio.create_task(self._write(stopping))
        try:
            yield
        finally:
            stopping.set()
            self._arrived.set()
            await writer

    async def _write(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set() or self._waiting:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                await self._gather()
                self._began = time.perf_counter()
                if batch := self._batch():
                    await self._decide(batch)
                    self._measure(len(batch), time.perf_counter() - self._began)
            if stopping.is_set():
                self._arrived.set()

    async def _gather(self) -> None:
        """Give those that lately came together the time to do so again: a handful costs hardly more than one."""
        pause = self._began + GATHER_SECONDS - time.perf_counter()
        if pause > 0 and len(self._waiting) < self._together:
            self._all_here.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._all_here.wait()

    def _batch(self) -> list[tuple[Authorization, Waiting]]:
        """Take those whose turn has come, and read those that were not."""
        batch = []
        for request, content in self._take():
            read = content if content is not None else _read(request)
            if read is not None:
                batch.append((read, request))
        return batch

    def _take(self) -> list[tuple[Waiting, Authorization | None]]:
        """Take those whose turn has come: who came first; during a flood who came last, in the order they came."""
        count = min(self._most_at_once, len(self._waiting))
        if self._began < self._overflowed_at + OVERLOAD_SECONDS:
            fresh = self._began - FRESH_SECONDS
            last = islice(reversed(self._waiting), count)
            newest = list(takewhile(lambda entry: entry[0].since > fresh, last))
            for _ in newest:
                self._waiting.pop()
            if newest:
                return newest[::-1]
        return [self._waiting.popleft() for _ in range(count)]

    def _measure(self, size: int, seconds: float) -> None:
        """Follow the pace in requests a second; small batches say little about what a full one could do."""
        self._together = min(ENOUGH, max(size, self._together * (1 - FORGET)))
        pace = max(size, MAX_BATCH // 2) / max(seconds, 1e-6)
        self._adapt(self._pace + (pace - self._pace) * WEIGHT)

    async def _decide(self, batch: Sequence[tuple[Authorization, Waiting]]) -> None:
        """Decide a batch; if it fails, decide its requests singly, so that none fails its neighbours."""
        try:
            decisions = await self._authorizer.authorize([request for request, _ in batch], "followed")
        except DatabaseDown as error:
            for _, waiting in batch:
                waiting.done(error)
        except Exception as error:  # noqa: BLE001 - tried again one by one
            log.warning("batch failed", size=len(batch), error=type(error).__name__)
            for request, waiting in batch:
                waiting.done(await self._decide_one(request))
        else:
            for (_, waiting), decision in zip(batch, decisions, strict=True):
                waiting.done(decision)

    async def _decide_one(self, request: Authorization) -> Decision | Exception:
        try:
            return (await self._authorizer.authorize([request], "locked"))[0]
        except Exception as error:  # noqa: BLE001 - it is the request's own answer
            return error


def _read(request: Waiting) -> Authorization | None:
    """Read a request, or settle it if it cannot be read."""
    try:
        return request.read()
    except Exception as error:  # noqa: BLE001 - it is the request's own answer
        request.done(error)
        return None


class _Awaited:
    """A request that was read before it joined, and that a coroutine waits for."""

    def __init__(self, request: Authorization) -> None:
        self._request = request
        self.since = time.perf_counter()
        self.outcome: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()

    def read(self) -> Authorization:
        return self._request

    def done(self, outcome: Decision | Exception) -> None:
        if self.outcome.done():
            return  # whoever waited has gone
        if isinstance(outcome, Exception):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)


@asynccontextmanager
async def running(authorizer: Authorizer, name: StrategyName) -> AsyncIterator[Strategy]:
    """Make the strategy and run what it needs."""
    if name == "queue":
        queue = Queue(authorizer)
        async with queue.running():
            yield queue
    elif name == "pessimistic":
        yield Pessimistic(authorizer)
    else:
        yield Optimistic(authorizer)
