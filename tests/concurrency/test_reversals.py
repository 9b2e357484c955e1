"""Reversals concurrent with their authorization, each other and an operator's: one effect for each id."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from carteira import ledger
from carteira.benefits import returns
from carteira.benefits.authorizer.answers import Code
from carteira.benefits.authorizer.request import Authorization
from carteira.benefits.authorizer.reversals import Reversal, Reversals, TransactionState
from carteira.benefits.authorizer.writer import Authorizer
from carteira.benefits.errors import AlreadyReturned
from carteira.kit.db.engine import Database
from carteira.kit.security.approvals import Act
from carteira.kit.values.ids import uuid7
from tests.support.benefits import OTHER, assert_reconciled, balances, open_account
from tests.support.databases import NewDatabase
from tests.support.ledger import TESTER

MODES: list[ledger.ConcurrencyMode] = ["locked", "compared", "remembered"]


@pytest.fixture(scope="module")
async def books(new_database: NewDatabase) -> AsyncIterator[Database]:
    database = Database(new_database("reversals"), pool_size=8)
    yield database
    await assert_reconciled(database)
    await database.close()


def request(account: str, amount: int, external_id: str) -> Authorization:
    return Authorization(uuid7(), account, amount, OTHER, "PADARIA DO ZE", external_id, fallback=True)


async def code_of(authorizer: Authorizer, asked: Authorization, mode: ledger.ConcurrencyMode) -> str:
    return (await authorizer.decide([asked], mode))[0].code


@pytest.mark.parametrize("mode", MODES)
async def test_a_reversal_at_the_same_instant_as_its_authorization_leaves_nothing_taken(
    books: Database, mode: ledger.ConcurrencyMode
) -> None:
    account = await open_account(books, CASH=1_000)
    authorizer, reversals = Authorizer(books), Reversals(books)
    for _ in range(15):
        name = f"tx-{uuid4()}"
        code, (answer, _) = await asyncio.gather(
            code_of(authorizer, request(account, 100, name), mode), reversals.reverse(Reversal(name))
        )
        assert (code in {"00", "07"}, answer) == (True, Code.APPROVED)
        assert (await reversals.query(name)).state is TransactionState.REVERSED
        assert (await balances(books, account))["CASH"] == 1_000
        assert await code_of(authorizer, request(account, 100, name), mode) == code, "reversed for good"


@pytest.mark.parametrize("mode", MODES)
async def test_a_batch_with_an_id_that_was_undone_decides_the_others(
    books: Database, mode: ledger.ConcurrencyMode
) -> None:
    account, undone = await open_account(books, CASH=1_000), f"tx-{uuid4()}"
    await Reversals(books).reverse(Reversal(undone))
    asked = [request(account, 100, name) for name in (f"tx-{uuid4()}", undone, f"tx-{uuid4()}")]
    decisions = await Authorizer(books).decide(asked, mode)
    assert [(each.code, each.reason) for each in decisions] == [
        ("00", "approved"),
        ("07", "reversed_before"),
        ("00", "approved"),
    ]
    assert (await balances(books, account))["CASH"] == 800


async def test_many_reversals_at_once_give_back_once_for_each_id_and_no_more_than_was_taken(books: Database) -> None:
    account, name = await open_account(books, CASH=1_000), f"tx-{uuid4()}"
    assert await code_of(Authorizer(books), request(account, 1_000, name), "compared") == "00"
    servers = [Reversals(books), Reversals(books)]
    parts = [f"part-{uuid4()}" for _ in range(6)]
    asked = [Reversal(name, part, 200) for part in parts for _ in range(3)]
    answers = await asyncio.gather(*(servers[n % 2].reverse(each) for n, each in enumerate(asked)))
    assert sorted(code for code, _ in answers) == ["00"] * 15 + ["07"] * 3, (
        "five of six parts, however often they are asked for"
    )
    assert (await balances(books, account))["CASH"] == 1_000
    whole = await asyncio.gather(*(servers[n % 2].reverse(Reversal(name)) for n in range(6)))
    assert {code for code, _ in whole} == {Code.APPROVED}
    assert (await balances(books, account))["CASH"] == 1_000


async def test_an_operator_and_the_processor_return_the_paid_amount_and_no_more(books: Database) -> None:
    account = await open_account(books, CASH=1_000)
    reversals = Reversals(books)
    for _ in range(8):
        name = f"tx-{uuid4()}"
        asked = request(account, 1_000, name)
        assert await code_of(Authorizer(books), asked, "compared") == "00"

        async def by_operator(asked: Authorization = asked) -> bool:
            try:
                async with books.transaction() as tx:
                    await returns.reverse(tx, asked.id, Act(TESTER))
            except AlreadyReturned:
                return False
            return True

        _, (code, _) = await asyncio.gather(by_operator(), reversals.reverse(Reversal(name)))
        assert code == Code.APPROVED
        assert (await balances(books, account))["CASH"] == 1_000
        found = await reversals.query(name)
        assert (found.state, found.returned) == (TransactionState.REVERSED, 1_000)


async def test_those_beyond_capacity_are_turned_away(books: Database) -> None:
    reversals = Reversals(books)
    results = await asyncio.gather(*(reversals.query(f"tx-{n}") for n in range(300)), return_exceptions=True)
    assert sum(isinstance(result, Exception) for result in results) == 40
