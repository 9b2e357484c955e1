"""Bulk top-ups in several pieces: other requests are served meanwhile, no deadlock, nothing lost, all lines or none."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from carteira import ledger
from carteira.benefits import accounts, lifecycle, topups
from carteira.benefits.errors import BalanceLeft, BulkTopUpRejected
from carteira.benefits.schemas import BulkCreditOut, BulkCreditResult
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.ops.cooperative import PIECE
from carteira.kit.security.approvals import Act
from carteira.kit.values.csv_lines import BulkLines
from carteira.kit.web import csv_bodies
from tests.support.benefits import assert_reconciled, insert_accounts
from tests.support.databases import NewDatabase
from tests.support.ledger import TESTER

KINDS = ("FOOD", "MEAL")
LINES = 5 * PIECE // 2


@pytest.fixture(scope="module")
async def books(new_database: NewDatabase) -> AsyncIterator[Database]:
    database = Database(new_database("bulk"), pool_size=8)
    yield database
    await assert_reconciled(database)
    await database.close()


async def open_accounts(books: Database, count: int) -> list[str]:
    """Open accounts whose ledger accounts have ids in random order."""
    references = [f"u-{uuid4()}" for _ in range(count)]
    async with books.transaction() as tx:
        await insert_accounts(tx, references, KINDS)
    return references


def lines(accounts: list[str], category: str = "FOOD", amount: int = 1) -> list[dict[str, object]]:
    return [{"account": account, "category": category, "amount": amount} for account in accounts]


async def credit(books: Database, raw: list[dict[str, object]], *, atomic: bool = True) -> BulkCreditOut:
    async with books.transaction() as tx:
        return await topups.credit_many(tx, BulkLines(raw), Act(TESTER), atomic=atomic)


async def food(tx: Tx, account: str) -> tuple[UUID, int]:
    views = await ledger.accounts_of_holder(tx, (await accounts.find(tx, account)).id)
    return next((view.id, view.balance) for view in views if view.kind == "benefits.FOOD")


async def total(books: Database, accounts: list[str]) -> int:
    async with books.transaction() as tx:
        found: int = await tx.scalar(
            text(
                "SELECT sum(balance) FROM ledger_accounts money JOIN benefits_accounts account"
                " ON account.id = money.holder_id WHERE reference = ANY(:names)"
            ),
            {"names": accounts},
        )
        return found


async def test_no_iteration_of_the_loop_works_on_more_than_a_piece(
    books: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = 0
    worked: dict[str, Counter[int]] = {}

    async def other() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    def count(owner: object, name: str) -> None:
        original = getattr(owner, name)
        turns = worked[name] = Counter[int]()

        def counted(*values: Any, **options: Any) -> Any:  # noqa: ANN401 - the types of the wrapped function
            turns[turn] += 1
            return original(*values, **options)

        monkeypatch.setattr(owner, name, counted)

    accounts = await open_accounts(books, LINES)
    rows = "".join(f"{account},FOOD,1\n" for account in accounts)
    count(csv_bodies, "_add")
    count(topups, "_check")
    count(topups, "credited")
    count(ledger.Book, "post")
    count(BulkCreditResult, "model_dump")
    task = asyncio.create_task(other())
    sent = await csv_bodies.read_csv_body(
        f"account,category,amount\n{rows}".encode(), topups.CSV_COLUMNS, most=topups.MAX_BULK_LINES
    )
    raw = sent.lines
    await (await credit(books, raw)).written()
    with pytest.raises(BulkTopUpRejected):
        await credit(books, [*raw, {}])
    task.cancel()
    assert {name: turns.total() // LINES for name, turns in worked.items()} == {
        "_add": 1,
        "_check": 2,
        "credited": 2,
        "post": 1,
        "model_dump": 2,
    }
    assert max(most for turns in worked.values() for most in turns.values()) <= PIECE


async def test_bulks_over_the_same_accounts_in_any_order_neither_lock_up_nor_lose(books: Database) -> None:
    accounts = await open_accounts(books, LINES)
    rng = random.Random(11)
    orders = [accounts, accounts[::-1], *(rng.sample(accounts, len(accounts)) for _ in range(4))]
    done = await asyncio.gather(
        *(credit(books, lines(order, category, amount)) for amount, order in enumerate(orders, 1) for category in KINDS)
    )
    assert [one.credited for one in done] == [LINES] * 12
    assert await total(books, accounts) == 2 * LINES * sum(range(1, 7)) == sum(one.amount for one in done)


async def test_a_category_is_opened_by_bulks_in_any_order_once(books: Database) -> None:
    accounts = await open_accounts(books, LINES)
    rng = random.Random(3)
    orders = [rng.sample(accounts, LINES * part // 8) for part in (8, 5, 2, 1, 7, 3)]
    done = await asyncio.gather(*(credit(books, lines(order, "CASH", 10)) for order in orders))
    assert [one.credited for one in done] == [len(order) for order in orders]
    assert await total(books, accounts) == 10 * sum(len(order) for order in orders)


async def test_a_bad_line_in_the_last_piece_moves_nothing(books: Database) -> None:
    accounts = await open_accounts(books, LINES)
    for bad in ("nobody", "not a reference"):
        with pytest.raises(BulkTopUpRejected) as refused:
            await credit(books, lines([*accounts, bad]))
        results = refused.value.extra["results"]
        assert [result["line"] for result in results] == list(range(1, LINES + 2))
        assert [result["status"] for result in results] == ["not_credited"] * LINES + ["failed"]
        assert await total(books, accounts) == 0
    result = await credit(books, lines([*accounts, "nobody"]), atomic=False)
    assert (result.credited, result.failed, result.amount) == (LINES, 1, LINES)
    assert await total(books, accounts) == LINES


async def test_an_account_in_many_pieces_is_credited_in_the_order_of_its_lines(books: Database) -> None:
    one, *others = await open_accounts(books, 40)
    raw = [line for number in range(LINES) for line in lines([one, others[number % 39]], amount=number + 1)]
    result = await credit(books, raw)
    assert [line.line for line in result.results] == list(range(1, len(raw) + 1))
    assert [line.account for line in result.results] == [line["account"] for line in raw]
    entries = [line.entry_id for line in result.results if line.account == one]
    async with books.transaction() as tx:
        account_id, balance = await food(tx, one)
        rows = await tx.execute(
            text(
                "SELECT entry_id, amount, seq, balance_after FROM ledger_postings WHERE account_id = :id ORDER BY seq"
            ),
            {"id": account_id},
        )
        behind = [sum(range(number + 1)) for number in range(1, LINES + 1)]
        numbers = range(1, LINES + 1)
        assert [tuple(row) for row in rows] == list(zip(entries, numbers, numbers, behind, strict=True))
    assert balance == behind[-1]
    assert result.amount == 2 * behind[-1]


@pytest.mark.parametrize("atomic", [False, True])
async def test_an_account_closed_after_the_check_gets_nothing(
    books: Database, monkeypatch: pytest.MonkeyPatch, *, atomic: bool
) -> None:
    open_one, closed = await open_accounts(books, 2)
    judge = topups.weigh_many

    async def judged(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - the verb's types
        weighed = await judge(*args, **named)
        async with books.transaction() as other:
            await lifecycle.close(other, closed, TESTER)
        return weighed

    monkeypatch.setattr(topups, "weigh_many", judged)
    if atomic:
        with pytest.raises(BulkTopUpRejected):
            await credit(books, lines([open_one, closed]))
        assert await total(books, [open_one, closed]) == 0
        return
    done = await credit(books, lines([open_one, closed], amount=7), atomic=False)
    assert [(one.status, one.code) for one in done.results] == [
        ("credited", None),
        ("failed", "benefit_account_closed"),
    ]
    assert (done.credited, done.failed, done.amount) == (1, 1, 7)
    assert (await total(books, [open_one]), await total(books, [closed])) == (7, 0)


async def test_an_account_that_is_being_credited_is_not_closed_meanwhile(books: Database) -> None:
    references = await open_accounts(books, 20)

    async def close(reference: str) -> bool:
        try:
            async with books.transaction() as tx:
                await lifecycle.close(tx, reference, TESTER)
        except BalanceLeft:
            return False
        return True

    crediting = asyncio.create_task(credit(books, lines(references), atomic=False))
    were_closed = await asyncio.gather(*(close(reference) for reference in references))
    done = await crediting
    credited = {one.account for one in done.results if one.status == "credited"}
    assert credited == {name for name, was in zip(references, were_closed, strict=True) if not was}
    assert await total(books, references) == len(credited)
