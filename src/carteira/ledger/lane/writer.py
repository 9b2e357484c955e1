"""The writer: decides and writes batches of a module's requests with one commit each, and handles failures.

It reads the accounts' book (locked or not), decides the requests in order, posts approved ones, and writes entries and
the module's rows together.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, cast

from asyncpg import DeadlockDetectedError, LockNotAvailableError, UniqueViolationError

from carteira.kit.db.engine import Database
from carteira.kit.db.errors import CommitUnknown, DatabaseDown
from carteira.ledger.errors import StaleBook
from carteira.ledger.lane.batch import Batch, ConcurrencyMode, DecisionT, Memory, Outdated, RequestT

MAX_CONFLICTS = 5
MAX_CONFLICTS_LOCKED = 3
CONFIRM_SECONDS = 8.0
"""The longest wait for the commit that has to be confirmed after one that was not."""
_CONFLICTS = (StaleBook, UniqueViolationError, DeadlockDetectedError)


class AccountLocked(Exception):
    """Another transaction keeps an account locked."""


class CommitInDoubt(Exception):
    """PostgreSQL went away, or was silent for too long, before it confirmed a batch."""

    def __init__(self, batch: Batch[Any, Any]) -> None:
        self.batch = batch
        super().__init__(type(batch).__name__)


class Writer(ABC, Generic[RequestT, DecisionT]):
    """Decides and writes batches. It holds the cache of accounts."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._memory = Memory()
        self._left_unconfirmed = False
        """Whether PostgreSQL did not confirm a batch, and nothing since."""

    @abstractmethod
    async def begin(self, requests: Sequence[RequestT]) -> Batch[RequestT, DecisionT]:
        """Make a batch."""

    def forget(self) -> None:
        """Drop the module's own cached data, if any: the next batch reads them again."""

    async def was_committed(self, batch: Batch[RequestT, DecisionT]) -> bool:
        """Determine whether an unconfirmed batch was committed.

        By default it stays unknown: the caller gets an error, and may repeat the request under the same key.
        """
        del batch
        return False

    async def decide(self, requests: Sequence[RequestT], mode: ConcurrencyMode) -> list[DecisionT]:
        """Decide requests in order and write the decisions and their entries, with one commit.

        After a conflict with another transaction (an account, a key) it reads and decides again, from the
        `MAX_CONFLICTS`th time on with the accounts locked.

        Raises:
            StaleBook, UniqueViolationError, DeadlockDetectedError: the conflict remained; nothing was written.
            AccountLocked: an account was locked for too long; nothing was written.
            DatabaseDown: PostgreSQL is unreachable; nothing was written, or that is unknown.
        """
        assert mode != "free", "then some would be left undecided"
        try:
            return cast("list[DecisionT]", await self.attempt(requests, mode))
        except CommitInDoubt as doubt:
            return cast("list[DecisionT]", await self.settle(doubt))

    async def settle(self, doubt: CommitInDoubt) -> list[DecisionT | None]:
        """Resolve a batch's unknown commit, waiting a reasonable time for PostgreSQL, and return its decisions.

        Raises:
            DatabaseDown: it was not committed, or that could not be determined.
        """
        if not await self.was_committed(doubt.batch):
            raise DatabaseDown from doubt
        return doubt.batch.decisions

    async def attempt(
        self, requests: Sequence[RequestT], mode: ConcurrencyMode, *, seconds: float | None = None
    ) -> list[DecisionT | None]:
        """Decide as `decide` does, but leave an unknown commit unresolved, also after a time-out.

        With `free` it waits for no account: a request with a locked one gets None. For a key that another transaction
        is taking it waits 50 ms.

        Raises:
            CommitInDoubt: it is unknown whether it was committed.
            AccountLocked: an account, or with `free` a key, was locked for too long; nothing was written.
            DatabaseDown, StaleBook, UniqueViolationError, DeadlockDetectedError: as `decide`.
        """
        if self._left_unconfirmed:
            await self._require_confirmation()
        try:
            return await self._attempt(requests, mode, seconds)
        except CommitInDoubt:
            self._left_unconfirmed = True
            raise

    async def _require_confirmation(self) -> None:
        """Require that PostgreSQL confirms a commit of nothing.

        A leader without its synchronous replicas confirms no commit and refuses none: a batch that it gets would be
        written once they are back, long after its requests were answered.

        Raises:
            DatabaseDown: it does not.
        """
        try:
            async with asyncio.timeout(CONFIRM_SECONDS), self.database.lean_statements() as tx:
                await tx.execute("SELECT pg_logical_emit_message(true, 'carteira', '')")
        except TimeoutError as error:
            self.database.drop_idle_lean()
            raise DatabaseDown from error
        self._left_unconfirmed = False

    async def _attempt(
        self, requests: Sequence[RequestT], mode: ConcurrencyMode, seconds: float | None
    ) -> list[DecisionT | None]:
        conflicts = 0
        while True:
            batch = await self.begin(requests)
            try:
                async with asyncio.timeout(seconds):
                    await self._run(batch, mode, conflicts)
            except Outdated:
                self.forget()
            except CommitUnknown as error:
                raise CommitInDoubt(batch) from error
            except TimeoutError as error:
                self.database.drop_idle_lean()
                raise CommitInDoubt(batch) from error
            except LockNotAvailableError as error:
                if mode != "compared" or conflicts >= MAX_CONFLICTS:
                    raise AccountLocked from error
                conflicts += 1
            except _CONFLICTS:
                conflicts += 1
                if conflicts == MAX_CONFLICTS + MAX_CONFLICTS_LOCKED:
                    raise
            else:
                return batch.decisions

    async def _run(self, batch: Batch[RequestT, DecisionT], mode: ConcurrencyMode, conflicts: int) -> None:
        if mode in {"locked", "free"} or conflicts >= MAX_CONFLICTS:
            async with self.database.lean_transaction(patient=mode != "free") as tx:
                await batch.run(tx, "free" if mode == "free" else "locked")
        elif mode == "compared" or conflicts:
            async with self.database.lean_statements() as tx:
                await batch.run(tx, mode, look_up=conflicts > 0)
        else:
            async with self.database.lean_statements() as tx:
                await batch.run(tx, mode, memory=self._memory, look_up=False)
        if mode in {"free", "remembered"}:
            self._memory.remember(batch)
