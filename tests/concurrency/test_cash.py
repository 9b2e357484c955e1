"""CASH as the fallback of another category: it is not waited for where it is not needed, and never spent twice."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import pytest
from sqlalchemy import text

from carteira import ledger
from carteira.benefits import accounts
from carteira.benefits.authorizer.request import Authorization
from carteira.benefits.authorizer.rules import Decision
from carteira.benefits.authorizer.strategies import AuthorizationQueue
from carteira.benefits.authorizer.writer import Authorizer
from carteira.benefits.ledger_kinds import LEDGER_KIND, PURCHASE, SETTLEMENT
from carteira.kit.db.engine import Database
from carteira.kit.values.ids import uuid7
from tests.support.benefits import FOOD, MEAL, OTHER, assert_reconciled, balances, open_account
from tests.support.databases import NewDatabase
from tests.support.ledger import TESTER


@pytest.fixture(scope="module")
async def books(new_database: NewDatabase) -> AsyncIterator[Database]:
    database = Database(new_database("cash"), pool_size=6)
    yield database
    await database.close()


async def wallet_of(books: Database, account: str, category: str) -> UUID:
    async with books.transaction() as tx:
        holder = (await accounts.find(tx, account)).id
        held = await ledger.accounts_of_holder(tx, holder)
    return next(view.id for view in held if view.kind == LEDGER_KIND + category)


def request(account: str, amount: int, mcc: str, *, fallback: bool = True) -> Authorization:
    return Authorization(uuid7(), account, amount, mcc, "PADARIA DO ZE", None, fallback)


async def test_a_locked_cash_account_that_is_not_needed_delays_nobody(books: Database) -> None:
    account = await open_account(books, FOOD=1_000, CASH=1_000)
    cash = await wallet_of(books, account, "CASH")
    async with books.transaction() as other:
        await ledger.lock(other, [cash])
        decided = Authorizer(books).decide([request(account, 1_000, FOOD)], "remembered")
        (decision,) = await asyncio.wait_for(decided, 2)
    assert (decision.code, decision.category_used) == ("00", "FOOD")


@pytest.mark.parametrize(("spent_meanwhile", "code"), [(0, "00"), (1, "51")])
async def test_a_locked_cash_account_is_decided_on_after_its_release(
    books: Database, queue: AuthorizationQueue, spent_meanwhile: int, code: str
) -> None:
    account = await open_account(books, FOOD=999, CASH=1_000)
    cash = await wallet_of(books, account, "CASH")
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')")
    async with books.transaction() as other:
        book = await ledger.lock(other, [cash])
        deciding = asyncio.create_task(queue.decide(request(account, 1_000, FOOD)))
        while not (await other.scalar(waiting) or queue._deferred):  # noqa: SLF001 - the request waits for the lock, or is deferred
            assert not deciding.done(), "decided without the lock"
            await asyncio.sleep(0.005)
        if spent_meanwhile:
            book.post(ledger.transfer(PURCHASE, source=cash, target=SETTLEMENT, amount=spent_meanwhile))
            await ledger.write(other, book, actor=TESTER)
    assert (await deciding).code == code
    left = {"00": {"FOOD": 999, "CASH": 0}, "51": {"FOOD": 999, "CASH": 999}}[code]
    assert (await balances(books, account)).items() >= left.items()


async def test_a_batch_decides_as_its_requests_one_by_one_do(books: Database) -> None:
    rng = random.Random(11)
    for _ in range(12):
        start = [{name: rng.randrange(0, 3_000) for name in ("FOOD", "MEAL", "CASH")} for _ in range(3)]
        asked = [
            (rng.randrange(3), rng.randrange(1, 900), rng.choice([FOOD, MEAL, OTHER]), rng.random() < 0.8)
            for _ in range(30)
        ]
        together = [await open_account(books, **sums) for sums in start]
        singly = [await open_account(books, **sums) for sums in start]
        authorizer = Authorizer(books)

        def requests(accounts: list[str], asked: Sequence[tuple[int, int, str, bool]] = asked) -> list[Authorization]:
            return [request(accounts[which], amount, mcc, fallback=spare) for which, amount, mcc, spare in asked]

        in_a_batch = await authorizer.decide(requests(together), "remembered")
        one_by_one = [(await authorizer.decide([each], "remembered"))[0] for each in requests(singly)]

        def answers(decisions: Sequence[Decision]) -> list[tuple[object, ...]]:
            return [(each.code, each.reason, each.category_used, each.short_by) for each in decisions]

        assert answers(in_a_batch) == answers(one_by_one)
        assert {each.reason for each in in_a_batch} >= {"approved", "insufficient_funds"}
        for first, second in zip(together, singly, strict=True):
            assert await balances(books, first) == await balances(books, second)


async def test_two_processes_that_need_each_others_cash_do_not_lock_up(books: Database) -> None:
    accounts = [await open_account(books, FOOD=100, CASH=50_000) for _ in range(4)]
    rng = random.Random(5)

    async def process() -> int:
        authorizer = Authorizer(books)
        spent = 0
        for _ in range(25):
            batch = [request(rng.choice(accounts), 100, rng.choice([FOOD, OTHER])) for _ in range(12)]
            decisions = await authorizer.decide(batch, "remembered")
            spent += sum(each.amount or 0 for each in decisions if each.code == "00")
        return spent

    spent = sum(await asyncio.wait_for(asyncio.gather(process(), process()), 60))
    left = [await balances(books, account) for account in accounts]
    assert sum(sum(each.values()) for each in left) == 4 * 50_100 - spent
    await assert_reconciled(books)
