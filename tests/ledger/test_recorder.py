"""Rows of another module are written together with a book, and holders are looked up in another module's table."""

from collections.abc import AsyncIterator
from typing import NamedTuple
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from carteira import ledger
from carteira.kit.db.engine import Database
from carteira.kit.db.insert import Insert
from carteira.kit.db.session import Tx
from tests.support.ledger import TESTER, balance_of, open_wallet, purchase


class Note(NamedTuple):
    number: int
    said: str | None


NOTES = Insert(
    (
        "test_notes (xid, number, said)",
        "SELECT (SELECT position_now()), new.* FROM unnest({0}::test_note[]) AS new",
    ),
    parameters=1,
)
PLAIN = ledger.Recorder(NOTES)
GUARDED = ledger.Recorder(NOTES, guard="test_require_seven({0})", guarded=1)
HOLDERS = ledger.Holders("test_holders", name="name", holder_id="who")


@pytest.fixture(scope="module")
async def _notes(ledger_database: Database) -> AsyncIterator[None]:
    """Create what a module would have: a table, its composite type and a guard.

    Committed, since statements are prepared.
    """
    async with ledger_database.transaction() as tx:
        for statement in (
            "CREATE TABLE test_notes (id bigint GENERATED ALWAYS AS IDENTITY, said text, number integer, xid bigint)",
            "CREATE TYPE test_note AS (number integer, said text)",
            """CREATE FUNCTION test_require_seven(known bigint) RETURNS boolean LANGUAGE plpgsql AS $$
               BEGIN
                   IF known IS DISTINCT FROM 7 THEN RAISE EXCEPTION 'not seven'; END IF;
                   RETURN true;
               END $$""",
        ):
            await tx.execute(text(statement))
    yield
    async with ledger_database.transaction() as tx:
        for statement in ("DROP FUNCTION test_require_seven", "DROP TABLE test_notes", "DROP TYPE test_note"):
            await tx.execute(text(statement))


@pytest.fixture
def notes_tx(_notes: None, ledger_tx: Tx) -> Tx:
    return ledger_tx


async def notes_in(tx: Tx) -> list[Note]:
    return [Note(*row) for row in await tx.execute(text("SELECT number, said FROM test_notes ORDER BY id"))]


@pytest.mark.parametrize("recorder", [PLAIN, GUARDED])
async def test_rows_are_written_with_the_book(notes_tx: Tx, recorder: ledger.Recorder) -> None:
    wallet = await open_wallet(notes_tx, 100)
    book = await ledger.lock(notes_tx, [wallet])
    book.post(purchase(wallet, 30))
    rows = [Note(1, "one"), Note(2, None)]
    await ledger.write(
        notes_tx, book, records=recorder.record(*([7] if recorder is GUARDED else []), rows), actor=TESTER
    )
    assert await balance_of(notes_tx, wallet) == 70
    assert await notes_in(notes_tx) == rows


async def test_rows_are_written_with_a_book_in_which_nothing_moved(notes_tx: Tx) -> None:
    await ledger.write(notes_tx, ledger.Book(()), records=GUARDED.record(7, [Note(1, None)]), actor=TESTER)
    assert await notes_in(notes_tx) == [Note(1, None)]


async def test_a_book_is_written_without_any_row(notes_tx: Tx) -> None:
    wallet = await open_wallet(notes_tx, 100)
    book = await ledger.lock(notes_tx, [wallet])
    book.post(purchase(wallet, 30))
    await ledger.write(notes_tx, book, records=PLAIN.record([]), actor=TESTER)
    assert await balance_of(notes_tx, wallet) == 70


async def test_a_guard_that_raises_keeps_book_and_rows_out(notes_tx: Tx) -> None:
    wallet = await open_wallet(notes_tx, 100)
    book = await ledger.lock(notes_tx, [wallet])
    book.post(purchase(wallet, 30))
    async with notes_tx.begin_nested() as nested:
        with pytest.raises(DBAPIError, match="not seven"):
            await ledger.write(notes_tx, book, records=GUARDED.record(6, [Note(1, None)]), actor=TESTER)
        await nested.rollback()
    assert await balance_of(notes_tx, wallet) == 100
    assert await notes_in(notes_tx) == []


async def test_a_stale_book_keeps_the_rows_out(notes_tx: Tx) -> None:
    wallet = await open_wallet(notes_tx, 100)
    book = await ledger.read(notes_tx, [wallet])
    await ledger.post(notes_tx, purchase(wallet, 30), actor=TESTER)
    book.post(purchase(wallet, 30))
    async with notes_tx.begin_nested() as nested:
        with pytest.raises(ledger.StaleBook):
            await ledger.write(notes_tx, book, records=PLAIN.record([Note(1, None)]), actor=TESTER)
        await nested.rollback()
    assert await notes_in(notes_tx) == []


async def test_accounts_are_found_by_their_holders_names(ledger_tx: Tx) -> None:
    holder, nobody, unasked = uuid4(), uuid4(), uuid4()
    wallet = await ledger.open_account(ledger_tx, "test.wallet", holder_id=holder)
    purse = await ledger.open_account(ledger_tx, "test.purse", holder_id=holder)
    await ledger_tx.execute(text("CREATE TEMPORARY TABLE test_holders (name text, who uuid)"))
    await ledger_tx.execute(
        text("INSERT INTO test_holders VALUES ('one', :holder), ('none', :nobody), ('other', :unasked)"),
        {"holder": holder, "nobody": nobody, "unasked": unasked},
    )
    held = await ledger.accounts_held(ledger_tx, HOLDERS, ["one", "none", "unknown"])
    assert {(name, *who, account and account.id) for name, who, account in held} == {
        ("one", holder, wallet),
        ("one", holder, purse),
        ("none", nobody, None),
    }
