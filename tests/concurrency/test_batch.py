"""A process's memory of accounts never decides wrongly, and each commit in doubt is resolved once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from asyncpg import UniqueViolationError
from sqlalchemy import text

from carteira.benefits import topups
from carteira.benefits.authorizer.batch import AuthorizationBatch
from carteira.benefits.authorizer.decisions import resolve_unknown_commit
from carteira.benefits.authorizer.request import Authorization
from carteira.benefits.authorizer.writer import Authorizer
from carteira.benefits.schemas import CreditIn
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import CommitUnknown, DatabaseDown
from carteira.kit.security.approvals import Act
from carteira.kit.values.ids import uuid7
from carteira.ledger.lane import batch
from carteira.ledger.lane.batch import ConcurrencyMode
from carteira.ledger.lane.writer import CommitInDoubt
from tests.support.benefits import OTHER, assert_reconciled, balances, open_account
from tests.support.databases import NewDatabase
from tests.support.ledger import TESTER


@pytest.fixture(scope="module")
async def books(new_database: NewDatabase) -> AsyncIterator[Database]:
    database = Database(new_database("batch"), pool_size=6)
    yield database
    await assert_reconciled(database)
    await database.close()


def request(account: str, amount: int, external_id: str | None = None) -> Authorization:
    return Authorization(uuid7(), account, amount, OTHER, "PADARIA DO ZE", external_id, fallback=True)


async def codes(authorizer: Authorizer, *requests: Authorization) -> list[str]:
    return [decision.code for decision in await authorizer.decide(requests, "remembered")]


async def test_concurrent_debits_are_not_spent_again(books: Database) -> None:
    account = await open_account(books, CASH=100)
    one, other = Authorizer(books), Authorizer(books)
    assert await codes(one, request(account, 10)) == ["00"]
    assert await codes(other, request(account, 60)) == ["00"]
    assert await codes(one, request(account, 20), request(account, 11)) == ["00", "51"], (
        "it remembers 90; the balance is 30"
    )
    assert (await balances(books, account))["CASH"] == 10


async def test_concurrent_credits_can_be_spent(books: Database) -> None:
    account = await open_account(books, CASH=100)
    authorizer = Authorizer(books)
    assert await codes(authorizer, request(account, 90)) == ["00"]
    async with books.transaction() as tx:
        await topups.credit(tx, account, CreditIn(category="CASH", amount=50), Act(TESTER))
    assert await codes(authorizer, request(account, 60)) == ["00"], "it remembers 10; the balance is 60"


async def test_an_account_opened_after_a_refusal_is_found(books: Database) -> None:
    authorizer, unknown = Authorizer(books), f"c-{uuid4()}"
    assert await codes(authorizer, request(unknown, 10)) == ["07"]
    async with books.transaction() as tx:
        await tx.execute(
            text("INSERT INTO benefits_accounts (id, reference) VALUES (:id, :name)"), {"id": uuid7(), "name": unknown}
        )
    assert await codes(authorizer, request(unknown, 10)) == ["51"]


async def test_memory_is_bounded(books: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MAX_REMEMBERED", 2)
    accounts = [await open_account(books, CASH=100) for _ in range(4)]
    authorizer = Authorizer(books)
    for _ in range(3):
        assert await codes(authorizer, *(request(account, 10) for account in accounts)) == ["00"] * 4
    assert len(authorizer._memory._wallets) == 2  # noqa: SLF001 - only the cache shows it
    assert [(await balances(books, account))["CASH"] for account in accounts] == [70] * 4


async def test_a_batch_with_an_id_that_was_answered_gives_that_answer_and_decides_the_rest(books: Database) -> None:
    account = await open_account(books, CASH=100)
    first, name = Authorizer(books), f"tx-{uuid4()}"
    assert await codes(first, request(account, 10, name)) == ["00"]
    batch = [request(account, 5), request(account, 10, name), request(account, 11, name), request(account, 5)]
    decisions = await Authorizer(books).decide(batch, "remembered")
    assert [decision.code for decision in decisions] == ["00", "00", "07", "00"]
    assert decisions[1].id not in {each.id for each in batch}, "the first answer again"
    assert (await balances(books, account))["CASH"] == 80


class CutOff(Database):
    """A database whose connections break behind a batch's write, before or after it was done."""

    def __init__(self, url: str, *, done: bool) -> None:
        super().__init__(url, pool_size=2)
        self._done = done
        self.cut = False

    def lose_next(self, monkeypatch: pytest.MonkeyPatch) -> None:
        run = AuthorizationBatch.run

        async def cut_off(batch: AuthorizationBatch, *args: object, **more: object) -> None:
            write = batch._write  # noqa: SLF001 - the test interrupts between decision and write

            async def lost(*args: object, **more: object) -> None:
                if self._done:
                    await write(*args, **more)  # type: ignore[arg-type] # passed on as they came
                if not self.cut:
                    self.cut = True
                    raise CommitUnknown
                await write(*args, **more)  # type: ignore[arg-type] # passed on as they came

            monkeypatch.setattr(batch, "_write", lost)
            await run(batch, *args, **more)  # type: ignore[arg-type] # passed on as they came

        monkeypatch.setattr(AuthorizationBatch, "run", cut_off)


