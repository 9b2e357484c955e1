"""Facts that PostgreSQL can raise in a transaction, and the classification of drivers' errors.

Indentation shows inheritance:

    Exception
      OperationInProgress
      TextNotStorable
      DatabaseDown
        CommitUnknown
      CommitThenRaise
"""

from typing import cast

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout


class OperationInProgress(Exception):
    """Another transaction has held the rows that this one needs for too long. Nothing was committed."""


class TextNotStorable(Exception):
    """A text holds a character that PostgreSQL does not accept (U+0000). Nothing was committed."""


class DatabaseDown(Exception):
    """PostgreSQL does not answer."""


class CommitThenRaise(Exception):
    """Commits the transaction and then raises the error that it carries: for a failure whose record must stay.

    Examples: a wrong code uses up a try; a refused sign-in is audited. Any other exception rolls back.
    """

    def __init__(self, error: Exception) -> None:
        self.error = error
        super().__init__(repr(error))


class CommitUnknown(DatabaseDown):
    """PostgreSQL went away during a commit, which may have taken place or not."""


NOT_STORABLE = frozenset({"22021", "22P05"})
"""The SQLSTATEs of a text that PostgreSQL does not accept."""
RESTORED = "CA201"
"""The SQLSTATE of a write into a database that was replaced under the connection (`kit.db.positions`)."""
ELSEWHERE = frozenset({RESTORED, "25006"})
"""The SQLSTATEs of a write into a database that is no longer the right one: replaced, or now a read-only replica."""


def sqlstate_of(error: BaseException) -> str | None:
    """Return the SQLSTATE of an error of either kind of transaction."""
    return cast("str | None", getattr(getattr(error, "orig", error), "sqlstate", None))


DRIVER_ERRORS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""The driver's errors. The last one: PostgreSQL ended the connection between two statements."""


def is_connection_lost(error: BaseException) -> bool:
    """Return whether an error means that PostgreSQL is unreachable, went away or was replaced.

    A wrong statement is no such error.
    """
    if isinstance(error, DBAPIError):
        if error.connection_invalidated or isinstance(error, InterfaceError):
            return True
        return error.__cause__ is not None and is_connection_lost(error.__cause__)
    if isinstance(error, asyncpg.PostgresError):
        sqlstate = error.sqlstate or ""
        return sqlstate.startswith(("08", "28", "57P", "53")) or sqlstate in {"3D000", *ELSEWHERE}
    if type(error).__module__.startswith("sqlalchemy") and error.__cause__ is not None:
        return is_connection_lost(error.__cause__)
    return isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.InternalClientError | PoolTimeout)


def was_refused(error: BaseException) -> bool:
    """Return whether PostgreSQL said that it lacks room, memory or connections: nothing was committed."""
    return (sqlstate_of(error) or "").startswith("53")
