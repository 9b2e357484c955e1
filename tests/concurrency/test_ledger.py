"""Many connections that really commit: no centavo is lost or made, nobody waits for ever."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from carteira import ledger
from carteira.kit.db.engine import Database
from tests.support.databases import NewDatabase
from tests.support.ledger import SHOP, TESTER, TOP_UP, balance_of, open_system_accounts, open_wallet, purchase


@pytest.fixture
async def busy(new_database: NewDatabase) -> AsyncIterator[Database]:
    """A fresh database with many connections, whose ledger must reconcile in the end."""
    database = Database(new_database("busy"), pool_size=32)
    async with database.transaction() as tx:
        await open_system_accounts(tx)
    yield database
    async with database.transaction() as tx:
        assert (await ledger.reconcile(tx)).differences == []
    await database.close()


async def wallets_of(database: Database, count: int, balance: int) -> list[UUID]:
    async with database.transaction() as tx:
        return [await open_wallet(tx, balance) for _ in range(count)]


async def state(database: Database, wallet: UUID) -> tuple[int, int]:
    async with database.transaction() as tx:
        view = await ledger.account(tx, wallet)
        return view.balance, view.held


async def test_money_for_ten_is_spent_by_ten_of_sixty_four(busy: Database) -> None:
    (wallet,) = await wallets_of(busy, 1, 1_000)

    async def spend() -> bool:
        try:
            async with busy.transaction() as tx:
                await ledger.post(tx, purchase(wallet, 100), actor=TESTER)
        except ledger.InsufficientFunds:
            return False
        return True

    assert sum(await asyncio.gather(*(spend() for _ in range(64)))) == 10
    assert await state(busy, wallet) == (0, 0)


async def test_random_transfers_neither_lock_up_nor_leak(busy: Database) -> None:
    wallets = await wallets_of(busy, 20, 500)

    async def wander(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(20):
            chosen = chance.sample(wallets, chance.choice([2, 2, 2, 5]))
            parts = [chance.randint(1, 200) for _ in chosen[1:]]
            lines = [ledger.Posting(chosen[0], -sum(parts)), *map(ledger.Posting, chosen[1:], parts)]
            chance.shuffle(lines)
            try:
                async with busy.transaction() as tx:
                    await ledger.post(tx, ledger.NewEntry("test.wander", lines), actor=TESTER)
            except ledger.InsufficientFunds:
                continue

    await asyncio.gather(*map(wander, range(16)))
    balances = [(await state(busy, wallet))[0] for wallet in wallets]
    assert (sum(balances), min(balances) >= 0) == (20 * 500, True)


async def test_twenty_posts_of_one_key_are_one_entry(busy: Database) -> None:
    (wallet,) = await wallets_of(busy, 1, 1_000)
    key = str(uuid4())

    async def spend() -> UUID:
        async with busy.transaction() as tx:
            return await ledger.post(tx, purchase(wallet, 100, key=key), actor=TESTER)

    assert len(set(await asyncio.gather(*(spend() for _ in range(20))))) == 1
    assert await state(busy, wallet) == (900, 0)


async def test_optimistic_books_that_were_overtaken_are_tried_again(busy: Database) -> None:
    wallets = await wallets_of(busy, 4, 300)
    stale = 0

    async def spend(giver: UUID, taker: UUID) -> bool:
        """Decide on balances read without a lock, and retry while another transaction was faster."""
        nonlocal stale
        while True:
            try:
                async with busy.transaction() as tx:
                    book = await ledger.read(tx, [giver, taker])
                    book.post(ledger.transfer("test.gift", source=giver, target=taker, amount=60))
                    book.post(purchase(taker, 60))
                    await ledger.write(tx, book, actor=TESTER)
            except ledger.StaleBook:
                stale += 1
            except ledger.InsufficientFunds:
                return False
            else:
                return True

    # In both directions, so that a different order of locks would deadlock.
    pairs = [(wallets[index % 4], wallets[(index + 1 + index % 3) % 4]) for index in range(40)]
    spent = sum(await asyncio.gather(*(spend(*pair) for pair in pairs)))
    left = [(await state(busy, wallet))[0] for wallet in wallets]
    assert (sum(left), min(left) >= 0) == (4 * 300 - 60 * spent, True)
    assert stale > 0, "no transaction was overtaken: the test proves nothing"


async def test_a_book_read_without_locks_is_written_in_the_order_that_everybody_locks_in(busy: Database) -> None:
    first, second = await wallets_of(busy, 2, 0)
    for wallet in (second, first):  # on the page the second account comes before the first
        async with busy.transaction() as tx:
            await ledger.post(
                tx, ledger.transfer("test.top_up", source=TOP_UP, target=wallet, amount=100), actor=TESTER
            )

    async def write() -> None:
        async with busy.transaction() as tx:
            book = await ledger.read(tx, [first, second])
            book.post(ledger.transfer("test.gift", source=second, target=first, amount=1))
            await ledger.write(tx, book, actor=TESTER)

    waiting = text(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_stat_activity "
        "WHERE datname = current_database())"
    )
    async with busy.transaction() as holder:
        await ledger.lock(holder, [first])
        writer = asyncio.create_task(write())
        while not await holder.scalar(waiting):  # noqa: ASYNC110 - another connection has no event to wait for
            await asyncio.sleep(0.005)
        async with busy.transaction() as other:  # the writer waits for the first and has not locked the second
            free = text("SELECT id FROM ledger_accounts WHERE id = :id FOR UPDATE NOWAIT")
            assert await other.scalar(free, {"id": second}) == second
    await writer


async def test_holds_and_purchases_race_for_the_same_money(busy: Database) -> None:
    (wallet,) = await wallets_of(busy, 1, 1_000)

    async def act(index: int) -> int:
        """Return the amount that was taken from the wallet for good."""
        try:
            async with busy.transaction() as tx:
                if index % 2:
                    await ledger.post(tx, purchase(wallet, 70), actor=TESTER)
                    return 70
                held = await ledger.hold(tx, wallet, 70, ttl=timedelta(hours=1))
        except ledger.InsufficientFunds:
            return 0
        async with busy.transaction() as tx:
            if index % 4:
                await ledger.capture(tx, held, target=SHOP, kind="test.capture", amount=50, actor=TESTER)
                return 50
            await ledger.release(tx, held)
            return 0

    taken = sum(await asyncio.gather(*map(act, range(60))))
    assert await state(busy, wallet) == (1_000 - taken, 0)


async def test_a_hold_settled_by_many_at_once_is_settled_once(busy: Database) -> None:
    (wallet,) = await wallets_of(busy, 1, 100)
    async with busy.transaction() as tx:
        held = await ledger.hold(tx, wallet, 100, ttl=timedelta(hours=-1))  # already due: the job joins the race
        other = await ledger.hold(tx, (await open_wallet(tx, 100)), 100, ttl=timedelta(hours=1))

    async def settle(index: int) -> int:
        try:
            async with busy.transaction() as tx:
                if index % 3 == 0:
                    return await ledger.expire_holds(tx)
                await ledger.release(tx, held if index % 3 == 1 else other)
        except ledger.HoldNotActive:
            return 0
        return 1

    assert sum(await asyncio.gather(*map(settle, range(24)))) == 2
    assert await state(busy, wallet) == (100, 0)


async def test_an_entry_reversed_by_many_at_once_is_reversed_once(busy: Database) -> None:
    (wallet,) = await wallets_of(busy, 1, 1_000)
    async with busy.transaction() as tx:
        entry = await ledger.post(tx, purchase(wallet, 100), actor=TESTER)
        between_operators = await ledger.post(
            tx, ledger.transfer("test.settle", source=SHOP, target=TOP_UP, amount=50), actor=TESTER
        )

    async def reverse(entry_id: UUID) -> bool:
        try:
            async with busy.transaction() as tx:
                await ledger.reverse(tx, entry_id, actor=TESTER)
        except ledger.EntryAlreadyReversed:
            return False
        return True

    attempts = [reverse(entry_id) for entry_id in (entry, between_operators) for _ in range(12)]
    assert sum(await asyncio.gather(*attempts)) == 2
    assert await state(busy, wallet) == (1_000, 0)
    async with busy.transaction() as tx:
        assert await balance_of(tx, SHOP) == 0


async def test_an_account_opened_by_many_at_once_is_one(busy: Database) -> None:
    holder = uuid4()

    async def open_it() -> UUID:
        async with busy.transaction() as tx:
            return await ledger.open_account(tx, "test.wallet", holder_id=holder)

    assert len(set(await asyncio.gather(*(open_it() for _ in range(20))))) == 1
