"""A queue, whose one writer decides waiting requests together."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Generic

import structlog
from prometheus_client import Gauge

from carteira.kit.db.errors import DatabaseDown
from carteira.kit.ops import tracing
from carteira.ledger.lane.admission import Admission, Overloaded
from carteira.ledger.lane.batch import DecisionT, RequestT
from carteira.ledger.lane.deferred import DeferredRequests, Waiting
from carteira.ledger.lane.writer import AccountLocked, CommitInDoubt, Writer

GATHER_SECONDS: Final = 0.004
"""The time after the last batch's start in which the next one waits for as many requests as recent batches had."""
FORGET: Final = 0.05
"""The factor by which that number shrinks from batch to batch."""
ENOUGH: Final = 8
"""Its maximum: larger batches form by themselves, since the server reads while PostgreSQL writes."""
WRITE_SECONDS: Final = 8.0
"""The longest time of a batch; longer than any lock wait. A silent server must not block later requests."""
RETRY_SECONDS: Final = 0.02
"""The time after the last batch at which deferred requests are retried, if no other request arrives."""
log = structlog.get_logger(__name__)


class Queue(Generic[RequestT, DecisionT]):
    """One queue per process and module; one writer decides the waiting requests in one transaction, in their order.

    `admission` says whether one more may join. A request whose account or key another transaction keeps locked is
    deferred and retried with later batches, which lock only free accounts.
    """

    def __init__(self, writer: Writer[RequestT, DecisionT], *, deferred_gauge: Gauge) -> None:
        """Make a queue over a writer; the gauge shows how many requests are deferred."""
        self._writer = writer
        self._waiting: deque[Waiting[RequestT, DecisionT]] = deque()
        self._deferred = DeferredRequests[RequestT, DecisionT](deferred_gauge)
        self._arrived = asyncio.Event()
        self._all_here = asyncio.Event()
        self._together = 1.0
        self._began = 0.0
        self._in_doubt: set[asyncio.Task[None]] = set()
        self.admission = Admission(self._waiting)
        self.has_room = self.admission.has_room

    def join(self, request: Waiting[RequestT, DecisionT]) -> None:
        """Queue a request, if there is room. It is decided even if its client disconnects."""
        self._waiting.append(request)
        self._arrived.set()
        if len(self._waiting) >= self._together:
            self._all_here.set()

    async def decide(self, request: RequestT) -> DecisionT:
        """Join the queue and wait for the decision.

        Raises:
            Overloaded: too many wait.
            AccountLocked: the account was locked for too long.
            DatabaseDown: PostgreSQL is unreachable.
        """
        if not self.has_room(time.perf_counter()):
            raise Overloaded
        waiting = _Awaited[RequestT, DecisionT](request)
        self.join(waiting)
        return await waiting.outcome

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the writer for the length of the block; at its end the queue is finished."""
        stopping = asyncio.Event()
        writer = asyncio.create_task(self._write(stopping))
        try:
            yield
        finally:
            stopping.set()
            self._arrived.set()
            await writer
            await asyncio.gather(*self._in_doubt)

    async def _write(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set() or self._waiting:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting or self._deferred:
                await self._gather()
                self._began = time.perf_counter()
                wary = bool(self._deferred)
                batch = self._batch()
                await self._decide(batch, wary=wary)
                if not wary:
                    self._measure(len(batch), time.perf_counter() - self._began)
            if stopping.is_set():
                self._arrived.set()

    async def _gather(self) -> None:
        """Wait for as many requests as recently arrived together, since a handful costs hardly more than one."""
        if not self._waiting:
            self._arrived.clear()
            await _wait(self._arrived, RETRY_SECONDS)
            return
        pause = self._began + GATHER_SECONDS - time.perf_counter()
        if pause > 0 and len(self._waiting) < self._together:
            self._all_here.clear()
            await _wait(self._all_here, pause)

    def _batch(self) -> list[Waiting[RequestT, DecisionT]]:
        """Return the next requests, deferred ones first."""
        come = [self._waiting.popleft() for _ in range(min(self.admission.most_at_once, len(self._waiting)))]
        if not self._deferred:
            return come
        batch = self._deferred.next_batch()
        for waiting in come:
            if self._deferred.holds(waiting.request.account):
                self._deferred.add(waiting, self._began)
            else:
                batch.append(waiting)
        return batch

    def _measure(self, size: int, seconds: float) -> None:
        """Update the batch size and the pace."""
        self._together = min(ENOUGH, max(size, self._together * (1 - FORGET)))
        self.admission.measure(size, seconds)

    async def _decide(self, batch: Sequence[Waiting[RequestT, DecisionT]], *, wary: bool) -> None:
        """Decide a batch; if it fails, decide its requests singly, so that one failure affects no other."""
        causes = [waiting.span for waiting in batch if waiting.span is not None] if tracing.is_on() else ()
        try:
            with tracing.together("batch", causes, attributes={"batch.size": len(batch)}):
                decisions = await self._attempt([waiting.request for waiting in batch], wary=wary)
        except CommitInDoubt as doubt:
            self._resolve_later(batch, doubt)
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

    async def _attempt(self, requests: Sequence[RequestT], *, wary: bool) -> Sequence[DecisionT | None]:
        """Decide requests, except those with locked accounts; if `wary`, without waiting for locks at all."""
        if not wary:
            with suppress(AccountLocked):
                return await self._writer.attempt(requests, "remembered", seconds=WRITE_SECONDS)
        return await self._writer.attempt(requests, "free", seconds=WRITE_SECONDS)

    def _resolve_later(self, batch: Sequence[Waiting[RequestT, DecisionT]], doubt: CommitInDoubt) -> None:
        """Resolve a batch's unknown commit in the background, so that later requests do not wait for it."""
        task = asyncio.create_task(self._resolve(batch, doubt), name="commit in doubt")
        self._in_doubt.add(task)
        task.add_done_callback(self._in_doubt.discard)

    async def _resolve(self, batch: Sequence[Waiting[RequestT, DecisionT]], doubt: CommitInDoubt) -> None:
        try:
            decisions = await self._writer.settle(doubt)
        except Exception as error:  # noqa: BLE001 - it is the requests' own answer
            for waiting in batch:
                waiting.done(error)
        else:
            for waiting, decision in zip(batch, decisions, strict=True):
                self._answer(waiting, decision)
            self._arrived.set()

    async def _decide_one(self, waiting: Waiting[RequestT, DecisionT]) -> None:
        if self._deferred.holds(waiting.request.account):
            self._answer(waiting, None)
            return
        causes = () if waiting.span is None else (waiting.span,)
        try:
            with tracing.together("batch", causes, attributes={"batch.size": 1}):
                (decision,) = await self._writer.attempt([waiting.request], "free", seconds=WRITE_SECONDS)
        except CommitInDoubt as doubt:
            self._resolve_later([waiting], doubt)
        except AccountLocked:  # another transaction is taking its key
            self._answer(waiting, None)
        except Exception as error:  # noqa: BLE001 - it is the request's own answer
            waiting.done(error)
        else:
            self._answer(waiting, decision)

    def _answer(self, waiting: Waiting[RequestT, DecisionT], decision: DecisionT | None) -> None:
        if decision is None:
            self._deferred.add(waiting, time.perf_counter())
        else:
            waiting.done(decision)


class _Awaited(Generic[RequestT, DecisionT]):
    """A request that a coroutine waits for."""

    def __init__(self, request: RequestT) -> None:
        self.request = request
        self.since = time.perf_counter()
        self.span = tracing.current()
        self.outcome: asyncio.Future[DecisionT] = asyncio.get_running_loop().create_future()

    def done(self, outcome: DecisionT | Exception) -> None:
        if self.outcome.done():
            return  # the waiting caller has gone
        if isinstance(outcome, Exception):
            self.outcome.set_exception(outcome)
        else:
            self.outcome.set_result(outcome)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait until the event is set, at most for some seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
