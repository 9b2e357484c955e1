"""The authorizer: a batch of requests decided and written in one transaction, and three ways to get there.

Whatever the strategy, the same function decides and writes: it reads the accounts' book (locked or not), walks the
requests in order, posts the approved ones, and writes entries and decisions with one commit. The strategies differ
only in how they meet on one account (SPEC, benefits):

- `pessimistic`: one transaction a request, the accounts' rows locked;
- `optimistic`: one transaction a request, no lock; the versions are compared at the write, and after five conflicts
  the row lock is taken, so that contention alone never refuses;
- `queue`: requests pass through one queue a process, and one writer takes all that wait into one transaction.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Literal, Protocol
from uuid import UUID

import structlog
from asyncpg import DeadlockDetectedError, LockNotAvailableError, UniqueViolationError

from carteira import ledger
from carteira.benefits import catalog
from carteira.benefits.authorization import CASH, Authorization, Catalog, Decision, Reason, Rule, decide, refuse
from carteira.kit.tx import CommitUnknown, Database, DatabaseDown, LeanTx, Tx, fetch

SETTLEMENT = ledger.system_account("benefits.settlement")
"""What merchants are owed."""
PURCHASE = "benefits.purchase"
"""The kind of entry that an approved decision posts, under its own id."""

StrategyName = Literal["optimistic", "pessimistic", "queue"]
MAX_CONFLICTS = 5
MAX_BATCH = 128
MAX_WAITING = 4_096
MIN_WAITING = MAX_BATCH
MAX_WAIT_SECONDS = 0.03
FIRST_PACE = 10_000.0
PACE_WEIGHT = 0.1
MAX_KNOWN_ACCOUNTS = 200_000
RESOLVE_SECONDS = 10.0
RESOLVE_PAUSE_SECONDS = 0.05
_CONTENTION = (UniqueViolationError, DeadlockDetectedError, LockNotAvailableError)

log = structlog.get_logger(__name__)


class Overloaded(Exception):
    """More requests wait than the process can serve in time."""


class CatalogChanged(Exception):
    """Categories or merchants changed since this process read them: read again, decide again."""


class Authorizer:
    """Decides and writes. Holds what may be remembered between requests: the catalog and which accounts exist."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._catalog: Catalog | None = None
        self._accounts: OrderedDict[str, UUID] = OrderedDict()

    async def authorize(self, requests: Sequence[Authorization], *, lock: bool) -> list[Decision]:
        """Decide requests in order and write the decisions and their entries, in one transaction.

        Raises:
            StaleBook: without `lock`, another transaction was faster; nothing was written.
            UniqueViolationError: a transaction id was taken meanwhile by another process; nothing was written.
            DatabaseDown: PostgreSQL is unreachable; nothing was written, or that is not known.
        """
        everything = not lock
        while True:
            now = await self._catalog_now()
            try:
                async with self.database.lean_transaction() as tx:
                    known = await self._find(tx, {request.account for request in requests})
                    batch = _Batch(requests, now, known)
                    await batch.run(tx, lock=lock, everything=everything)
            except CatalogChanged:
                self.forget()
            except ledger.StaleBook:
                if everything:
                    raise
                everything = True
            except CommitUnknown:
                if not await self._happened(batch):
                    raise
                return batch.decisions
            else:
                return batch.decisions

    async def _happened(self, batch: "_Batch") -> bool:
        """Find out whether a commit that PostgreSQL did not confirm took place; the batch has one answer for all.

        Locking the accounts first waits for a server process that may still be committing.

        Raises:
            DatabaseDown: PostgreSQL did not come back in time.
        """
        if not batch.fresh:
            return True
        deadline = time.monotonic() + RESOLVE_SECONDS
        while True:
            try:
                async with self.database.lean_transaction() as tx:
                    await ledger.book_of(tx, batch.named.keys() | batch.spare, lock=True)
                    return bool(await fetch(tx, "SELECT FROM benefits_decisions WHERE id = $1", batch.fresh[0].id))
            except DatabaseDown:
                if time.monotonic() > deadline:
                    log.exception("commit in doubt", decisions=[str(decision.id) for decision in batch.fresh])
                    raise
                await asyncio.sleep(RESOLVE_PAUSE_SECONDS)

    def forget(self) -> None:
        """Forget the catalog: the next request reads it again. Accounts stay: they are never renamed nor deleted."""
        self._catalog = None

    async def _catalog_now(self) -> Catalog:
        if self._catalog is None:
            async with self.database.transaction() as tx:
                self._catalog = await catalog.load(tx)
        return self._catalog

    async def _find(self, tx: LeanTx, references: set[str]) -> dict[str, UUID]:
        """Give the ids of the accounts that exist, from memory or else from the database.

        Unknown accounts are not remembered.
        """
        known = self._accounts
        found = {reference: known[reference] for reference in references if reference in known}
        if len(found) < len(references):
            fresh = await find_accounts(tx, [reference for reference in references if reference not in found])
            found |= fresh
            known |= fresh
            while len(known) > MAX_KNOWN_ACCOUNTS:
                known.popitem(last=False)
        return found


