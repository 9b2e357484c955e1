"""Databases for tests: copies of the migrated template, and transactions that leave nothing behind."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import psycopg
from sqlalchemy.ext.asyncio import AsyncSession

from carteira import schema
from carteira.embedded import SERVICE, Endpoints
from carteira.kit.db.engine import Database
from carteira.kit.db.session import CurrentSession
from tests.support.servers import TEMPLATE

NewDatabase = Callable[[str], str]
"""Makes a fresh database in place of one of the same name, and returns its URL as the owner, who may prepare a test."""


def on_server(url: str, database: str) -> str:
    """Return the URL of another database of the same server."""
    return url.rpartition("/")[0] + "/" + database


def prepare(endpoints: Endpoints) -> None:
    """Migrate the servers' own database, as an operator does."""
    schema.migrate(endpoints.owner_url)
    schema.grant(endpoints.owner_url, SERVICE)


def as_owner(endpoints: Endpoints, url: str) -> str:
    """Return the URL of a database as its owner, who may change what the product's role may not."""
    return on_server(endpoints.owner_url, url.rpartition("/")[2])


def as_service(endpoints: Endpoints, url: str) -> str:
    """Return the URL of a database as the role that serves."""
    return on_server(endpoints.database_url, url.rpartition("/")[2])


@contextmanager
def databases(endpoints: Endpoints, worker_id: str) -> Iterator[NewDatabase]:
    """Copy databases from the migrated template for one worker, and drop them when the block ends."""
    made: list[str] = []

    def make(name: str) -> str:
        database = f"test_{worker_id}_{name}"
        with psycopg.connect(endpoints.superuser_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {database} TEMPLATE {TEMPLATE} OWNER carteira")
        made.append(database)
        return on_server(endpoints.owner_url, database)

    yield make
    with psycopg.connect(endpoints.superuser_url, autocommit=True) as connection:
        for database in made:
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")


@asynccontextmanager
async def open_database(url: str, pool_size: int) -> AsyncIterator[Database]:
    """Open a database until the end of the block."""
    database = Database(url, pool_size=pool_size)
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def rolled_back(database: Database) -> AsyncIterator[AsyncSession]:
    """Open a transaction that is rolled back when the block ends, whatever the test commits."""
    async with database.engine.connect() as connection:
        outer = await connection.begin()
        async with AsyncSession(
            connection,
            sync_session_class=CurrentSession,
            expire_on_commit=False,
            join_transaction_mode="create_savepoint",
        ) as session:
            yield session
        await outer.rollback()
