"""The authorizer: a batch of requests decided and written together, and three ways to get there.

Whatever the strategy, the same function decides and writes: it reads the accounts' book (locked or not), walks the
requests in order, posts the approved ones, and writes entries and decisions with one commit. The strategies differ
only in how they meet on one account (SPEC, benefits):

- `pessimistic`: a request at a time, the accounts' rows locked;
- `optimistic`: a request at a time, no lock; the versions are compared at the write, and after five conflicts the row
  lock is taken, so that contention alone never refuses;
- `queue`: requests pass through one queue a process, and one writer takes all that wait together: it reads
  without a lock what it does not remember, and at the write the accounts are moved on from where they are, as long as
  they cover it.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Literal, Protocol

import structlog
from asyncpg import DeadlockDetectedError, UniqueViolationError

from carteira import ledger
from carteira.benefits import catalog
from carteira.benefits.authorization import Authorization, Catalog, Decision
from carteira.benefits.batch import Batch, CatalogChanged, Meeting, Memory, take_back
from carteira.kit.tx import CommitUnknown, Database, DatabaseDown

StrategyName = Literal["optimistic", "pessimistic", "queue"]
MAX_CONFLICTS = 5
MAX_CONFLICTS_LOCKED = 3
MAX_BATCH = 128
MAX_WAITING = 4_096
MIN_WAITING = MAX_BATCH
MAX_STAY_SECONDS = 0.06
FIRST_PACE = 10_000.0
PACE_WEIGHT = 0.1
RESOLVE_SECONDS = 10.0
RESOLVE_PAUSE_SECONDS = 0.05
_CONFLICTS = (ledger.StaleBook, UniqueViolationError, DeadlockDetectedError)

log = structlog.get_logger(__name__)


class Overloaded(Exception):
    """More requests wait than the process can serve in time."""


class Authorizer:
    """Decides and writes. Holds what may be remembered between requests: the catalog, and what accounts had."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._catalog: Catalog | None = None
        self._memory = Memory()

    async def authorize(self, requests: Sequence[Authorization], meeting: Meeting) -> list[Decision]:
        """Decide requests in order and write the decisions and their entries, with one commit.

        What another transaction was faster at (an account, a transaction id) is read and decided again, from the
        `MAX_CONFLICTS`th time on with the accounts locked.

        Raises:
            StaleBook, UniqueViolationError, DeadlockDetectedError: that did not help; nothing was written.
            DatabaseDown: PostgreSQL is unreachable; nothing was written, or that is not known.
        """
        conflicts = 0
        while True:
            batch = Batch(requests, await self._catalog_now())
            try:
                await self._run(batch, meeting, conflicts)
            except CatalogChanged:
                self.forget()
            except CommitUnknown:
                if not await self._happened(batch):
                    raise
                return batch.decisions
            except _CONFLICTS:
                conflicts += 1
                if conflicts == MAX_CONFLICTS + MAX_CONFLICTS_LOCKED:
                    raise
            else:
                return batch.decisions

    async def _run(self, batch: Batch, meeting: Meeting, conflicts: int) -> None:
        if meeting == "locked" or conflicts >= MAX_CONFLICTS:
            async with self.database.lean_transaction() as tx:
                await batch.run(tx, "locked")
        elif meeting == "compared" or conflicts:
            async with self.database.lean_statements() as tx:
                await batch.run(tx, meeting)
        else:
            async with self.database.lean_statements() as tx:
                await batch.run(tx, meeting, memory=self._memory, look_up=False)
        if meeting == "followed":
            self._memory.keep(batch)

    async def _happened(self, batch: Batch) -> bool:
        """Find out whether a write that PostgreSQL did not confirm took place; the batch has one answer for all.

        Raises:
            DatabaseDown: PostgreSQL did not come back in time.
        """
        if not (batch.is_decided and batch.fresh):
            return batch.is_decided
        deadline = time.monotonic() + RESOLVE_SECONDS
        while True:
            try:
                async with self.database.lean_statements() as tx:
                    return not await take_back(tx, batch.fresh[0])
            except DatabaseDown:
                if time.monotonic() > deadline:
                    log.exception("commit in doubt", decisions=[str(decision.id) for decision in batch.fresh])
                    raise
                await asyncio.sleep(RESOLVE_PAUSE_SECONDS)

    def forget(self) -> None:
        """Forget the catalog: the next request reads it again."""
        self._catalog = None

    async def _catalog_now(self) -> Catalog:
        if self._catalog is None:
            async with self.database.transaction() as tx:
                self._catalog = await catalog.load(tx)
        return self._catalog


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


Done = Callable[[Decision | Exception], None]
"""Takes a request's outcome; called exactly once, in the event loop."""


class Queue:
    """One queue a process; one writer takes all that wait into one transaction, in the order they came.

    No more requests are let in than can be answered within `MAX_STAY_SECONDS` at the pace seen lately, those that are
    being written counted: the others are turned away at once, so that neither the wait nor the memory grows beyond
    capacity.
    """

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self._waiting: deque[tuple[Authorization, Done]] = deque()
        self._arrived = asyncio.Event()
        self._pace = FIRST_PACE
        self._room = self._room_at(FIRST_PACE)

    @property
    def is_full(self) -> bool:
        """Tell whether the next request would be turned away."""
        return len(self._waiting) >= self._room

    def submit(self, request: Authorization, done: Done) -> None:
        """Join the queue. A request whose client has gone still counts: nobody asks whether anybody waits.

        Raises:
            Overloaded: there is no room.
        """
        if self.is_full:
            raise Overloaded
        self._waiting.append((request, done))
        self._arrived.set()

    async def authorize(self, request: Authorization) -> Decision:
        """Join the queue and wait for the decision."""
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self.submit(request, partial(_settle, future))
        return await future

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
            began = time.perf_counter()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
                await self._decide(batch)
                began, before = time.perf_counter(), began
                self._measure(len(batch), began - before)
            if stopping.is_set():
                self._arrived.set()

    def _measure(self, size: int, seconds: float) -> None:
        """Follow the pace in requests a second; small batches say little about what a full one could do."""
        pace = max(size, MAX_BATCH // 2) / max(seconds, 1e-6)
        self._pace += (pace - self._pace) * PACE_WEIGHT
        self._room = self._room_at(self._pace)

    @staticmethod
    def _room_at(pace: float) -> int:
        return min(MAX_WAITING, max(MIN_WAITING, int(pace * MAX_STAY_SECONDS) - MAX_BATCH))

    async def _decide(self, batch: Sequence[tuple[Authorization, Done]]) -> None:
        """Decide a batch; if it fails, decide its requests singly, so that none fails its neighbours."""
        try:
            decisions = await self._authorizer.authorize([request for request, _ in batch], "followed")
        except DatabaseDown as error:
            for _, done in batch:
                done(error)
        except Exception as error:  # noqa: BLE001 - tried again one by one
            log.warning("batch failed", size=len(batch), error=type(error).__name__)
            for request, done in batch:
                await self._decide_one(request, done)
        else:
            for (_, done), decision in zip(batch, decisions, strict=True):
                done(decision)

    async def _decide_one(self, request: Authorization, done: Done) -> None:
        try:
            outcome: Decision | Exception = (await self._authorizer.authorize([request], "locked"))[0]
        except Exception as error:  # noqa: BLE001 - it is the request's own answer
            outcome = error
        done(outcome)


def _settle(future: asyncio.Future[Decision], outcome: Decision | Exception) -> None:
    if future.done():
        return  # whoever waited has gone
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


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
