"""What the tests of concurrency share: benefit accounts opened and looked at past HTTP, in transactions that commit."""

from collections.abc import Sequence
from uuid import uuid4

from sqlalchemy import text

from carteira import ledger
from carteira.benefits import accounts
from carteira.benefits.schemas import AccountIn
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx


async def open_account(books: Database, **balances: int) -> str:
    reference = f"c-{uuid4()}"
    async with books.transaction() as tx:
        await accounts.open_account(tx, AccountIn(account=reference, user_id=uuid4(), balances=balances))
    return reference


async def insert_accounts(tx: Tx, references: Sequence[str], categories: Sequence[str]) -> None:
    """Open many accounts in two statements; the ids of their ledger accounts are in no order."""
    ids = [uuid4() for _ in references]
    await tx.execute(
        text(
            "INSERT INTO benefits_accounts (id, reference)"
            " SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:names AS text[]))"
        ),
        {"ids": ids, "names": list(references)},
    )
    await tx.execute(
        text(
            "INSERT INTO ledger_accounts (id, kind, holder_id) SELECT gen_random_uuid(), 'benefits.' || kind, holder"
            " FROM unnest(CAST(:ids AS uuid[])) AS holder, unnest(CAST(:kinds AS text[])) AS kind"
        ),
        {"ids": ids, "kinds": list(categories)},
    )


async def balances(books: Database, account: str) -> dict[str, int]:
    async with books.transaction() as tx:
        return await accounts.balances(tx, (await accounts.find(tx, account)).id)


async def assert_reconciled(books: Database) -> None:
    async with books.transaction() as tx:
        assert (await ledger.reconcile(tx)).differences == []
