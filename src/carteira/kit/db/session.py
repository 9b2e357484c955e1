"""The transactions of verbs: SQLAlchemy's, or the driver's own."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import ORMExecuteState, Session

from carteira.kit.db.base import Base

Row = TypeVar("Row", bound=Base)
Tx = AsyncSession
"""An open transaction, the first argument of verbs, which flush and never commit."""


class CurrentSession(Session):
    """A session whose selects return rows as they are now.

    A plain session keeps rows that it has read, and ignores newer values that a later select or lock returns: after a
    lock, code would act on what was read before it. Unwritten changes are flushed before each select.
    """


@event.listens_for(CurrentSession, "do_orm_execute")
def _refresh_known_rows(state: ORMExecuteState) -> None:
    if state.is_select and not state.is_column_load:
        state.update_execution_options(populate_existing=True)


class ReadingSession(CurrentSession):
    """A session whose statements are transactions of their own. It never holds unwritten changes."""


@event.listens_for(ReadingSession, "before_flush")
def _refuse_to_write(*_arguments: object) -> None:
    raise TypeError("a session that only reads was given rows to write")


class LeanTx(Protocol):
    """An open transaction on the driver itself (asyncpg's connection), for the few verbs that a hot path calls."""

    async def fetch(self, query: str, *args: object) -> list[Any]:
        """Run a statement and return its rows."""
        ...


_AFTER_COMMIT = "after_commit"


async def fetch(tx: Tx | LeanTx, sql: str, *values: object) -> Sequence[Any]:
    """Run a statement with `$1` parameters in either kind of transaction and return its rows.

    For verbs on a hot path: on the driver it costs a third of a session's statement.
    """
    if isinstance(tx, AsyncSession):
        connection = await tx.connection()
        result = await connection.exec_driver_sql(sql, values)
        return result.all() if result.returns_rows else ()
    rows: Sequence[Any] = await tx.fetch(sql, *values)
    return rows


def after_commit(tx: Tx, work: Callable[[], Awaitable[None]]) -> None:
    """Register work to run after the commit and before the answer leaves; a rollback drops it.

    It is for state outside PostgreSQL (a cache to invalidate). Nothing can be undone by then: if the work raises, the
    answer reports it, and work that was registered later does not run.
    """
    tx.info.setdefault(_AFTER_COMMIT, []).append(work)


async def roll_back(tx: Tx) -> None:
    """Undo a transaction so far, with the work registered for its commit; it continues as a new one."""
    await tx.rollback()
    tx.info.clear()


async def locked(tx: Tx, table: type[Row], key: object) -> Row | None:
    """Lock a row by its primary key and return it as it is now; None if there is none.

    `get` alone would return a row that the session has read before, without asking PostgreSQL.
    """
    return await tx.get(table, key, with_for_update=True, populate_existing=True)


async def locked_one(tx: Tx, table: type[Row], key: object) -> Row:
    """Return `locked`'s row, which must exist.

    Raises:
        NoResultFound: there is none.
    """
    return await tx.get_one(table, key, with_for_update=True, populate_existing=True)
