"""Statements without an answer: their connection is ended if the server does not answer on a new one either.

TCP notices a machine that is lost. It does not notice a server that is paused or waits for its disk: the kernel still
answers there, and no time-out of that server ends the statement. So while a statement or a commit has no answer in
time, the server is asked again and again over a new connection. If it answers there, the statement only takes long, and
is left alone.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog
from psycopg import AsyncConnection
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow
from sqlalchemy import Connection, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine

from carteira.kit.db.address import DatabaseAddress, DatabaseHost
from carteira.kit.db.connecting import answers, host_of

SIGN_OF_LIFE_SECONDS = 8.0
"""The longest wait for a hanging server: another one may be the leader by now."""
_WATCH = "watch"
_INTERRUPTS_SECONDS = 60.0
"""The interval at which a waiting connection polls for signals; an event loop handles them itself."""

Waited = TypeVar("Waited")

log = structlog.get_logger(__name__)


def watch(engine: AsyncEngine, address: DatabaseAddress) -> None:
    """End an engine's connections whose server is silent; their statements fail as lost."""
    watching = _Watching(address)
    sync = engine.sync_engine
    event.listen(sync, "before_cursor_execute", lambda connection, *_: watching.begin(connection))
    event.listen(sync, "after_cursor_execute", lambda connection, *_: _end(connection.info))
    event.listen(sync, "commit", watching.begin)
    event.listen(sync, "rollback", watching.begin)
    event.listen(sync, "handle_error", _end_failed)
    event.listen(sync, "checkin", lambda _, record: _end(record.info))


class _Watching:
    def __init__(self, address: DatabaseAddress) -> None:
        self._address = address

    def begin(self, connection: Connection) -> None:
        """Watch a connection, before something is sent on it, until `_end`."""
        if connection.closed or connection.invalidated:
            return
        info = connection.info
        _end(info)
        driver = connection.connection.driver_connection
        loop = asyncio.get_running_loop()

        def doubt() -> None:
            info[_WATCH] = loop.create_task(self._watch(driver))

        info[_WATCH] = loop.call_later(SIGN_OF_LIFE_SECONDS, doubt)

    async def _watch(self, driver: Any) -> None:  # noqa: ANN401 - asyncpg has no types
        await until_silent(self._address, host_of(driver))
        driver.terminate()


class WatchedConnection(AsyncConnection[TupleRow]):
    """A connection of psycopg that waits without polling, and ends if its server is silent.

    The library's connection polls ten times a second, and waits for a hanging server without a limit.
    """

    address: DatabaseAddress

    async def wait(
        self,
        gen: PQGen[Waited],
        interval: float = _INTERRUPTS_SECONDS,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
    ) -> Waited:
        """Wait until the generator has its answer from PostgreSQL."""
        watch = asyncio.create_task(self._watch())
        try:
            return await super().wait(gen, interval, timeout)
        finally:
            watch.cancel()

    async def _watch(self) -> None:
        """End the connection if a statement is under way and the server silent; listening may take any time."""
        await asyncio.sleep(SIGN_OF_LIFE_SECONDS)
        if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
            await until_silent(self.address, DatabaseHost(self.info.host, self.info.port))
            with socket.socket(fileno=os.dup(self.pgconn.socket)) as way:  # libpq then reads an end of file
                way.shutdown(socket.SHUT_RDWR)


@asynccontextmanager
async def watched(address: DatabaseAddress, **options: str) -> AsyncIterator[WatchedConnection]:
    """Open a connection of psycopg on which each statement is a transaction of its own; close it after the block.

    Its statements fail with `psycopg.OperationalError` if the server is silent.

    Args:
        address: Whose first suitable host is taken.
        options: More of libpq's keywords.

    Raises:
        psycopg.OperationalError: no host answers, or a host refuses.
    """
    conninfo = make_conninfo(address.conninfo, **options)
    async with await WatchedConnection.connect(conninfo, autocommit=True) as connection:
        connection.address = address
        yield connection


async def until_silent(address: DatabaseAddress, host: DatabaseHost) -> None:
    """Ask a server for a sign of life again and again; return once it gives none."""
    while await answers(address, host, SIGN_OF_LIFE_SECONDS):  # noqa: ASYNC110 - silence is no event to wait for
        await asyncio.sleep(SIGN_OF_LIFE_SECONDS)
    log.warning("database server silent, connection ended")


def _end(info: MutableMapping[Any, Any]) -> None:
    """Stop watching: the answer has arrived."""
    watched = info.pop(_WATCH, None)
    if watched is not None:
        watched.cancel()


def _end_failed(context: ExceptionContext) -> None:
    if context.connection is not None and not context.connection.invalidated:
        _end(context.connection.info)
