"""A connection that the network has cut is replaced before a statement was sent on it; later its loss is a fact."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
from sqlalchemy import text

from carteira import ledger
from carteira.benefits.ledger_kinds import FUNDING, SETTLEMENT
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import CommitUnknown, DatabaseDown
from carteira.kit.db.session import LeanTx
from tests.support.databases import NewDatabase
from tests.support.ledger import TESTER
from tests.support.relay import Relay, relay_of


@pytest.fixture(scope="module")
def url(new_database: NewDatabase) -> str:
    return new_database("begin")


@pytest.fixture
async def relay(url: str) -> AsyncIterator[Relay]:
    async with relay_of(url) as running:
        yield running


@pytest.fixture
async def books(relay: Relay) -> AsyncIterator[Database]:
    """A database with one connection in each pool, which has been in use."""
    database = Database(relay.url, pool_size=1)
    await database.ping()
    await database.check_positions()
    yield database
    await database.close()


async def test_a_connection_that_was_cut_is_replaced(books: Database, relay: Relay) -> None:
    cut = iter([True])
    relay.cuts = lambda _: next(cut, False)
    await books.ping()
    assert next(cut, None) is None, "one connection was cut"


async def test_a_server_that_cuts_each_connection_is_down(books: Database, relay: Relay) -> None:
    relay.cuts = lambda sent: b"BEGIN" in sent
    with pytest.raises(DatabaseDown):
        await books.ping()
    relay.cuts = lambda _: False
    await books.ping()


async def _move(tx: LeanTx, seen: list[str]) -> str:
    await tx.fetch("SELECT 'read'")
    seen.append("read")
    book = ledger.Book([])
    book.post(ledger.transfer("tests.move", source=FUNDING, target=SETTLEMENT, amount=1))
    await ledger.write(tx, book, actor=TESTER)
    return "moved"


async def test_work_whose_read_finds_a_cut_connection_is_left_to_the_session(books: Database, relay: Relay) -> None:
    seen: list[str] = []
    cut = iter([True])
    relay.cuts = lambda _: next(cut, False)
    assert await ledger.at_once(books, partial(_move, seen=seen)) is None
    assert not seen, "nothing was sent that moves money"
    assert await ledger.at_once(books, partial(_move, seen=seen)) == "moved"


async def test_money_that_was_under_way_when_the_connection_was_cut_is_unknown(books: Database, relay: Relay) -> None:
    relay.cuts = lambda sent: b"ledger_post" in sent
    with pytest.raises(CommitUnknown):
        await ledger.at_once(books, partial(_move, seen=[]))
    relay.cuts = lambda _: False
    async with books.transaction() as tx:
        assert await tx.scalar(text("SELECT count(*) FROM ledger_entries WHERE kind = 'tests.move'")) in {0, 1}
