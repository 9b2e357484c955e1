"""The writer: batches of a module's requests, decided and written with one commit each, and what may go wrong.

It reads the accounts' book (locked or not), walks the requests in order, posts what is approved, and writes entries and
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
_CONFLICTS = (StaleBook, UniqueViolationError, DeadlockDetectedError)


class AccountLocked(Exception):
    """Somebody else keeps an account locked."""


class CommitInDoubt(Exception):
    """PostgreSQL went away, or was silent for too long, before it said whether a batch took place."""

    def __init__(self, batch: Batch[Any, Any]) -> None:
        self.batch = batch
        super().__init__(type(batch).__name__)


class Writer(ABC, Generic[RequestT, DecisionT]):
    """Decides and writes. Holds what may be remembered between requests: what accounts had."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._memory = Memory()

    @abstractmethod
    async def begin(self, requests: Sequence[RequestT]) -> Batch[RequestT, DecisionT]:
        """Make a batch."""

    def forget(self) -> None:
        """Forget what the module keeps in memory beside accounts, if anything: the next batch reads it again."""

    async def happened(self, batch: Batch[RequestT, DecisionT]) -> bool:
        """Find out whether a batch took place whose commit PostgreSQL did not confirm.

        If not told otherwise, that is left in doubt: whoever asked is told so, and asks again under the same key.
        """
        del batch
        return False

    async def decide(self, requests: Sequence[RequestT], mode: ConcurrencyMode) -> list[DecisionT]:
        """Decide requests in order and write the decisions and their entries, with one commit.

        What another transaction was faster at (an account, a key) is read and decided again, from the
        `MAX_CONFLICTS`th time on with the accounts locked.

        Raises:
            StaleBook, UniqueViolationError, DeadlockDetectedError: that did not help; nothing was written.
            AccountLocked: somebody has kept an account locked for too long; nothing was written.
            DatabaseDown: PostgreSQL is unreachable; nothing was written, or that is not known.
        """
        assert mode != "free", "then some would be left undecided"
        try:
            return cast("list[DecisionT]", await self.attempt(requests, mode))
        except CommitInDoubt as doubt:
            return cast("list[DecisionT]", await self.settle(doubt))

    async def settle(self, doubt: CommitInDoubt) -> list[DecisionT | None]:
        """Find out what became of a batch, however long PostgreSQL is away within reason, and return its decisions.

        Raises:
            DatabaseDown: it did not take place, or that was not to be found out.
        """
        if not await self.happened(doubt.batch):
            raise DatabaseDown from doubt
        return doubt.batch.decisions

    async def attempt(
        self, requests: Sequence[RequestT], mode: ConcurrencyMode, *, seconds: float | None = None
    ) -> list[DecisionT | None]:
        """Decide as `decide` does, and leave open what is in doubt, also after some seconds.

        By `free` no lock is waited for: None for a request whose account somebody else has locked.

        Raises:
            CommitInDoubt: whether it took place is not known.
            AccountLocked, DatabaseDown, StaleBook, UniqueViolationError, DeadlockDetectedError: as `decide`.
        """
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
                self.database.give_up_lean()
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
            async with self.database.lean_transaction() as tx:
                await batch.run(tx, "free" if mode == "free" else "locked")
        elif mode == "compared" or conflicts:
            async with self.database.lean_statements() as tx:
                await batch.run(tx, mode)
        else:
            async with self.database.lean_statements() as tx:
                await batch.run(tx, mode, memory=self._memory, look_up=False)
        if mode in {"free", "remembered"}:
            self._memory.keep(batch)
