"""Present and past balances, statements page by page, the roll-up, and the reconciliation that finds tampering."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from carteira import ledger
from carteira.embedded import Endpoints
from carteira.kit.db.engine import Database
from tests.support.horizon import pass_horizon
from tests.support.ledger import SHOP, TESTER, TOP_UP, balance_of, open_wallet, purchase

Tx = AsyncSession


async def test_a_balance_as_it_stood_at_an_instant(ledger_tx: Tx) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    for amount in (10, 20, 30):
        await ledger.post(ledger_tx, purchase(wallet, amount), actor=TESTER)
    lines = await ledger.statement(ledger_tx, [wallet], limit=10)
    for line in lines:
        assert await ledger.balance_at(ledger_tx, wallet, line.posted_at) == line.balance_after
        just_before = line.posted_at - timedelta(microseconds=1)
        assert line.balance_after is not None
        assert await ledger.balance_at(ledger_tx, wallet, just_before) == line.balance_after - line.amount
    assert await ledger.balance_at(ledger_tx, wallet, datetime(2020, 1, 1, tzinfo=UTC)) == 0
    assert await ledger.balance_at(ledger_tx, wallet, datetime(2100, 1, 1, tzinfo=UTC)) == 40
    with pytest.raises(ledger.AccountNotFound):
        await ledger.balance_at(ledger_tx, uuid4(), datetime(2100, 1, 1, tzinfo=UTC))


async def test_a_system_account_has_balances_then_too(ledger_tx: Tx) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    await ledger.post(ledger_tx, purchase(wallet, 10), actor=TESTER)
    newest, oldest = await ledger.statement(ledger_tx, [wallet], limit=10)
    difference = await ledger.balance_at(ledger_tx, SHOP, newest.posted_at) - await ledger.balance_at(
        ledger_tx, SHOP, oldest.posted_at
    )
    assert difference == 10


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
async def test_a_statement_read_page_by_page_misses_and_repeats_nothing(ledger_tx: Tx, limit: int) -> None:
    one, two = await open_wallet(ledger_tx, 1_000), await open_wallet(ledger_tx, 1_000)
    book = await ledger.lock(ledger_tx, [one, two])
    for index in range(6):  # one instant for all of them
        book.post(ledger.transfer("test.gift", source=one, target=two, amount=index + 1))
    await ledger.write(ledger_tx, book, actor=TESTER)
    for index in range(5):
        await ledger.post(ledger_tx, purchase((one, two)[index % 2], index + 1), actor=TESTER)
    seen: list[ledger.StatementLine] = []
    while True:
        page = await ledger.statement(ledger_tx, [one, two], limit=limit, before=seen[-1].key if seen else None)
        seen += page
        if len(page) < limit:
            break
    assert len({(line.entry_id, line.line) for line in seen}) == len(seen) == 2 + 2 * 6 + 5
    assert [line.key for line in seen] == sorted((line.key for line in seen), reverse=True)
    for wallet in (one, two):
        mine = [line for line in seen if line.account_id == wallet]
        assert sum(line.amount for line in mine) == await balance_of(ledger_tx, wallet) == mine[0].balance_after
        for newer, older in itertools.pairwise(mine):
            assert newer.balance_after is not None
            assert newer.balance_after - newer.amount == older.balance_after


async def test_a_page_and_a_balance_read_only_the_rows_they_show(ledger_tx: Tx) -> None:
    """If it planned for an average account, PostgreSQL would read all postings of this one and sort them."""
    wallet, other = await open_wallet(ledger_tx, 10_000), await open_wallet(ledger_tx)
    book = await ledger.lock(ledger_tx, [wallet, other])
    for _ in range(2_000):
        book.post(ledger.transfer("test.gift", source=wallet, target=other, amount=1))
    await ledger.write(ledger_tx, book, actor=TESTER)
    at = (await ledger.statement(ledger_tx, [wallet], limit=1))[0].posted_at

    async def postings_read() -> int:
        counted = text(
            "SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid)) FROM pg_stat_user_indexes"
            " WHERE relname LIKE 'ledger_postings%'"
        )
        return int(await ledger_tx.scalar(counted) or 0)

    before = await postings_read()
    assert len(await ledger.statement(ledger_tx, [wallet], limit=20)) == 20
    assert await ledger.balance_at(ledger_tx, wallet, at) == 8_000
    assert 20 < await postings_read() - before < 60


async def test_a_system_account_has_a_statement(ledger_tx: Tx) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    entries = [await ledger.post(ledger_tx, purchase(wallet, 1), actor=TESTER) for _ in range(5)]
    first = await ledger.statement(ledger_tx, [SHOP], limit=3)
    second = await ledger.statement(ledger_tx, [SHOP], limit=2, before=first[-1].key)
    assert [line.entry_id for line in first + second] == entries[::-1]
    assert {line.balance_after for line in first} == {None}


async def test_the_roll_up_misses_nothing_of_transactions_still_open(own: Database) -> None:
    async def rolled_up(*, at_once: bool = False) -> int:
        if not at_once:
            await pass_horizon(own)
        async with own.transaction() as tx:
            await ledger.roll_up(tx)
            stored = await tx.scalar(text("SELECT balance FROM ledger_accounts WHERE id = :id"), {"id": SHOP})
            assert isinstance(stored, int)
            return stored

    async def shop() -> int:
        async with own.transaction() as tx:
            return await balance_of(tx, SHOP)

    async with own.transaction() as tx:
        wallet, other = await open_wallet(tx, 1_000), await open_wallet(tx, 1_000)
    async with own.transaction() as slow:
        await ledger.post(slow, purchase(wallet, 1), actor=TESTER)
        async with own.transaction() as quick:
            await ledger.post(quick, purchase(other, 10), actor=TESTER)
        assert (await rolled_up(at_once=True), await shop()) == (
            0,
            10,
        )  # later rows wait with it
    assert await shop() == 11
    assert (await rolled_up(), await shop()) == (11, 11)
    assert (await rolled_up(), await shop()) == (11, 11)


async def test_roll_ups_at_once_while_money_moves_add_nothing_twice(own: Database) -> None:
    async with own.transaction() as tx:
        wallets = [await open_wallet(tx, 1_000) for _ in range(4)]

    async def spend(wallet: UUID) -> None:
        for _ in range(25):
            async with own.transaction() as tx:
                await ledger.post(tx, purchase(wallet, 1), actor=TESTER)

    async def roll_up() -> None:
        for _ in range(20):
            async with own.transaction() as tx:
                await ledger.roll_up(tx)
                assert 0 <= await balance_of(tx, SHOP) <= 100

    await asyncio.gather(*map(spend, wallets), roll_up(), roll_up(), roll_up())
    async with own.transaction() as tx:
        await ledger.roll_up(tx)
    async with own.transaction() as tx:
        assert (await balance_of(tx, SHOP), await balance_of(tx, TOP_UP)) == (100, -4_000)
    async with own.transaction() as tx:
        assert (await ledger.reconcile(tx)).differences == []


@pytest.fixture
async def wallet(own: Database) -> UUID:
    """A wallet with 500 in it, after three entries, with 50 on hold; rolled up in between."""
    async with own.transaction() as tx:
        wallet = await open_wallet(tx, 1_000)
        await ledger.post(tx, purchase(wallet, 300), actor=TESTER)
    await pass_horizon(own)
    async with own.transaction() as tx:
        await ledger.roll_up(tx)
    async with own.transaction() as tx:
        await ledger.post(tx, purchase(wallet, 200), actor=TESTER)
        await ledger.hold(tx, wallet, 50, ttl=timedelta(hours=1))
    return wallet


@asynccontextmanager
async def a_thief(own: Database, endpoints: Endpoints) -> AsyncIterator[psycopg.Connection]:
    """Act as the superuser, whom no trigger stops."""
    url = endpoints.superuser_url.rpartition("/")[0] + f"/{own.engine.url.database}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        yield connection


async def test_an_honest_ledger_reconciles(own: Database, wallet: UUID) -> None:
    async with own.transaction() as tx:
        result = await ledger.reconcile(tx)
        counted = await tx.scalar(text("SELECT count(*) FROM ledger_accounts"))
        assert (result.accounts, result.entries, result.differences) == (counted, 3, [])
        assert await balance_of(tx, wallet) == 500


THEFTS = {  # the change, and what is reported; before a roll-up, a system account's balance is the sum of its postings
    "UPDATE ledger_accounts SET balance = balance + 1 WHERE id = %(wallet)s": {"account"},
    "UPDATE ledger_accounts SET balance = balance + 1 WHERE id = %(shop)s": {"shop"},
    "UPDATE ledger_accounts SET rolled_up_to = 0 WHERE id = %(shop)s": {"shop"},
    "UPDATE ledger_accounts SET held = 0 WHERE id = %(wallet)s": {"account"},
    "UPDATE ledger_holds SET status = 'released'": {"account"},
    "UPDATE ledger_holds SET amount = 49": {"account"},
    "UPDATE ledger_postings SET amount = amount + 1 WHERE entry_id = %(newest)s AND line = 0": {"account", "entry"},
    "UPDATE ledger_postings SET balance_after = 501 WHERE entry_id = %(newest)s AND line = 0": {"account"},
    "UPDATE ledger_postings SET balance_after = 999 WHERE entry_id = %(oldest)s AND line = 1": {"account"},
    "UPDATE ledger_postings SET seq = seq + 7 WHERE entry_id = %(oldest)s AND line = 1": {"account"},
    """UPDATE ledger_postings SET account_id = %(top_up)s, seq = NULL, balance_after = NULL
       WHERE entry_id = %(newest)s AND line = 0""": {"account"},
    "DELETE FROM ledger_postings WHERE entry_id = %(newest)s AND line = 1": {"entry"},
    "DELETE FROM ledger_postings WHERE entry_id = %(oldest)s AND line = 0": {"top_up", "entry"},
    "DELETE FROM ledger_postings WHERE entry_id = %(newest)s": {"account", "entry"},
    "DELETE FROM ledger_entries WHERE id = %(newest)s": {"orphan", "shop"},
    "UPDATE ledger_entries SET key = 'slipped in' WHERE id = %(newest)s": {"ledger_keys"},
    "INSERT INTO ledger_keys VALUES ('slipped in', %(newest)s)": {"ledger_keys"},
    "UPDATE ledger_entries SET reverses_id = %(oldest)s WHERE id = %(newest)s": {"ledger_reversals"},
    "INSERT INTO ledger_reversals VALUES (%(oldest)s, %(newest)s)": {"ledger_reversals"},
    "DELETE FROM ledger_accounts WHERE id = %(wallet)s": {"orphan"},
}


@pytest.mark.parametrize(("theft", "named"), THEFTS.items())
async def test_reconciliation_finds_and_names_tampering(
    own: Database, endpoints: Endpoints, wallet: UUID, theft: str, named: set[str]
) -> None:
    async with own.transaction() as tx:
        newest, _, oldest = [line.entry_id for line in await ledger.statement(tx, [wallet], limit=10)]
    ids = {"wallet": wallet, "shop": SHOP, "top_up": TOP_UP, "newest": newest, "oldest": oldest}
    async with a_thief(own, endpoints) as thief:
        assert thief.execute(theft.encode(), ids).rowcount >= 1
    async with own.transaction() as tx:
        differences = (await ledger.reconcile(tx)).differences
    names = {str(wallet): "account", str(SHOP): "shop", str(TOP_UP): "top_up"}
    found = set()
    for difference in differences:
        if "orphan" in difference:
            found.add("orphan")
        elif "table" in difference:
            assert difference["row_id"] == str(newest)
            found.add(difference["table"])
        elif "account_id" in difference:
            found.add(names[difference["account_id"]])
        else:
            assert difference["entry_id"] in {str(newest), str(oldest)}
            found.add("entry")
    assert found == named, differences
