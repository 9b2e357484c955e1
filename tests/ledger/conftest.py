from collections.abc import AsyncIterator
from typing import Protocol

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from carteira.kit.tx import Database
from ledger.support import open_system_accounts


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


@pytest.fixture
async def ledger_tx(tx: AsyncSession) -> AsyncSession:
    """A transaction that is rolled back, with the operator's accounts of the tests open."""
    await open_system_accounts(tx)
    return tx
