"""The ordinary gear for verbs without a lane: one read, and one write that compares what was read.

The write is a transaction by itself: entry, postings, the module's rows, event, audit and the answer under the key. If
the request is overtaken, or is not the plain case, the verb does the work again in a session's transaction, with locks.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from asyncpg import DeadlockDetectedError, LockNotAvailableError, PostgresError, UniqueViolationError

from carteira.kit.db.engine import Database
from carteira.kit.db.errors import NOT_STORABLE, sqlstate_of
from carteira.kit.db.session import LeanTx
from carteira.ledger.errors import StaleBook

T = TypeVar("T")
GUARDED: Final = frozenset({"CT001", "CB002", "CB003", "CA303"})
"""The SQLSTATEs by which guards of `Recorder`s refuse what was decided on outdated rows."""


async def at_once(database: Database, work: Callable[[LeanTx], Awaitable[T | None]]) -> T | None:
    """Run work that reads and then writes once; None: it declined, or another write came first and nothing was written.

    Raises:
        CommitUnknown: PostgreSQL went away, or was silent for too long, during the write.
        DatabaseDown: PostgreSQL is unreachable.
    """
    try:
        async with database.unlaned_statements() as tx:
            return await work(tx)
    except (StaleBook, UniqueViolationError, DeadlockDetectedError, LockNotAvailableError):
        return None
    except PostgresError as error:
        if sqlstate_of(error) in GUARDED | NOT_STORABLE:
            return None  # the session's way says what is wrong
        raise
