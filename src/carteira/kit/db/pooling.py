"""Detects a pooler in front of PostgreSQL that passes sessions to other clients after each transaction.

The product keeps state in its sessions: settings, prepared statements, advisory locks, LISTEN. A pooler is fine as long
as a client keeps its session (PgBouncer's `pool_mode = session`).
"""

import asyncio
from typing import Any

import asyncpg

from carteira.kit.db.address import DatabaseAddress
from carteira.kit.db.connecting import connect

ROUNDS = 3
SECONDS = 5.0
_WHO = "SELECT pg_backend_pid(), pg_postmaster_start_time()"
_BETRAYED = (
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.DuplicatePreparedStatementError,
    asyncpg.ProtocolViolationError,
)


async def sessions_are_shared(address: DatabaseAddress) -> bool:
    """Return whether two clients share one session, or one client gets two.

    One client asks outside of a transaction, the other inside of one; a client's own session stays the same and belongs
    to nobody else. Another sign of a pooler is a prepared statement that is gone.

    Raises:
        OSError, asyncpg.PostgresError: no host answers, or it refuses the connection.
    """
    first = await connect(address, {}, statement_cache_size=0)
    try:
        second = await connect(address, {}, statement_cache_size=0)
        try:
            async with asyncio.timeout(SECONDS):
                return await _are_mixed(first, second)
        except TimeoutError:  # a pool of one connection: a client that waits for it shares nothing
            return False
        except _BETRAYED:
            return True
        except asyncpg.ConnectionDoesNotExistError as error:
            if "pooling mode" not in str(error):  # PgBouncer's error for a BEGIN in `pool_mode = statement`
                raise
            return True
        finally:
            second.terminate()
    finally:
        first.terminate()


async def _are_mixed(first: Any, second: Any) -> bool:  # noqa: ANN401 - asyncpg has no types
    seen = set()
    for _ in range(ROUNDS):
        seen.add(tuple(await first.fetchrow(_WHO)))
        await second.execute("BEGIN")
        other = tuple(await second.fetchrow(_WHO))
        if other in seen:
            return True
        seen.add(tuple(await first.fetchrow(_WHO)))
        await second.execute("COMMIT")
    return len(seen) > 1
