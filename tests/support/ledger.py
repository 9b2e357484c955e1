"""Helpers of the ledger's tests: the operator's accounts, and money from them."""

from uuid import UUID, uuid4

import psycopg
from sqlalchemy import text

from carteira import ledger
from carteira.embedded import Endpoints
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.values.actor import Actor

TOP_UP = ledger.system_account("test.top_up")
SHOP = ledger.system_account("test.shop")
TESTER = Actor("command", "tests")


async def open_system_accounts(tx: Tx) -> None:
    """Open the operator's accounts, as the modules' migrations do for theirs."""
    await tx.execute(
        text("""
        INSERT INTO ledger_accounts (id, kind, is_system, may_go_negative)
        SELECT id, kind, true, true
        FROM unnest(CAST(:ids AS uuid[]), CAST(:kinds AS text[])) AS new (id, kind)
        ON CONFLICT DO NOTHING
        """),
        {"ids": [TOP_UP, SHOP], "kinds": ["test.top_up", "test.shop"]},
    )


async def open_wallet(tx: Tx, balance: int = 0, *, owner_id: UUID | None = None) -> UUID:
    """Open a customer account with money in it."""
    wallet = await ledger.open_account(tx, "test.wallet", holder_id=uuid4(), owner_id=owner_id)
    if balance:
        await ledger.post(
            tx, ledger.transfer("test.top_up", source=TOP_UP, target=wallet, amount=balance), actor=TESTER
        )
    return wallet


def purchase(wallet: UUID, amount: int, *, key: str | None = None) -> ledger.NewEntry:
    """Return an entry that spends."""
    return ledger.transfer("test.purchase", source=wallet, target=SHOP, amount=amount, key=key)


async def balance_of(tx: Tx, account_id: UUID) -> int:
    """Return a balance."""
    return (await ledger.account(tx, account_id)).balance


async def verified(database: Database, **expected: tuple[int, bytes]) -> ledger.ChainVerification:
    """Verify the whole chain."""
    async with database.transaction() as tx:
        result = ledger.ChainVerification()
        async for result in ledger.verify(tx, **expected):  # noqa: B007 - the last value is used
            pass
        return result


def overwrite(endpoints: Endpoints, database: Database, *statements: str, **values: object) -> None:
    """Write past the ledger: as a superuser with the triggers off."""
    url = endpoints.superuser_url.rpartition("/")[0] + "/" + str(database.engine.url.database)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        for statement in statements:
            connection.execute(statement, values)
