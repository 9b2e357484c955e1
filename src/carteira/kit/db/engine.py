"""The pool of connections, and the one place where transactions begin and end: one per request or job."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import URL, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from carteira.kit.db import positions, silence
from carteira.kit.db.address import DatabaseAddress, Replica
from carteira.kit.db.behind import Behind, count_the_leaders
from carteira.kit.db.connecting import connect
from carteira.kit.db.errors import (
    DRIVER_ERRORS,
    ELSEWHERE,
    NOT_STORABLE,
    CommitThenRaise,
    CommitUnknown,
    DatabaseDown,
    OperationInProgress,
    TextNotStorable,
    is_connection_lost,
    sqlstate_of,
)
from carteira.kit.db.gate import Gate
from carteira.kit.db.lean import LeanPool
from carteira.kit.db.reads import Reads
from carteira.kit.db.session import _AFTER_COMMIT, CurrentSession, LeanTx, ReadingSession, Tx
from carteira.kit.db.wakes import Wakes, wrote_followed_rows
from carteira.kit.ops.metrics import lean_connections, session_connections

_SERVER_SETTINGS = {
    "timezone": "UTC",
    "lock_timeout": "5000",
    "statement_timeout": "30000",
    "idle_in_transaction_session_timeout": "60000",
    "jit": "off",
}
"""Settings of every connection, unless `options` in the address override them; times in milliseconds."""
_unasked: ContextVar[bool] = ContextVar("connection_unasked", default=False)
"""Set while a connection may be taken from the pool without a transaction on it, since a read may be repeated."""
_NEW = "new"
"""Marks a connection that nobody has taken from the pool yet."""


T = TypeVar("T")


class Database:
    """The pool of connections and the one place where transactions begin and end.

    Args:
        url: The address, as libpq reads it.
        pool_size: Most connections in each of two pools.
        mark: The end of the connections' `application_name`.
        replica: The server for reads that may be some seconds old; None: the same server.

    Raises:
        AddressRefused: the URL is invalid, or has an option that some driver cannot honour.
    """

    def __init__(self, url: str, *, pool_size: int = 10, mark: str = "", replica: Replica | None = None) -> None:
        self.address = DatabaseAddress.parse(url).marked(mark)
        self._size = pool_size
        self.gate = Gate()
        self.wakes = Wakes()
        self.engine: AsyncEngine = create_async_engine(
            URL.create("postgresql+asyncpg", database=self.address.database),
            async_creator=partial(connect, self.address, _SERVER_SETTINGS),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=10,
            hide_parameters=True,  # an error's text goes to the log; a statement's values must not
        )
        event.listen(self.engine.sync_engine, "connect", _check_positions)
        event.listen(self.engine.sync_engine, "checkout", _begin)
        event.listen(self.engine.sync_engine, "handle_error", _drop_misdirected)
        silence.watch(self.engine, self.address)
        self._sessions = async_sessionmaker(self.engine, sync_session_class=CurrentSession, expire_on_commit=False)
        self._readings = async_sessionmaker(
            self.engine.execution_options(isolation_level="AUTOCOMMIT"),
            sync_session_class=ReadingSession,
            expire_on_commit=False,
        )
        self._lean = LeanPool(self.address, size=pool_size, server_settings=_SERVER_SETTINGS, gate=self.gate)
        self._unlaned = asyncio.Semaphore(max(1, pool_size // 2))
        self._count_connections(pool_size)
        self.reads = Reads(self._lean.fetch)
        self._behind = Behind(replica, _SERVER_SETTINGS) if replica is not None else None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """Open a transaction: committed when the block ends, rolled back when it raises.

        A block that raises `CommitThenRaise` is committed too, and its error raised after that.

        Raises:
            DatabaseDown: PostgreSQL is unreachable, or went away before the commit was confirmed.
            OperationInProgress: a lock was not obtained in time.
            TextNotStorable: a text holds a character that PostgreSQL does not accept (U+0000).
        """
        self.gate.pass_through()
        failure: CommitThenRaise | None = None
        with _as_facts():
            with session_connections:
                async with self._sessions() as session:
                    try:
                        yield session
                    except CommitThenRaise as raised:
                        failure = raised
                    await session.commit()
            await self._after_commit(session)
        if failure is not None:
            raise failure.error from failure

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Tx]:
        """Open a session that only reads: each statement is one trip, and sees what was committed before it.

        The connection is not pinged first, since a read may be repeated. If the server is silent,
        `kit.db.silence` ends the statement.

        Raises:
            DatabaseDown: PostgreSQL is unreachable, or the connection was dead; a new one is taken the next time.
            OperationInProgress, TextNotStorable: as `transaction`.
        """
        self.gate.pass_through()
        token = _unasked.set(True)
        try:
            with _as_facts(), session_connections:
                async with self._readings() as session:
                    yield session
        finally:
            _unasked.reset(token)

    async def read_behind(self, question: Callable[[Tx], Awaitable[T]]) -> T:
        """Run a query whose answer may be some seconds old: on the replica, or on the leader in its place.

        It only reads, and may run twice. It is not for money, nor for a person's own recent writes.

        Raises:
            DatabaseDown, OperationInProgress, TextNotStorable: as `reading`.
        """
        self.gate.pass_through()
        if self._behind is not None:
            answered = await self._behind.ask(question)
            if answered is not None:
                return answered[0]
            count_the_leaders()
        async with self.reading() as tx:
            return await question(tx)

    async def _after_commit(self, session: Tx) -> None:
        for work in session.info.pop(_AFTER_COMMIT, ()):
            await work()
        if wrote_followed_rows(session):
            self.wakes.ring()

    @asynccontextmanager
    async def lean_transaction(self, *, patient: bool = True) -> AsyncIterator[LeanTx]:
        """Open a transaction on the driver itself; see `LeanPool.transaction`. Followers are woken after it."""
        async with self._lean.transaction(patient=patient) as tx:
            yield tx
        self.wakes.ring()

    @asynccontextmanager
    async def lean_statements(self) -> AsyncIterator[Any]:
        """Yield a connection on which each statement is a transaction of its own; see `LeanPool.statements`.

        Followers are woken after it.
        """
        async with self._lean.statements() as connection:
            yield connection
        self.wakes.ring()

    @asynccontextmanager
    async def unlaned_statements(self) -> AsyncIterator[Any]:
        """Yield a connection as `lean_statements` does, for verbs without admission.

        However many such verbs run, they take at most half of the connections. The lanes keep the other half.

        Raises:
            CommitUnknown: PostgreSQL went away, or the block takes more than `silence.SIGN_OF_LIFE_SECONDS`.
            DatabaseDown: PostgreSQL is unreachable, or no connection was free within that time.
        """
        begun = False
        try:
            async with (
                asyncio.timeout(silence.SIGN_OF_LIFE_SECONDS),
                self._unlaned,
                self._lean.statements() as connection,
            ):
                begun = True
                yield connection
        except TimeoutError as error:
            self.drop_idle_lean()
            raise (CommitUnknown if begun else DatabaseDown) from error
        self.wakes.ring()

    def drop_idle_lean(self) -> None:
        """Drop idle lean connections: the server was silent, and they lead to the same server."""
        self._lean.drop_idle()

    async def check_positions(self) -> None:
        """Check the positions, as each new connection does; for code that keeps connections for long.

        Raises:
            DatabaseDown: they cannot be checked, or the offset cannot be raised now.
        """
        async with self._lean.statements() as connection:
            await positions.check(connection)

    async def ping(self) -> None:
        """Check that PostgreSQL answers.

        Raises:
            DatabaseDown: it does not.
        """
        async with self.transaction() as tx:
            await tx.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Send the wakes that are due, and close every connection."""
        self._count_connections(-self._size)
        await self.wakes.close()
        await self.engine.dispose()
        await self._lean.close()
        if self._behind is not None:
            await self._behind.close()

    def _count_connections(self, more: int) -> None:
        for pool in (session_connections, lean_connections):
            pool.add(more)


