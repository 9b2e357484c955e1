"""The pool of connections, and the one place where transactions begin and end: one per request or job."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from carteira.kit.db.errors import CommitUnknown, DatabaseDown, OperationInProgress, is_connection_lost, sqlstate_of
from carteira.kit.db.session import _AFTER_COMMIT, LeanTx, Tx
from carteira.kit.web.problems import InvalidInput

_SERVER_SETTINGS = {
    "application_name": "carteira",
    "timezone": "UTC",
    "lock_timeout": "5000",
    "statement_timeout": "30000",
    "idle_in_transaction_session_timeout": "60000",
    "jit": "off",
}
"""Of every connection; times in milliseconds."""
_LEAN_SETTINGS = {
    **_SERVER_SETTINGS,
    "lock_timeout": "50",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
"""Of the driver's own connections: a hot path's few statements look rows up by their keys, are planned once, and not
by what the tables held then. Whoever has a tenth of a second for an answer waits for nobody's lock for long."""
_BEGIN_PATIENTLY = f"BEGIN; SET LOCAL lock_timeout = {_SERVER_SETTINGS['lock_timeout']}"


def async_url(url: str) -> str:
    """Name the asyncpg driver in a plain `postgresql://` URL."""
    _, _, rest = url.partition("://")
    return f"postgresql+asyncpg://{rest}"


class Database:
    """The pool of connections and the one place where transactions begin and end."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.engine: AsyncEngine = create_async_engine(
            async_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=10,
            pool_pre_ping=True,
            hide_parameters=True,  # an error's text goes to the log, a statement's values do not
            connect_args={
                "timeout": 5,
                "server_settings": _SERVER_SETTINGS,
            },
        )
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self._lean_options: dict[str, Any] = {
            "dsn": "postgresql://" + url.partition("://")[2],
            "timeout": 10,
            "command_timeout": 35,
            "server_settings": _LEAN_SETTINGS,
        }
        self._lean_places = asyncio.Semaphore(pool_size)
        self._lean_idle: list[asyncpg.Connection] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """Open a transaction: committed when the block ends, rolled back when it raises.

        Raises:
            DatabaseDown: PostgreSQL is unreachable, or went away before the commit was confirmed.
            OperationInProgress: a lock was not to be had in time.
            InvalidInput: a text holds a character that PostgreSQL does not take (U+0000).
        """
        try:
            async with self._sessions.begin() as session:
                yield session
            for work in session.info.pop(_AFTER_COMMIT, ()):
                await work()
        except DBAPIError as error:
            if sqlstate_of(error) in {"55P03", "40P01"}:
                raise OperationInProgress from error
            if sqlstate_of(error) in {"22021", "22P05"}:
                raise InvalidInput("Um texto enviado tem um caractere que não pode ser guardado.") from error
            if is_connection_lost(error):
                raise DatabaseDown from error
            raise
        except (OSError, PoolTimeout, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if is_connection_lost(error):
                raise DatabaseDown from error
            raise

    @asynccontextmanager
    async def lean_transaction(self) -> AsyncIterator[LeanTx]:
        """Open a transaction on the driver itself, as `transaction` does on a session: it waits for locks as long.

        Raises:
            CommitUnknown: PostgreSQL went away meanwhile.
            DatabaseDown: PostgreSQL is unreachable.
        """
        async with self.lean_statements() as connection:
            await connection.execute(_BEGIN_PATIENTLY)
            try:
                yield connection
            except BaseException:
                if not connection.is_closed():
                    await connection.execute("ROLLBACK")
                raise
            await connection.execute("COMMIT")

    @asynccontextmanager
    async def lean_statements(self) -> AsyncIterator[Any]:
        """Give a connection of the driver itself on which each statement is a transaction of its own.

        A lock is waited for 50 ms, then the statement fails with the driver's `LockNotAvailableError`.

        It costs a round trip less than a transaction does at its beginning and at its end. Connections are kept
        plainly: nothing is left behind on one that would have to be cleaned, and the driver's own pool costs more than
        a small statement does.

        Raises:
            CommitUnknown: PostgreSQL went away meanwhile.
            DatabaseDown: PostgreSQL is unreachable.
        """
        lost: type[DatabaseDown] = DatabaseDown
        try:
            async with self._lean_places:
                connection = await self._lean_connection()
                lost = CommitUnknown
                try:
                    yield connection
                except (asyncio.CancelledError, TimeoutError):
                    connection.terminate()  # its statement may still be running
                    raise
                finally:
                    if not connection.is_closed():
                        self._lean_idle.append(connection)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
            if is_connection_lost(error):
                raise lost from error
            raise

    async def _lean_connection(self) -> Any:  # noqa: ANN401 - asyncpg has no types
        while self._lean_idle:
            connection = self._lean_idle.pop()
            if not connection.is_closed():
                return connection
        return await asyncpg.connect(**self._lean_options)

    async def ping(self) -> None:
        """Ask PostgreSQL for a sign of life.

        Raises:
            DatabaseDown: there is none.
        """
        async with self.transaction() as tx:
            await tx.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()
        while self._lean_idle:
            await self._lean_idle.pop().close()


@asynccontextmanager
async def open_database(url: str, *, pool_size: int = 2) -> AsyncIterator[Database]:
    """Open a database for one command, and close it again."""
    database = Database(url, pool_size=pool_size)
    try:
        yield database
    finally:
        await database.close()
