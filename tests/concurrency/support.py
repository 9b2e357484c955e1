"""What the tests of concurrency share: benefit accounts opened and looked at past HTTP, in transactions that commit."""

from uuid import uuid4

from carteira import ledger
from carteira.benefits import service
from carteira.benefits.schemas import AccountIn
from carteira.kit.tx import Database


async def open_account(books: Database, **balances: int) -> str:
    reference = f"c-{uuid4()}"
    async with books.transaction() as tx:
        await service.open_account(tx, AccountIn(account=reference, user_id=uuid4(), balances=balances))
    return reference


async def balances(books: Database, account: str) -> dict[str, int]:
    async with books.transaction() as tx:
        return await service.balances(tx, (await service.find(tx, account)).id)


async def assert_reconciled(books: Database) -> None:
    async with books.transaction() as tx:
        assert (await ledger.reconcile(tx)).differences == []
