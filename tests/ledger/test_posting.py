from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from carteira import ledger

TOP_UP = ledger.system_account("test.top_up")


async def open_account(tx: AsyncSession, balance: int = 0) -> object:
    account = await ledger.open_account(tx, "test.wallet", holder_id=uuid4())
    return account


async def test_open_twice_gives_the_same_account(tx: AsyncSession) -> None:
    holder = uuid4()
    first = await ledger.open_account(tx, "test.wallet", holder_id=holder)
    assert await ledger.open_account(tx, "test.wallet", holder_id=holder) == first
    assert await ledger.open_account(tx, "test.other", holder_id=holder) != first