_FIND = "SELECT reference, id FROM benefits_accounts WHERE reference = ANY($1)"


async def find_accounts(tx: Tx | LeanTx, references: Sequence[str]) -> dict[str, UUID]:
    """Give the ids of the benefit accounts that exist, by reference."""
    return {row[0]: row[1] for row in await fetch(tx, _FIND, references)}


class _Batch:
    """Requests on their way through one transaction."""

    def __init__(self, requests: Sequence[Authorization], now: Catalog, known: Mapping[str, UUID]) -> None:
        self.catalog = now
        self.known = known
        self.categorised = [(request, now.categorise(request.mcc, request.merchant)) for request in requests]
        self.named: dict[tuple[UUID, str], int] = {}
        """Ledger accounts of the purchases' categories, by holder and kind, and what is asked of each in all."""
        self.spare: set[tuple[UUID, str]] = set()
        """The CASH that may pay in their stead."""
        self._name_payers()
        self.decisions: list[Decision] = []
        self.fresh: list[Decision] = []

    def _name_payers(self) -> None:
        named = self.named
        for request, (category, _) in self.categorised:
            account_id = self.known.get(request.account)
            if account_id is not None:
                payer = (account_id, LEDGER_KIND + category)
                named[payer] = named.get(payer, 0) + request.amount
                if request.fallback:
                    self.spare.add((account_id, LEDGER_KIND + CASH))

    async def run(self, tx: LeanTx, *, lock: bool, everything: bool) -> None:
        """Read the book, walk the requests in order, write what came of it.

        CASH that may pay in another's stead is read with the rest (`everything`), or else only where it may be needed;
        then it is locked if that can be had at once.

        Raises:
            StaleBook: it cannot; or, without `lock`, another transaction was faster.
            CatalogChanged: the catalog is another one now.
        """
        payers = self.named.keys() | self.spare if everything else self.named.keys()
        book = await ledger.book_of(tx, payers, lock=lock)
        accounts = _by_holder(book)
        if not everything and (short := self._short(accounts)):
            book.take_in(await ledger.book_of(tx, short, lock=lock, wait=False))
            accounts = _by_holder(book)
        ids = [request.external_id for request, _ in self.categorised if request.external_id]
        answered = await _answered(tx, ids) if ids else {}
        for request, category in self.categorised:
            earlier = answered.get(request.external_id) if request.external_id else None
            if earlier is not None and earlier.content == request.content:
                self.decisions.append(earlier)
                continue
            decision = self._decide(request, category, earlier, book, accounts)
            self.fresh.append(decision)
            self.decisions.append(decision)
            if decision.external_id:
                answered[decision.external_id] = decision
        if self.fresh:
            await self._write(tx, book)

    def _short(self, accounts: "Accounts") -> set[tuple[UUID, str]]:
        """Name the CASH that may have to pay: its holder's category does not cover all that this batch asks of it."""
        short = {
            payer[0]
            for payer, asked in self.named.items()
            if (account := accounts.get(payer)) is None or account.available < asked
        }
        return {payer for payer in self.spare if payer[0] in short and payer not in accounts}

    async def _write(self, tx: LeanTx, book: ledger.Book) -> None:
        """Write the book and the decisions, in one round trip.

        Raises:
            CatalogChanged: the decisions were taken with another version of the catalog than the present one.
        """
        recorded = await ledger.write(tx, book, along=_RECORD_ALONG, values=(self.fresh, self.catalog.version))
        if recorded[0][0] != len(self.fresh):
            raise CatalogChanged

    def _decide(
        self,
        request: Authorization,
        category: tuple[str, Rule],
        earlier: Decision | None,
        book: ledger.Book,
        accounts: "Accounts",
    ) -> Decision:
        """Decide one request against the book and post it there if it is approved."""
        account_id = self.known.get(request.account)
        if earlier is not None:
            return refuse(request, Reason.TRANSACTION_ID_REUSED, account_id, keep_id=False)
        if account_id is None:
            return refuse(request, Reason.UNKNOWN_ACCOUNT, None, keep_id=True)
        named = accounts.get((account_id, LEDGER_KIND + category[0]))
        cash = accounts.get((account_id, LEDGER_KIND + CASH)) if request.fallback else None
        decision = decide(
            request,
            account_id,
            category,
            available=named.available if named else 0,
            cash=cash.available if cash else 0,
        )
        payer = named if decision.category_used == category[0] else cash
        if decision.category_used is not None and payer is not None:
            book.post(
                ledger.transfer(
                    PURCHASE, source=payer.id, target=SETTLEMENT, amount=request.amount, entry_id=request.id
                )
            )
        return decision


