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
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

import structlog
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from carteira import ledger
from carteira.benefits import catalog
from carteira.benefits.authorization import Authorization, Catalog, Decision, Reason, decide, refuse
from carteira.benefits.models import BenefitAccount, BenefitDecision
from carteira.kit.tx import Database, DatabaseDown, OperationInProgress, Tx

SETTLEMENT = ledger.system_account("benefits.settlement")
"""What merchants are owed."""
PURCHASE = "benefits.purchase"
"""The kind of entry that an approved decision posts, under its own id."""

StrategyName = Literal["optimistic", "pessimistic", "queue"]
MAX_CONFLICTS = 5
MAX_BATCH = 128
MAX_WAITING = 4_096
MAX_KNOWN_ACCOUNTS = 200_000

log = structlog.get_logger(__name__)


class Overloaded(Exception):
    """More requests wait than the process can serve in time."""


class CatalogChanged(Exception):
    """Categories or merchants changed since this process read them: read again, decide again."""


@dataclass(frozen=True, slots=True)
class KnownAccount:
    """A benefit account's id and its ledger account for each category."""

    id: UUID
    categories: Mapping[str, UUID]


class Authorizer:
    """Decides and writes. Holds what may be remembered between requests: the catalog and which accounts exist."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._catalog: Catalog | None = None
        self._accounts: OrderedDict[str, KnownAccount] = OrderedDict()

    async def authorize(self, requests: Sequence[Authorization], *, lock: bool) -> list[Decision]:
        """Decide requests in order and write the decisions and their entries, in one transaction.

        Raises:
            StaleBook: without `lock`, another transaction was faster; nothing was written.
            IntegrityError: one of the transaction ids was taken meanwhile by another process; nothing was written.
            DatabaseDown: PostgreSQL is unreachable; whether a commit under way happened is not known.
        """
        while True:
            try:
                async with self.database.transaction() as tx:
                    return await self._authorize(tx, requests, lock=lock)
            except CatalogChanged:
                self.forget()

    def forget(self) -> None:
        """Forget the catalog and the accounts: the next request reads them again."""
        self._catalog = None
        self._accounts.clear()

    async def _authorize(self, tx: Tx, requests: Sequence[Authorization], *, lock: bool) -> list[Decision]:
        if self._catalog is None:
            self._catalog = await catalog.load(tx)
        known = await self._find(tx, {request.account for request in requests})
        ids = [account_id for account in known.values() for account_id in account.categories.values()]
        book = await (ledger.lock if lock else ledger.read)(tx, ids)
        answered = await _answered(tx, [request.external_id for request in requests if request.external_id])
        fresh: list[Decision] = []
        decisions = []
        for request in requests:
            earlier = answered.get(request.external_id) if request.external_id else None
            if earlier is not None and earlier.content == request.content:
                decisions.append(earlier)
                continue
            decision = self._decide(request, earlier, known.get(request.account), book, self._catalog)
            fresh.append(decision)
            decisions.append(decision)
            if decision.external_id:
                answered[decision.external_id] = decision
        if book.entries:
            await ledger.write(tx, book)
        await record(tx, fresh, catalog_version=self._catalog.version)
        return decisions

    @staticmethod
    def _decide(
        request: Authorization, earlier: Decision | None, account: KnownAccount | None, book: ledger.Book, now: Catalog
    ) -> Decision:
        """Decide one request against the book and post it there if it is approved."""
        if earlier is not None:
            return refuse(request, Reason.TRANSACTION_ID_REUSED, account.id if account else None, keep_id=False)
        if account is None:
            return refuse(request, Reason.UNKNOWN_ACCOUNT, None, keep_id=True)
        available = {name: book.account(account_id).available for name, account_id in account.categories.items()}
        decision = decide(request, account.id, now, available)
        if decision.category_used is not None:
            book.post(
                ledger.transfer(
                    PURCHASE,
                    source=account.categories[decision.category_used],
                    target=SETTLEMENT,
                    amount=request.amount,
                    entry_id=request.id,
                )
            )
        return decision

    async def _find(self, tx: Tx, references: Iterable[str]) -> dict[str, KnownAccount]:
        """Give the accounts that exist, from memory or from the database. Unknown ones are not remembered."""
        found = {reference: self._accounts[reference] for reference in references if reference in self._accounts}
        missing = [reference for reference in references if reference not in found]
        if missing:
            fresh = await find_accounts(tx, missing)
            found |= fresh
            self._accounts |= fresh
            while len(self._accounts) > MAX_KNOWN_ACCOUNTS:
                self._accounts.popitem(last=False)
        return found


LEDGER_KIND = "benefits."
"""Prefix of the kinds of ledger accounts; the category's name follows."""


