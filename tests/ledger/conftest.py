from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from carteira.kit.db.engine import Database
from tests.support.databases import NewDatabase, open_database, rolled_back
from tests.support.ledger import open_system_accounts


@pytest.fixture
async def own(new_database: NewDatabase) -> AsyncIterator[Database]:
    """A fresh database for one test that commits; what the test leaves stays there."""
    async with open_database(new_database("own"), pool_size=8) as database:
        async with database.transaction() as tx:
            await open_system_accounts(tx)
        yield database


@pytest.fixture(scope="session")
async def ledger_database(new_database: NewDatabase) -> AsyncIterator[Database]:
    """The ledger's tests' own database, which no other module writes to."""
    async with open_database(new_database("ledger"), pool_size=8) as database:
        async with database.transaction() as tx:
            await open_system_accounts(tx)
        yield database


@pytest.fixture
async def ledger_tx(ledger_database: Database) -> AsyncIterator[AsyncSession]:
    """A transaction that is rolled back at the end of the test."""
    async with rolled_back(ledger_database) as session:
        yield session
