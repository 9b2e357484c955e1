"""Reads that may be some seconds old, from a replica: never of money, and never of a person's own recent writes.

If anything is wrong with the replica (it is away, late, or cancels a query because of what it replays), the leader
answers.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

import structlog
from prometheus_client import Counter
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from carteira.kit.db import silence
from carteira.kit.db.address import DatabaseAddress, Replica
from carteira.kit.db.connecting import connect
from carteira.kit.db.errors import DRIVER_ERRORS
from carteira.kit.db.session import ReadingSession, Tx

LEFT_ALONE_SECONDS = 5.0
ANSWERS_IN_SECONDS = 2.0
"""The longest time for a replica to report its lag, connection included; then the leader answers."""
_CONNECTIONS = 2
_IS_CLOSE = text("""
    SELECT NOT pg_is_in_recovery() OR (
        EXISTS (SELECT FROM pg_stat_wal_receiver)
        AND (pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
             OR pg_last_xact_replay_timestamp() > clock_timestamp() - make_interval(secs => :most)))
""")
"""Whether the server is a leader, or a replica that receives the log and has replayed all of it, or is late by `most`
seconds at most.
"""
_READS = Counter(
    "carteira_reads_behind", "Reads that may be some seconds old, by the server that answered (replica, leader)", ["by"]
)

T = TypeVar("T")
log = structlog.get_logger(__name__)


class Behind:
    """A replica's few connections.

    Raises:
        AddressRefused: its address is invalid, or has an option that some driver cannot honour.
    """

    def __init__(self, replica: Replica, settings: Mapping[str, str]) -> None:
        self.address = DatabaseAddress.parse(replica.url)
        self._most_seconds = replica.most_seconds
        self._left_alone_until = 0.0
        self._engine: AsyncEngine = create_async_engine(
            URL.create("postgresql+asyncpg", database=self.address.database),
            async_creator=partial(connect, self.address, {**settings, "default_transaction_read_only": "on"}),
            isolation_level="AUTOCOMMIT",
            pool_size=_CONNECTIONS,
            max_overflow=0,
            pool_timeout=LEFT_ALONE_SECONDS,
            hide_parameters=True,
        )
        silence.watch(self._engine, self.address)
        self._sessions = async_sessionmaker(self._engine, sync_session_class=ReadingSession, expire_on_commit=False)

    async def ask(self, question: Callable[[Tx], Awaitable[T]]) -> tuple[T] | None:
        """Run a query on the replica; None if the replica is late or does not answer, or recently did not."""
        if time.monotonic() < self._left_alone_until:
            return None
        try:
            async with self._sessions() as session:
                async with asyncio.timeout(ANSWERS_IN_SECONDS):
                    is_close = await session.scalar(_IS_CLOSE, {"most": self._most_seconds})
                if is_close:
                    answer = await question(session)
                    _READS.labels("replica").inc()
                    return (answer,)
            log.warning("replica late", most_seconds=self._most_seconds)
        except (DBAPIError, PoolTimeout, *DRIVER_ERRORS) as error:
            log.warning("replica unavailable", error=type(error).__name__)
        self._left_alone_until = time.monotonic() + LEFT_ALONE_SECONDS
        return None

    async def close(self) -> None:
        """Close its connections."""
        await self._engine.dispose()


def count_the_leaders() -> None:
    """Count a read that the leader answered in place of a replica."""
    _READS.labels("leader").inc()
