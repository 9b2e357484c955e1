from collections.abc import AsyncIterator
from typing import Protocol

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from carteira.kit.db.engine import Database
from tests.ledger.support import open_system_accounts


class NewDatabase(Protocol):
    def __call__(self, name: str) -> str: ...


@pytest.fixture
async def own(new_database: NewDatabase) -> AsyncIterator[Database]:
    """A fresh database for one test that commits, and what it leaves behind is its own."""
    database = Database(new_database("own"), pool_size=8)
    async with database.transaction() as tx:
        await open_system_accounts(tx)
    yield database
    await database.close()


@pytest.fixture(scope="session")
async def ledger_database(new_database: NewDatabase) -> AsyncIterator[Database]:
    """The ledger's tests' own database, where no other module leaves anything behind."""
    database = Database(new_database("ledger"), pool_size=8)
    async with database.transaction() as tx:
        await open_system_accounts(tx)
    yield database
    await database.close()


@pytest.fixture
async def ledger_tx(ledger_database: Database) -> AsyncIterator[AsyncSession]:
    """A transaction that is rolled back at the end of the test."""
    async with ledger_database.engine.connect() as connection:
        outer = await connection.begin()
        async with AsyncSession(
            connection, expire_on_commit=False, join_transaction_mode="create_savepoint"
        ) as session:
            yield session
        await outer.rollback()