@pytest.mark.parametrize("done", [True, False])
async def test_a_write_that_was_not_confirmed_is_looked_up(
    books: Database, monkeypatch: pytest.MonkeyPatch, *, done: bool
) -> None:
    account, name = await open_account(books, CASH=100), f"tx-{uuid4()}"
    database = CutOff(books.address.conninfo, done=done)
    authorizer = Authorizer(database)
    with monkeypatch.context() as patched:
        database.lose_next(patched)
        if done:
            assert await codes(authorizer, request(account, 10, name)) == ["00"]
        else:
            with pytest.raises(DatabaseDown):
                await authorizer.decide([request(account, 10, name)], "remembered")
    assert database.cut
    assert (await balances(books, account))["CASH"] == (90 if done else 100)
    assert await codes(Authorizer(books), request(account, 10, name)) == ["00"], "a repeated request is answered"
    assert (await balances(books, account))["CASH"] == 90
    await database.close()


async def test_a_silent_server_is_waited_for_up_to_the_limit(books: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    account = await open_account(books, CASH=100)
    authorizer, run = Authorizer(books), AuthorizationBatch.run

    async def silent(_batch: AuthorizationBatch, tx: Any, _mode: str, **_more: object) -> None:  # noqa: ANN401 - the driver's types
        await tx.execute("SELECT pg_sleep(60)")

    with monkeypatch.context() as patched:
        patched.setattr(AuthorizationBatch, "run", silent)
        modes: tuple[ConcurrencyMode, ...] = ("remembered", "free")
        for mode in modes:
            with pytest.raises(CommitInDoubt) as doubt:
                await authorizer.attempt([request(account, 10)], mode, seconds=0.05)
            with pytest.raises(DatabaseDown):
                await authorizer.settle(doubt.value)
    monkeypatch.setattr(AuthorizationBatch, "run", run)
    assert await codes(authorizer, request(account, 10)) == ["00"]


async def test_a_refused_unconfirmed_write_cannot_be_written_later(books: Database) -> None:
    account = await open_account(books, CASH=100)
    authorizer = Authorizer(books)
    late = await authorizer.begin([request(account, 10)])
    under_way, go_on = asyncio.Event(), asyncio.Event()
    write = late._write  # noqa: SLF001 - the test fails it after the write

    async def write_late(*args: object, **more: object) -> None:
        under_way.set()
        await go_on.wait()
        await write(*args, **more)  # type: ignore[arg-type] # passed on as they came

    late._write = write_late  # type: ignore[method-assign] # noqa: SLF001 - only this batch writes late

    async def run() -> None:
        async with books.lean_statements() as tx:
            await late.run(tx, "remembered")

    running = asyncio.create_task(run())
    await under_way.wait()
    async with books.lean_statements() as tx:
        assert await resolve_unknown_commit(tx, late.fresh[0])
        assert await resolve_unknown_commit(tx, late.fresh[0]), "and again, if the retry was not confirmed either"
    go_on.set()
    with pytest.raises(UniqueViolationError):
        await running
    assert (await balances(books, account))["CASH"] == 100
