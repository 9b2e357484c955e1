"""Three ways to get to the authorizer, which differ only in how requests of one account meet (SPEC, benefits).

- `pessimistic`: a request at a time, the accounts' rows locked;
- `optimistic`: a request at a time, no lock; the versions are compared at the write, and after five conflicts the row
  lock is taken, so that contention alone never refuses;
- `queue`: requests pass through one queue a process, and one writer takes those that wait together: it reads
  without a lock what it does not remember, and at the write the accounts are moved on from where they are, as long as
  they cover it. Whose account somebody else keeps locked is set aside (`held_up`).
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Literal, Protocol

import structlog

from carteira.benefits.authorization import Authorization, Decision
from carteira.benefits.authorizer import AccountHeldUp, Authorizer
from carteira.benefits.held_up import HeldUp, Waiting
from carteira.kit.db.errors import DatabaseDown

StrategyName = Literal["optimistic", "pessimistic", "queue"]

MIN_BATCH: Final = 32
MAX_BATCH: Final = 128
MAX_WRITE_SECONDS: Final = 0.02
"""A batch is no larger than can be written in this time: who is decided waits for one batch or two."""
MIN_WAITING: Final = 256
MAX_WAITING: Final = 4_096
MAX_STAY_SECONDS: Final = 0.08
"""No more are let in than can be answered in this time, or `MIN_WAITING`: that many clients are no flood, however slow
the disk is for a moment."""
FLOOD_STAY_SECONDS: Final = 0.03
"""The same during a flood: who is let in then waits for a batch and is in the next."""
FLOOD_SECONDS: Final = 5.0
"""How long a flood lasts at most; then as many as ever are let in again, and either there is room or it begins anew."""
CALM_SECONDS: Final = 0.1
"""It is over sooner if nobody had to be turned away for so long."""
FIRST_PACE: Final = 10_000.0
WEIGHT: Final = 0.1
"""Of the newest reading in an average."""
GATHER_SECONDS: Final = 0.004
"""How long after the last batch began the next waits until as many are there as lately came together."""
FORGET: Final = 0.05
"""By how much that number shrinks from batch to batch."""
ENOUGH: Final = 8
"""What it is at most: larger batches come about by themselves, and the server reads while PostgreSQL writes them."""
RETRY_SECONDS: Final = 0.02
"""How long after the last batch those are tried again that were set aside, if nobody else comes."""

log = structlog.get_logger(__name__)


class Overloaded(Exception):
    """More requests came than the process can answer in time."""


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


class Queue:
    """One queue a process; one writer takes those that wait into one transaction, in the order they came.

    No more requests are let in than can be answered within `MAX_STAY_SECONDS` at the pace seen lately, those that are
    being written counted; who comes then is turned away at once. That is a flood: while it lasts only as many are let
    in as can be answered within `FLOOD_STAY_SECONDS`, and at its start who has waited longer than those is turned away
    too. Neither memory nor the wait of those that are decided grows beyond capacity.

    Whose account somebody else keeps locked is set aside and tried again with later batches, which then lock what is
    free instead of waiting.
    """

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self._waiting: deque[Waiting] = deque()
        self._held_up = HeldUp()
        self._arrived = asyncio.Event()
        self._all_here = asyncio.Event()
        self._together = 1.0
        self._began = 0.0
        self._flood_until = 0.0
        self._turned_away_at = 0.0
        self._adapt(FIRST_PACE)

    def _adapt(self, pace: float) -> None:
        self._pace = pace
        self._most_at_once = min(MAX_BATCH, max(MIN_BATCH, int(pace * MAX_WRITE_SECONDS)))
        self.room = min(MAX_WAITING, max(MIN_WAITING, int(pace * MAX_STAY_SECONDS) - self._most_at_once))
        self.flood_room = min(MAX_BATCH, max(MIN_BATCH, int(pace * FLOOD_STAY_SECONDS / 2)))

    def has_room(self, now: float) -> bool:
        """Tell whether one more may join at this instant of `time.perf_counter`; if not, there is a flood."""
        waiting = self._waiting
        flood = now < self._flood_until and now < self._turned_away_at + CALM_SECONDS
        if len(waiting) < (self.flood_room if flood else self.room):
            return True
        self._turned_away_at = now
        if not flood:
            self._flood_until = now + FLOOD_SECONDS
            while len(waiting) > self.flood_room:
                waiting.popleft().done(Overloaded())
        return False

    def join(self, request: Waiting) -> None:
        """Wait, if there is room. A request whose client has gone still counts: nobody asks whether anybody waits."""
        self._waiting.append(request)
        self._arrived.set()
        if len(self._waiting) >= self._together:
            self._all_here.set()

    async def authorize(self, request: Authorization) -> Decision:
        """Join the queue and wait for the decision."""
        if not self.has_room(time.perf_counter()):
            raise Overloaded
        waiting = _Awaited(request)
        self.join(waiting)
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
            while self._waiting or self._held_up:
                await self._gather()
                self._began = time.perf_counter()
                wary = bool(self._held_up)
                batch = self._batch()
                await self._decide(batch, wary=wary)
                if not wary:
                    self._measure(len(batch), time.perf_counter() - self._began)
            if stopping.is_set():
                self._arrived.set()

    async def _gather(self) -> None:
        """Give those that lately came together the time to do so again: a handful costs hardly more than one."""
        if not self._waiting:
            self._arrived.clear()
            await _wait(self._arrived, RETRY_SECONDS)
            return
        pause = self._began + GATHER_SECONDS - time.perf_counter()
        if pause > 0 and len(self._waiting) < self._together:
            self._all_here.clear()
            await _wait(self._all_here, pause)

    def _batch(self) -> list[Waiting]:
        """Take those whose turn has come, those that were set aside first."""
        come = [self._waiting.popleft() for _ in range(min(self._most_at_once, len(self._waiting)))]
        if not self._held_up:
            return come
        batch = self._held_up.take_turn()
        for waiting in come:
            if self._held_up.holds(waiting.request.account):
                self._held_up.add(waiting, self._began)
            else:
                batch.append(waiting)
        return batch

    def _measure(self, size: int, seconds: float) -> None:
        """Follow how many come together, and the pace in requests a second; small batches say nothing of that."""
        self._together = min(ENOUGH, max(size, self._together * (1 - FORGET)))
        if size >= self._most_at_once // 2:
            pace = max(size, MAX_BATCH // 2) / max(seconds, 1e-6)
            self._adapt(self._pace + (pace - self._pace) * WEIGHT)

    async def _decide(self, batch: Sequence[Waiting], *, wary: bool) -> None:
        """Decide a batch; if it fails, decide its requests singly, so that none fails its neighbours."""
        try:
            decisions = await self._authorize([waiting.request for waiting in batch], wary=wary)
        except DatabaseDown as error:
            for waiting in batch:
                waiting.done(error)
        except Exception as error:  # noqa: BLE001 - tried again one by one
            log.warning("batch failed", size=len(batch), error=type(error).__name__)
            for waiting in batch:
                await self._decide_one(waiting)
        else:
            for waiting, decision in zip(batch, decisions, strict=True):
                self._answer(waiting, decision)

    async def _authorize(self, requests: Sequence[Authorization], *, wary: bool) -> Sequence[Decision | None]:
        """Decide requests, but none whose account somebody keeps locked; if `wary`, do not even wait to see that."""
        if not wary:
            with suppress(AccountHeldUp):
                return await self._authorizer.authorize(requests, "followed")
        return await self._authorizer.authorize_free(requests)

    async def _decide_one(self, waiting: Waiting) -> None:
        if self._held_up.holds(waiting.request.account):
            self._answer(waiting, None)
            return
        try:
            (decision,) = await self._authorizer.authorize_free([waiting.request])
        except Exception as error:  # noqa: BLE001 - it is the request's own answer
            waiting.done(error)
        else:
            self._answer(waiting, decision)

    def _answer(self, waiting: Waiting, decision: Decision | None) -> None:
        if decision is None:
            self._held_up.add(waiting, time.perf_counter())
        else:
            waiting.done(decision)


class _Awaited:
    """A request that a coroutine waits for."""

    def __init__(self, request: Authorization) -> None:
        self.request = request
        self.since = time.perf_counter()
        self.outcome: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()

    def done(self, outcome: Decision | Exception) -> None:
        if self.outcome.done():
            return  # whoever waited has gone
        if isinstance(outcome, Exception):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait until the event is set, for some seconds at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


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
