"""An account that another transaction keeps locked delays its own purchases only."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from carteira import ledger
from carteira.benefits.accounts import find
from carteira.benefits.authorizer.answers import Code, Reason
from carteira.benefits.authorizer.asgi import outcome_of
from carteira.benefits.authorizer.per_request import Optimistic, Pessimistic
from carteira.benefits.authorizer.request import Authorization
from carteira.benefits.authorizer.rules import Decision
from carteira.benefits.authorizer.strategies import AuthorizationQueue
from carteira.benefits.authorizer.writer import Authorizer
from carteira.benefits.ledger_kinds import PURCHASE, SETTLEMENT
from carteira.kit.db.engine import Database
from carteira.kit.values.ids import uuid7
from carteira.ledger.lane import deferred
from carteira.ledger.lane.writer import AccountLocked
from tests.support.benefits import OTHER, assert_reconciled, balances, open_account
from tests.support.databases import NewDatabase
from tests.support.ledger import TESTER


@pytest.fixture(scope="module")
async def books(new_database: NewDatabase) -> AsyncIterator[Database]:
    database = Database(new_database("held_up"), pool_size=6)
    yield database
    await assert_reconciled(database)
    await database.close()


def request(account: str, amount: int, external_id: str | None = None) -> Authorization:
    return Authorization(uuid7(), account, amount, OTHER, "PADARIA DO ZE", external_id, fallback=True)


@asynccontextmanager
async def locked(books: Database, *accounts: str, spend: int = 0) -> AsyncIterator[None]:
    """Keep the accounts locked in another transaction, which spends a little from each before it ends."""
    async with books.transaction() as other:
        ids = []
        for account in accounts:
            views = await ledger.accounts_of_holder(other, (await find(other, account)).id)
            ids += [view.id for view in views]
        book = await ledger.lock(other, ids)
        yield
        for wallet in list(book.accounts.values()):
            if spend and wallet.available >= spend:
                book.post(ledger.transfer(PURCHASE, source=wallet.id, target=SETTLEMENT, amount=spend))
        await ledger.write(other, book, actor=TESTER)


async def codes(asked: list[asyncio.Task[Decision]]) -> list[str]:
    return [decision.code for decision in await asyncio.wait_for(asyncio.gather(*asked), 20)]


def ask(queue: AuthorizationQueue, *requests: Authorization) -> list[asyncio.Task[Decision]]:
    return [asyncio.create_task(queue.decide(each)) for each in requests]


async def test_purchases_on_other_accounts_do_not_wait(books: Database, queue: AuthorizationQueue) -> None:
    held, free = await open_account(books, CASH=1_000), await open_account(books, CASH=1_000)
    async with locked(books, held):
        kept = ask(queue, request(held, 10))
        for _ in range(5):
            asked = [request(free, 10), request(held, 10), request(free, 10)]
            one, more, two = ask(queue, *asked)
            assert await codes([one, two]) == ["00", "00"]
            kept.append(more)
        assert not any(task.done() for task in kept)
        assert (await balances(books, free))["CASH"] == 900
    assert await codes(kept) == ["00"] * 6
    assert (await balances(books, held))["CASH"] == 940
    assert not queue._deferred, "no request is deferred any more"  # noqa: SLF001 - no public state shows it


async def test_deferred_requests_are_decided_in_order_on_the_remaining_balance(
    books: Database, queue: AuthorizationQueue
) -> None:
    account = await open_account(books, CASH=110)
    async with locked(books, account, spend=10):
        asked = ask(queue, request(account, 60))
        while not queue._deferred:  # noqa: SLF001, ASYNC110 - no public state shows it
            await asyncio.sleep(0.005)
        asked += ask(queue, request(account, 50), request(account, 40))
    assert await codes(asked) == ["00", "51", "00"]
    assert (await balances(books, account))["CASH"] == 0


async def test_more_deferred_accounts_than_are_tried_at_once(
    books: Database, queue: AuthorizationQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deferred, "TRIED_AT_ONCE", 3)
    accounts = [await open_account(books, CASH=25) for _ in range(10)]
    async with locked(books, *accounts):
        asked = ask(queue, *(request(account, 10) for _ in range(3) for account in accounts))
        while len(queue._deferred) < 30:  # noqa: SLF001, ASYNC110 - no public state shows it
            await asyncio.sleep(0.005)
    assert await codes(asked) == ["00"] * 20 + ["51"] * 10, "each account's requests in order of arrival"


async def test_requests_that_waited_too_long_are_refused(
    books: Database, queue: AuthorizationQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, free = await open_account(books, CASH=100), await open_account(books, CASH=100)
    monkeypatch.setattr(deferred, "PATIENCE_SECONDS", 0.1)
    async with locked(books, account):
        (late,) = ask(queue, request(account, 10))
        with pytest.raises(AccountLocked):
            await asyncio.wait_for(late, 20)
        assert await codes(ask(queue, request(free, 10))) == ["00"]
    assert await codes(ask(queue, request(account, 10))) == ["00"]
    assert (await balances(books, account))["CASH"] == 90, "refused requests moved no money"
    assert outcome_of(AccountLocked()) == (Code.REFUSED, Reason.ACCOUNT_HELD_UP)


async def test_no_more_requests_are_deferred_than_there_is_room(
    books: Database, queue: AuthorizationQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, free = await open_account(books, CASH=100), await open_account(books, CASH=100)
    monkeypatch.setattr(deferred, "MAX_DEFERRED", 4)
    async with locked(books, account):
        asked = ask(queue, *(request(account, 10) for _ in range(6)))
        done, kept = await asyncio.wait(asked, timeout=20, return_when=asyncio.FIRST_EXCEPTION)
        while len(done) < 2:
            done, kept = await asyncio.wait(asked, timeout=0.05)
        assert {type(task.exception()) for task in done} == {AccountLocked}
        assert len(kept) == 4
        assert await codes(ask(queue, request(free, 10))) == ["00"]
    assert await codes(list(kept)) == ["00"] * 4


@pytest.mark.parametrize("strategy", [Pessimistic, Optimistic])
async def test_a_request_of_a_strategy_without_a_queue_waits_for_the_lock(
    books: Database, strategy: Callable[[Authorizer], Pessimistic | Optimistic]
) -> None:
    account = await open_account(books, CASH=100)
    deciding: Coroutine[Any, Any, Decision] = strategy(Authorizer(books)).decide(request(account, 60))
    async with locked(books, account, spend=50):
        task = asyncio.create_task(deciding)
        await asyncio.wait([task], timeout=0.5)
        assert not task.done(), "longer than the queue would wait"
    assert (await asyncio.wait_for(task, 20)).code == "51"


async def test_two_processes_with_the_same_ids_in_another_order_do_not_lock_up(books: Database) -> None:
    one, other = Authorizer(books), Authorizer(books)
    accounts = [await open_account(books, CASH=100_000) for _ in range(2)]
    for _ in range(25):
        ids = [f"tx-{uuid4()}" for _ in range(40)]
        first, second = await asyncio.gather(
            one.decide([request(accounts[0], 10, name) for name in ids], "remembered"),
            other.decide([request(accounts[1], 10, name) for name in reversed(ids)], "remembered"),
        )
        assert sorted([first[0].code, second[0].code]) == ["00", "07"], "each id belongs to one of the two"
        assert len({decision.code for decision in first}) == len({decision.code for decision in second}) == 1
    left = [(await balances(books, account))["CASH"] for account in accounts]
    assert sum(left) == 200_000 - 25 * 40 * 10


async def test_deferred_requests_are_retried_in_order_with_new_ones(
    books: Database, queue: AuthorizationQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four other transactions alternate on the account, so that it is always locked: contention refuses no request."""
    monkeypatch.setattr(deferred, "PATIENCE_SECONDS", 15.0)
    account, over = await open_account(books, CASH=1_000), asyncio.Event()

    async def lock_in_turns() -> None:
        while not over.is_set():
            async with locked(books, account):
                await asyncio.sleep(0.015)  # the work of their batches

    async with asyncio.TaskGroup() as others:
        async with locked(books, account):
            asked = ask(queue, request(account, 10))
            while not queue._deferred:  # noqa: SLF001, ASYNC110 - no public state shows it
                await asyncio.sleep(0.005)
            for _ in range(4):
                others.create_task(lock_in_turns())
        try:
            assert await codes(asked) == ["00"]
        finally:
            over.set()
