"""Transactions: one per request or job, opened at the edge, committed before the answer leaves; nobody else commits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, cast

import asyncpg
from fastapi import Depends, Request
from sqlalchemy import MetaData, text
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from carteira.kit.problems import Conflict, DependencyDown

Tx = AsyncSession
"""An open transaction. Verbs take it first; they flush, and never commit."""

LOCK_TIMEOUT_MS = 5_000
STATEMENT_TIMEOUT_MS = 30_000


class Base(DeclarativeBase):
    """The tables of all modules, under one naming convention so that migrations can name what they change."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class OperationInProgress(Conflict):
    """Another request holds what this one needs, and has for too long."""

    code = "operation_in_progress"
    detail = "Outra operação sobre o mesmo recurso está em andamento. Tente de novo em instantes."


class DatabaseDown(DependencyDown):
    """PostgreSQL does not answer."""

    code = "database_down"
    detail = "O banco de dados está fora do ar. Tente de novo em instantes."


def async_url(url: str) -> str:
    """Name the asyncpg driver in a plain `postgresql://` URL."""
    _, _, rest = url.partition("://")
    return f"postgresql+asyncpg://{rest}"


def is_connection_lost(error: BaseException) -> bool:
    """Tell whether an error means that PostgreSQL is unreachable or went away, not that the statement was wrong."""
    if isinstance(error, DBAPIError):
        if error.connection_invalidated or isinstance(error, InterfaceError):
            return True
        return error.__cause__ is not None and is_connection_lost(error.__cause__)
    if isinstance(error, asyncpg.PostgresError):
        sqlstate = error.sqlstate or ""
        return sqlstate.startswith(("08", "57P", "53")) or sqlstate == "25006"
    if type(error).__module__.startswith("sqlalchemy") and error.__cause__ is not None:
        return is_connection_lost(error.__cause__)
    return isinstance(error, OSError | asyncpg.InterfaceError | PoolTimeout)


def _sqlstate(error: DBAPIError) -> str | None:
    return cast("str | None", getattr(error.orig, "sqlstate", None))


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
                "server_settings": {
                    "application_name": "carteira",
                    "timezone": "UTC",
                    "lock_timeout": str(LOCK_TIMEOUT_MS),
                    "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                    "idle_in_transaction_session_timeout": "60000",
                    "jit": "off",
                },
            },
        )
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """Open a transaction: committed when the block ends, rolled back when it raises.

        Raises:
            DatabaseDown: PostgreSQL is unreachable, or went away before the commit was confirmed.
            OperationInProgress: a lock was not to be had in time.
        """
        try:
            async with self._sessions.begin() as session:
                yield session
        except DBAPIError as error:
            if _sqlstate(error) in {"55P03", "40P01"}:
                raise OperationInProgress from error
            if is_connection_lost(error):
                raise DatabaseDown from error
            raise
        except (OSError, PoolTimeout, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if is_connection_lost(error):
                raise DatabaseDown from error
            raise

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


async def _transaction(request: Request) -> AsyncIterator[Tx]:
    database: Database = request.app.state.database
    async with database.transaction() as tx:
        yield tx


# "function" scope: FastAPI would otherwise send the answer first and commit after it.
TxDep = Annotated[Tx, Depends(_transaction, scope="function")]
"""A route's transaction, committed before its answer is sent."""
