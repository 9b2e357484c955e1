"""The roll-up goes in pieces: a worker that was away for long catches up while new entries come."""

from functools import partial

import pytest
from sqlalchemy import text

from carteira import ledger
from carteira.kit.db.batches import run_batches
from carteira.kit.db.engine import Database
from tests.support.horizon import pass_horizon
from tests.support.ledger import SHOP, TESTER, TOP_UP, balance_of, open_wallet, purchase

pytestmark = pytest.mark.integration


async def piece(database: Database, most: int) -> tuple[bool, int]:
    """Roll one piece up; return whether there may be more, and what is stored for the shop."""
    async with database.transaction() as tx:
        more = await ledger.roll_up(tx, most=most)
    return more, await stored(database)


async def stored(database: Database) -> int:
    async with database.transaction() as tx:
        balance = await tx.scalar(text("SELECT balance FROM ledger_accounts WHERE id = :id"), {"id": SHOP})
    assert isinstance(balance, int)
    return balance


async def spend(database: Database, purchases: int, *, at_once: bool = False) -> None:
    """Buy for a centavo each time, each in a transaction of its own or all in one, with a new wallet."""
    async with database.transaction() as tx:
        wallet = await open_wallet(tx, 1_000)
    if at_once:
        async with database.transaction() as tx:
            for _ in range(purchases):
                await ledger.post(tx, purchase(wallet, 1), actor=TESTER)
    else:
        for _ in range(purchases):
            async with database.transaction() as tx:
                await ledger.post(tx, purchase(wallet, 1), actor=TESTER)
    await pass_horizon(database)


async def assert_whole(database: Database, shop: int) -> None:
    async with database.transaction() as tx:
        assert await balance_of(tx, SHOP) == shop
    async with database.transaction() as tx:
        assert (await ledger.reconcile(tx)).differences == []


async def test_a_backlog_is_worked_off_in_pieces(own: Database) -> None:
    await spend(own, 24)  # behind the wallet's top-up
    assert await piece(own, 10) == (True, 9)
    await assert_whole(own, 24)
    assert await piece(own, 10) == (True, 19)
    assert await piece(own, 10) == (False, 24)
    assert await piece(own, 10) == (False, 24)
    await assert_whole(own, 24)


async def test_a_piece_that_fails_loses_nothing(own: Database) -> None:
    await spend(own, 24)
    assert await piece(own, 10) == (True, 9)

    async def fail() -> None:
        async with own.transaction() as tx:
            assert await ledger.roll_up(tx, most=10)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await stored(own) == 9
    await assert_whole(own, 24)
    await run_batches(own, partial(ledger.roll_up, most=10))
    assert await stored(own) == 24
    await assert_whole(own, 24)


async def test_a_transaction_larger_than_a_piece_is_taken_whole(own: Database) -> None:
    await spend(own, 12, at_once=True)
    assert await piece(own, 5) == (True, 12)
    assert await piece(own, 5) == (False, 12)
    await assert_whole(own, 12)


async def test_a_new_account_without_postings_does_not_begin_again(own: Database) -> None:
    await spend(own, 10)
    assert await piece(own, 100) == (False, 10)
    async with own.transaction() as tx:
        await tx.execute(
            text("INSERT INTO ledger_accounts (id, kind, is_system, may_go_negative) VALUES (:id, :kind, true, true)"),
            {"id": ledger.system_account("test.new"), "kind": "test.new"},
        )
    await spend(own, 1)
    assert await piece(own, 5) == (False, 11)
    async with own.transaction() as tx:
        places = set(await tx.scalars(text("SELECT rolled_up_to FROM ledger_accounts WHERE is_system")))
        assert await balance_of(tx, TOP_UP) == -2_000
    assert len(places) == 1
