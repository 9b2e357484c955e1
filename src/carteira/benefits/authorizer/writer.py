"""The authorizer: a batch of requests decided and written together.

Whatever the strategy (`strategies`), the same function decides and writes: it reads the accounts' book (locked or
not), walks the requests in order, posts the approved ones, and writes entries and decisions with one commit.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import cast

import structlog
from asyncpg import DeadlockDetectedError, LockNotAvailableError, UniqueViolationError

from carteira import ledger
from carteira.benefits import catalog
from carteira.benefits.authorizer.batch import Batch, CatalogChanged, ConcurrencyMode, Memory
from carteira.benefits.authorizer.decisions import resolve_unknown_commit
from carteira.benefits.authorizer.request import Authorization
from carteira.benefits.authorizer.rules import Catalog, Decision
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import CommitUnknown, DatabaseDown

MAX_CONFLICTS = 5
MAX_CONFLICTS_LOCKED = 3
RESOLVE_SECONDS = 10.0
RESOLVE_PAUSE_SECONDS = 0.05
_CONFLICTS = (ledger.StaleBook, UniqueViolationError, DeadlockDetectedError)

log = structlog.get_logger(__name__)


class AccountLocked(Exception):
    """Somebody else keeps an account locked."""


class Authorizer:
    """Decides and writes. Holds what may be remembered between requests: the catalog, and what accounts had."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._catalog: Catalog | None = None
        self._memory = Memory()

    async def authorize(self, requests: Sequence[Authorization], meeting: ConcurrencyMode) -> list[Decision]:
        """Decide requests in order and write the decisions and their entries, with one commit.

        What another transaction was faster at (an account, a transaction id) is read and decided again, from the
        `MAX_CONFLICTS`th time on with the accounts locked.

        Raises:
            StaleBook, UniqueViolationError, DeadlockDetectedError: that did not help; nothing was written.
            AccountLocked: somebody has kept an account locked for too long; nothing was written.
            DatabaseDown: PostgreSQL is unreachable; nothing was written, or that is not known.
        """
        assert meeting != "free", "then some would be left undecided"
        return cast("list[Decision]", await self._settle(requests, meeting))

    async def authorize_free(self, requests: Sequence[Authorization]) -> list[Decision | None]:
        """The same, without waiting for locks: None for a request whose account somebody else has locked."""
        return await self._settle(requests, "free")

    async def _settle(self, requests: Sequence[Authorization], meeting: ConcurrencyMode) -> list[Decision | None]:
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
            except LockNotAvailableError as error:
                if meeting != "compared" or conflicts >= MAX_CONFLICTS:
                    raise AccountLocked from error
                conflicts += 1
            except _CONFLICTS:
                conflicts += 1
                if conflicts == MAX_CONFLICTS + MAX_CONFLICTS_LOCKED:
                    raise
            else:
                return batch.decisions

    async def _run(self, batch: Batch, meeting: ConcurrencyMode, conflicts: int) -> None:
        if meeting in {"locked", "free"} or conflicts >= MAX_CONFLICTS:
            async with self.database.lean_transaction() as tx:
                await batch.run(tx, "free" if meeting == "free" else "locked")
        elif meeting == "compared" or conflicts:
            async with self.database.lean_statements() as tx:
                await batch.run(tx, meeting)
        else:
            async with self.database.lean_statements() as tx:
                await batch.run(tx, meeting, memory=self._memory, look_up=False)
        if meeting in {"free", "followed"}:
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
                async with self.database.lean_transaction() as tx:
                    return not await resolve_unknown_commit(tx, batch.fresh[0])
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