async def find_accounts(tx: Tx, references: Sequence[str]) -> dict[str, KnownAccount]:
    """Find benefit accounts by reference, with their ledger accounts by category."""
    accounts = {
        row.reference: row.id
        for row in await tx.execute(
            select(BenefitAccount.reference, BenefitAccount.id).where(BenefitAccount.reference.in_(references))
        )
    }
    categories = await ledger.accounts_of_holders(tx, list(accounts.values()))
    return {
        reference: KnownAccount(
            account_id,
            {view.kind.removeprefix(LEDGER_KIND): view.id for view in categories.get(account_id, [])},
        )
        for reference, account_id in accounts.items()
    }


_DECISION_COLUMNS = list(Decision.__slots__)


async def _answered(tx: Tx, external_ids: Sequence[str]) -> dict[str, Decision]:
    """Give the decisions already taken under the transaction ids."""
    if not external_ids:
        return {}
    columns = [getattr(BenefitDecision, name) for name in _DECISION_COLUMNS]
    rows = await tx.execute(select(*columns).where(BenefitDecision.external_id.in_(external_ids)))
    return {row.external_id: Decision(*row) for row in rows}


_RECORD = text("""
    INSERT INTO benefits_decisions (
        id, external_id, account_id, account, amount, mcc, merchant, fallback,
        code, reason, category_tried, category_used, rule, short_by)
    SELECT new.* FROM unnest(
        CAST(:id AS uuid[]), CAST(:external_id AS text[]), CAST(:account_id AS uuid[]), CAST(:account AS text[]),
        CAST(:amount AS bigint[]), CAST(:mcc AS text[]), CAST(:merchant AS text[]), CAST(:fallback AS boolean[]),
        CAST(:code AS text[]), CAST(:reason AS text[]), CAST(:category_tried AS text[]),
        CAST(:category_used AS text[]), CAST(:rule AS text[]), CAST(:short_by AS bigint[])
    ) AS new
    WHERE CAST(:version AS bigint) IS NULL
       OR (SELECT version FROM benefits_catalog_version) = CAST(:version AS bigint)
""")


async def record(tx: Tx, decisions: Sequence[Decision], *, catalog_version: int | None = None) -> None:
    """Write decisions down.

    Raises:
        CatalogChanged: they were taken with another version of the catalog than the present one.
    """
    if not decisions:
        return
    rows = (tuple(getattr(decision, name) for name in _DECISION_COLUMNS) for decision in decisions)
    columns = zip(*rows, strict=True)
    parameters: dict[str, object] = dict(zip(_DECISION_COLUMNS, map(list, columns), strict=True))
    result = await tx.execute(_RECORD, parameters | {"version": catalog_version})
    if result.rowcount != len(decisions):  # type: ignore[attr-defined] # an INSERT gives a cursor result
        raise CatalogChanged


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
        except IntegrityError:
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
            except (ledger.StaleBook, IntegrityError, OperationInProgress):
                continue
        return await _one(self._authorizer, request)


class Queue:
    """One queue a process; one writer takes all that wait into one transaction, in the order they came."""

    def __init__(self, authorizer: Authorizer, *, max_waiting: int = MAX_WAITING) -> None:
        self._authorizer = authorizer
        self._waiting: list[tuple[Authorization, asyncio.Future[Decision]]] = []
        self._arrived = asyncio.Event()
        self._max_waiting = max_waiting

    async def authorize(self, request: Authorization) -> Decision:
        """Join the queue and wait for the decision."""
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        self._arrived.set()
        # A request whose client has gone still counts: the writer does not ask whether anybody waits.
        return await asyncio.shield(future)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the writer; at the end it finishes what is in the queue."""
        writer = asyncio.create_task(self._write())
        try:
            yield
        finally:
            while self._waiting:  # noqa: ASYNC110 - the writer empties it
                await asyncio.sleep(0.01)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer

    async def _write(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                batch = self._waiting[:MAX_BATCH]
                await self._decide(batch)
                del self._waiting[: len(batch)]

    async def _decide(self, batch: Sequence[tuple[Authorization, asyncio.Future[Decision]]]) -> None:
        """Decide a batch; if it fails, decide its requests singly, so that none fails its neighbours."""
        try:
            decisions = await self._authorizer.authorize([request for request, _ in batch], lock=True)
        except DatabaseDown as error:
            for _, future in batch:
                _fail(future, error)
        except Exception as error:  # noqa: BLE001 - tried again one by one
            log.warning("batch failed", size=len(batch), error=type(error).__name__)
            for request, future in batch:
                await self._decide_one(request, future)
        else:
            for (_, future), decision in zip(batch, decisions, strict=True):
                if not future.done():
                    future.set_result(decision)

    async def _decide_one(self, request: Authorization, future: asyncio.Future[Decision]) -> None:
        try:
            decision = await _one(self._authorizer, request)
        except Exception as error:  # noqa: BLE001 - it is the request's own answer
            _fail(future, error)
        else:
            if not future.done():
                future.set_result(decision)


def _fail(future: asyncio.Future[Decision], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # whoever waits raises it; nobody may wait any more


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