Accounts = Mapping[tuple[UUID | None, str], ledger.Account]
"""Ledger accounts by holder and kind."""


def _by_holder(book: ledger.Book) -> Accounts:
    return {(account.holder_id, account.kind): account for account in book.accounts.values()}


LEDGER_KIND = "benefits."
"""Prefix of the kinds of ledger accounts; the category's name follows."""


_DECISION_COLUMNS = Decision._fields


_ANSWERED = f"SELECT {', '.join(_DECISION_COLUMNS)} FROM benefits_decisions WHERE external_id = ANY($1)"  # noqa: S608 - constants


async def _answered(tx: LeanTx, external_ids: Sequence[str]) -> dict[str, Decision]:
    """Give the decisions already taken under the transaction ids."""
    return {row[1]: Decision(*row) for row in await fetch(tx, _ANSWERED, external_ids)}


_RECORD = f"""
    INSERT INTO benefits_decisions ({", ".join(_DECISION_COLUMNS)})
    SELECT new.* FROM unnest($%d::benefits_new_decision[]) AS new
"""  # noqa: S608 - constants
_RECORD_ALONG = f"""
    , recorded AS (
        {_RECORD % 5}
        WHERE (SELECT count(*) FROM written) = 1 AND (SELECT version FROM benefits_catalog_version) = $6
        RETURNING 1
    )
    SELECT count(*) FROM recorded
"""  # noqa: S608 - constants


async def record(tx: Tx | LeanTx, decisions: Sequence[Decision]) -> None:
    """Write down decisions that move nothing and hang on no balance."""
    await fetch(tx, _RECORD % 1, decisions)


class Strategy(Protocol):
    """How requests of one account meet."""

    async def authorize(self, request: Authorization) -> Decision:
        """Decide one request.

        Raises:
            Overloaded: too many wait.
            DatabaseDown: PostgreSQL is unreachable.
        """
        ...


async def _one(authorizer: Authorizer, request: Authorization) -> Decision:
    """Decide one request under the row lock; a transaction id taken meanwhile is found on the second look."""
    for _ in range(3):
        try:
            return (await authorizer.authorize([request], lock=True))[0]
        except _CONTENTION:
            continue
    return (await authorizer.authorize([request], lock=True))[0]


class Pessimistic:
    """One transaction a request, under the accounts' row locks."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def authorize(self, request: Authorization) -> Decision:
        """Decide one request."""
        return await _one(self._authorizer, request)


class Optimistic:
    """One transaction a request, no lock, versions compared at the write."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def authorize(self, request: Authorization) -> Decision:
        """Decide one request; after five conflicts, under the lock."""
        for _ in range(MAX_CONFLICTS):
            try:
                return (await self._authorizer.authorize([request], lock=False))[0]
            except (ledger.StaleBook, *_CONTENTION):
                continue
        return await _one(self._authorizer, request)


Done = Callable[[Decision | Exception], None]
"""Takes a request's outcome; called exactly once, in the event loop."""


class Queue:
    """One queue a process; one writer takes all that wait into one transaction, in the order they came.

    No more requests are let in than can be answered within `MAX_WAIT_SECONDS` at the pace seen lately: the others are
    turned away at once, so that neither the wait nor the memory grows beyond capacity.
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
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
                began = time.perf_counter()
                await self._decide(batch)
                self._measure(len(batch), time.perf_counter() - began)
            if stopping.is_set():
                self._arrived.set()

    def _measure(self, size: int, seconds: float) -> None:
        """Follow the pace in requests a second; small batches say little about what a full one could do."""
        pace = max(size, MAX_BATCH // 2) / max(seconds, 1e-6)
        self._pace += (pace - self._pace) * PACE_WEIGHT
        self._room = self._room_at(self._pace)

    @staticmethod
    def _room_at(pace: float) -> int:
        return min(MAX_WAITING, max(MIN_WAITING, int(pace * MAX_WAIT_SECONDS)))

    async def _decide(self, batch: Sequence[tuple[Authorization, Done]]) -> None:
        """Decide a batch; if it fails, decide its requests singly, so that none fails its neighbours."""
        try:
            decisions = await self._authorizer.authorize([request for request, _ in batch], lock=True)
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
            outcome: Decision | Exception = await _one(self._authorizer, request)
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
