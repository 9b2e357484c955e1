"""The authorizer: it caches the catalog, makes batches, and resolves unknown commits."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import structlog
from asyncpg import LockNotAvailableError

from carteira import ledger
from carteira.benefits import catalog
from carteira.benefits.authorizer.batch import AuthorizationBatch
from carteira.benefits.authorizer.decisions import resolve_unknown_commit
from carteira.benefits.authorizer.request import Authorization
from carteira.benefits.authorizer.rules import Catalog, Decision
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.web.state import StateKey

RESOLVE_SECONDS: Final = 40.0
"""Longer than a failover: a late answer does no harm, but a `07` for a written purchase does."""
RESOLVE_TRY_SECONDS: Final = 8.0
"""Longer than any wait for a lock: a server that is silent for longer is given up."""
RESOLVE_PAUSE_SECONDS: Final = 0.05

log = structlog.get_logger(__name__)


class Authorizer(ledger.Writer[Authorization, Decision]):
    """Decides and writes authorizations; caches the catalog until it changes."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._catalog: Catalog | None = None

    async def begin(self, requests: Sequence[Authorization]) -> AuthorizationBatch:
        """Make a batch with the cached catalog."""
        if self._catalog is None:
            async with self.database.transaction() as tx:
                self._catalog = await catalog.load(tx)
        return AuthorizationBatch(requests, self._catalog)

    def forget(self) -> None:
        """Drop the cached catalog: the next request reads it again."""
        self._catalog = None

    async def was_committed(self, batch: ledger.Batch[Authorization, Decision]) -> bool:
        """Return whether an unconfirmed write took place. The answer holds for the whole batch.

        Raises:
            DatabaseDown: PostgreSQL did not come back in time.
        """
        if not (batch.is_decided and batch.fresh):
            return batch.is_decided
        deadline = time.monotonic() + RESOLVE_SECONDS
        while True:
            try:
                async with asyncio.timeout(RESOLVE_TRY_SECONDS), self.database.lean_transaction() as tx:
                    return not await resolve_unknown_commit(tx, batch.fresh[0])
            except (DatabaseDown, LockNotAvailableError, TimeoutError) as error:
                if isinstance(error, TimeoutError):
                    self.database.drop_idle_lean()
                if time.monotonic() > deadline:
                    log.exception("commit in doubt", decisions=[str(decision.id) for decision in batch.fresh])
                    raise DatabaseDown from error
                await asyncio.sleep(RESOLVE_PAUSE_SECONDS)


AUTHORIZER = StateKey[Authorizer]("authorizer")
