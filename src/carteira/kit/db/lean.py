"""Connections of the driver itself, for a hot path's few statements: a statement costs a third of a session's."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from carteira.kit.db import positions, silence
from carteira.kit.db.address import DatabaseAddress
from carteira.kit.db.connecting import connect
from carteira.kit.db.errors import (
    DRIVER_ERRORS,
    ELSEWHERE,
    NOT_STORABLE,
    CommitUnknown,
    DatabaseDown,
    TextNotStorable,
    is_connection_lost,
    sqlstate_of,
    was_refused,
)
from carteira.kit.db.gate import Gate
from carteira.kit.db.session import LeanTx
from carteira.kit.ops.metrics import lean_connections

COMMAND_SECONDS = 35
_LEAN_SETTINGS = {
    "lock_timeout": "50",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
"""Settings of these connections. A hot path's few statements look rows up by key, so one generic plan serves; and an
answer that is due in 0.1 s cannot wait long for a lock."""


class LeanPool:
    """A plain pool: nothing is left on a connection that would have to be reset.

    The driver's own pool costs more than a small statement does.
    """

    def __init__(self, address: DatabaseAddress, *, size: int, server_settings: Mapping[str, str], gate: Gate) -> None:
        self._address = address
        self._gate = gate
        self._settings = {**server_settings, **_LEAN_SETTINGS}
        self._begin = f"BEGIN; SET LOCAL lock_timeout = {server_settings['lock_timeout']}"
        self._places = asyncio.Semaphore(size)
        self._idle: list[asyncpg.Connection] = []

    @asynccontextmanager
    async def transaction(self, *, patient: bool = True) -> AsyncIterator[LeanTx]:
        """Open a transaction that waits for locks as long as a session's does; if not `patient`, 50 ms.

        Raises:
            CommitUnknown: PostgreSQL went away meanwhile.
            DatabaseDown: PostgreSQL is unreachable.
        """
        async with self.statements() as connection:
            await connection.execute(self._begin if patient else "BEGIN")
            try:
                yield connection
            except (asyncio.CancelledError, TimeoutError):
                raise  # the connection and its transaction are given up: nobody waits for a silent server
            except BaseException:
                if not connection.is_closed():
                    await connection.execute("ROLLBACK")
                raise
            await connection.execute("COMMIT")

    @asynccontextmanager
    async def statements(self) -> AsyncIterator[Any]:
        """Yield a connection on which each statement is a transaction of its own.

        A statement waits 50 ms for a lock, then fails with the driver's `LockNotAvailableError`. This saves the trips
        for a transaction's beginning and end.

        Raises:
            CommitUnknown: PostgreSQL went away meanwhile.
            DatabaseDown: PostgreSQL is unreachable.
        """
        self._gate.pass_through()
        lost: type[DatabaseDown] = DatabaseDown
        try:
            with lean_connections:
                async with self._places:
                    connection = await self._connection()
                    lost = CommitUnknown
                    try:
                        yield connection
                    except (asyncio.CancelledError, TimeoutError, asyncpg.InternalClientError):
                        connection.terminate()  # its statement may still be running, or PostgreSQL has ended it
                        raise
                    finally:
                        if not connection.is_closed():
                            self._idle.append(connection)
        except DRIVER_ERRORS as error:
            if sqlstate_of(error) in ELSEWHERE:
                await self.close()  # new connections find the right database
            if was_refused(error):
                raise DatabaseDown from error
            if is_connection_lost(error):
                raise lost from error
            raise

    async def fetch(self, sql: str, values: Sequence[object]) -> list[Any]:
        """Run a statement that only reads and return its rows. If the connection was dead, retry once on a new one.

        A connection counts as dead after `silence.SIGN_OF_LIFE_SECONDS` without an answer.

        Raises:
            DatabaseDown: PostgreSQL is unreachable.
            TextNotStorable: a text holds a character that PostgreSQL does not take.
        """
        try:
            try:
                return await self._fetch(sql, values)
            except CommitUnknown:
                self.drop_idle()  # the others have died with it
                return await self._fetch(sql, values)
        except asyncpg.PostgresError as error:
            if sqlstate_of(error) in NOT_STORABLE:
                raise TextNotStorable from error
            raise

    async def _fetch(self, sql: str, values: Sequence[object]) -> list[Any]:
        async with self.statements() as connection:
            limit = silence.SIGN_OF_LIFE_SECONDS
            return await connection.fetch(sql, *values, timeout=limit)  # type: ignore[no-any-return] # asyncpg has no types

    async def _connection(self) -> Any:  # noqa: ANN401 - asyncpg has no types
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        connection = await connect(self._address, self._settings, command_timeout=COMMAND_SECONDS)
        await positions.check(connection)
        return connection

    def drop_idle(self) -> None:
        """Drop every idle connection at once, without closing messages to a silent server."""
        while self._idle:
            self._idle.pop().terminate()

    async def close(self) -> None:
        """Close every connection that is not in use."""
        while self._idle:
            await self._idle.pop().close()