def _check_positions(connection: Any, record: Any) -> None:  # noqa: ANN401 - the library's adapters have no types
    """Check the positions before a new connection is used."""
    connection.run_async(positions.check)
    record.info[_NEW] = True


def _begin(connection: Any, record: Any, _proxy: object) -> None:  # noqa: ANN401 - the library's
    """Begin the transaction as a connection is taken from the pool: a dead or silent one is noticed, and replaced.

    The library would begin it with the first statement, which may not be repeated on another connection. On a new
    connection this function leaves the beginning to the library. If the new connection is lost, too, the caller gets
    the driver's error.

    Raises:
        InvalidatePoolError: it is dead, and so are the pool's others; a new one is opened.
    """
    if record.info.pop(_NEW, False) or _unasked.get():
        return
    try:
        connection.run_async(lambda _: _begin_in_time(connection))
    except (DBAPIError, connection.dbapi.Error, *DRIVER_ERRORS) as error:
        raise InvalidatePoolError from error


async def _begin_in_time(connection: Any) -> None:  # noqa: ANN401 - the library's
    async with asyncio.timeout(silence.SIGN_OF_LIFE_SECONDS):
        await connection._start_transaction()  # noqa: SLF001 - the library has no call for it


@contextmanager
def _as_facts() -> Iterator[None]:
    """Translate errors of the driver and the pool into facts."""
    try:
        yield
    except DBAPIError as error:
        if sqlstate_of(error) in {"55P03", "40P01"}:
            raise OperationInProgress from error
        if sqlstate_of(error) in NOT_STORABLE:
            raise TextNotStorable from error
        if is_connection_lost(error):
            raise DatabaseDown from error
        raise
    except (PoolTimeout, *DRIVER_ERRORS) as error:
        if is_connection_lost(error):
            raise DatabaseDown from error
        raise


def _drop_misdirected(context: ExceptionContext) -> None:
    """Drop the pool's connections to a database that is no longer the right one; new ones find the right one."""
    if sqlstate_of(context.original_exception) in ELSEWHERE:
        context.is_disconnect = True


@asynccontextmanager
async def open_database(url: str, *, pool_size: int = 2, replica: Replica | None = None) -> AsyncIterator[Database]:
    """Open a database for one command, and close it again."""
    database = Database(url, pool_size=pool_size, replica=replica)
    try:
        yield database
    finally:
        await database.close()
