"""The ordinary gear for verbs without a lane: one read, and one write that compares what was read.

The write is a transaction by itself: entry, postings, the module's rows, event, audit and the answer under the key. If
the request is overtaken, or is not the plain case, the verb does the work again in a session's transaction, with locks.
Redis is asked for the caller's marks while the read is under way; the write leaves once they are confirmed.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from asyncpg import DeadlockDetectedError, LockNotAvailableError, PostgresError, UniqueViolationError

from carteira.kit.db.engine import Database
from carteira.kit.db.errors import NOT_STORABLE, CommitUnknown, sqlstate_of
from carteira.kit.db.session import LeanTx
from carteira.kit.security import audit
from carteira.ledger.errors import StaleBook
from carteira.ledger.recorder import WRITE

T = TypeVar("T")
GUARDED: Final = frozenset({"CT001", "CB002", "CB003", "CA303"})
"""The SQLSTATEs by which guards of `Recorder`s refuse what was decided on outdated rows."""


@dataclass(slots=True)
class _Noting:
    """A connection, and whether a book was sent over it. The caller's rights are confirmed before one is."""

    tx: LeanTx
    has_sent_book: bool = False

    async def fetch(self, query: str, *args: object) -> list[Any]:
        if query.startswith(WRITE):
            await audit.confirm_caller()
            self.has_sent_book = True
        return await self.tx.fetch(query, *args)


async def at_once(database: Database, work: Callable[[LeanTx], Awaitable[T | None]]) -> T | None:
    """Run work that reads and then writes once, and return its result; None: nothing was written.

    The work may decline, another write may come first, or the connection may be lost while reading. The caller then
    does the work in a session's transaction.

    Raises:
        CommitUnknown: PostgreSQL went away, or was silent for too long, during the write.
        DatabaseDown: PostgreSQL is unreachable.
    """
    noting: _Noting | None = None
    try:
        async with database.unlaned_statements() as tx:
            noting = _Noting(tx)
            return await work(noting)
    except CommitUnknown:
        if noting is None or noting.has_sent_book:
            raise
        database.drop_idle_lean()  # the pool's other connections are lost too
        return None
    except (StaleBook, UniqueViolationError, DeadlockDetectedError, LockNotAvailableError):
        return None
    except PostgresError as error:
        if sqlstate_of(error) in GUARDED | NOT_STORABLE:
            return None  # the session's transaction reports the error
        raise
