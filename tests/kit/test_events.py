"""Followers read in commit order, every row once, and skip none, whatever transactions are open."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from sqlalchemy import RowMapping

from carteira.kit.db.engine import Database
from carteira.kit.db.outbox import Backlog, Event, Follower, emit, follow
from carteira.kit.db.session import Tx
from tests.support.databases import NewDatabase
from tests.support.horizon import pass_horizon


@pytest.fixture
async def own(new_database: NewDatabase) -> AsyncIterator[Database]:
    database = Database(new_database("events"), pool_size=16)
    yield database
    await database.close()


class Reader:
    """A follower that keeps what it is given."""

    def __init__(self, *, batch: int = 500) -> None:
        self.seen: list[str] = []
        self.fails = False
        self.follower = Follower("test.reader", Event.__table__, self.handle, batch)

    async def handle(self, _tx: Tx, rows: Sequence[RowMapping]) -> None:
        self.seen += [row["payload"]["name"] for row in rows]
        if self.fails:
            raise RuntimeError("the handler failed")

    async def read(self, database: Database, *, at_once: bool = False) -> int:
        if not at_once:
            await pass_horizon(database)
        async with database.transaction() as tx:
            return await follow(tx, self.follower)

    async def waiting(self, database: Database) -> int:
        return (await Backlog([self.follower]).lags(database.reads))[self.follower.name].rows


async def publish(database: Database, *names: str) -> None:
    async with database.transaction() as tx:
        for name in names:
            await emit(tx, "test", {"name": name})


async def test_events_come_in_order_and_once(own: Database) -> None:
    reader = Reader()
    assert await reader.read(own) == 0
    await publish(own, "a", "b")
    await publish(own, "c")
    assert (await reader.waiting(own), await reader.read(own), await reader.read(own)) == (3, 3, 0)
    await publish(own, "d")
    assert (await reader.waiting(own), await reader.read(own), await reader.waiting(own)) == (1, 1, 0)
    assert reader.seen == ["a", "b", "c", "d"]


async def test_batches_end_in_the_middle_of_a_transaction(own: Database) -> None:
    reader = Reader(batch=2)
    await publish(own, *"abcde")
    assert [await reader.read(own) for _ in range(4)] == [2, 2, 1, 0]
    assert reader.seen == [*"abcde"]


async def test_rolled_back_events_are_not_read(own: Database) -> None:
    reader = Reader()
    async with own.transaction() as tx:
        await emit(tx, "test", {"name": "never"})
        await tx.rollback()
    await publish(own, "a")
    assert (await reader.read(own), reader.seen) == (1, ["a"])


async def test_a_transaction_still_open_is_waited_for_and_not_skipped(own: Database) -> None:
    reader = Reader()
    async with own.transaction() as slow:
        await emit(slow, "test", {"name": "slow"})
        await publish(own, "quick")
        assert await reader.read(own, at_once=True) == 0  # later events wait, or the earlier one would be skipped
        async with own.transaction() as nested, nested.begin_nested():
            await emit(nested, "test", {"name": "in a savepoint"})
    assert await reader.read(own) == 3
    assert reader.seen == ["slow", "quick", "in a savepoint"]


async def test_a_look_separates_readable_rows_from_waiting_ones(own: Database) -> None:
    reader = Reader()
    backlog = Backlog([reader.follower])
    assert await backlog.look(own.reads) == ([], False)
    async with own.transaction() as slow:
        await emit(slow, "test", {"name": "slow"})
        await publish(own, "quick")
        assert await backlog.look(own.reads) == ([], True)
    await pass_horizon(own)
    assert await backlog.look(own.reads) == ([reader.follower], False)
    assert await reader.read(own) == 2
    assert await backlog.look(own.reads) == ([], False)
    assert await Backlog([]).look(own.reads) == ([], False)


async def test_a_handler_that_fails_gets_its_batch_again(own: Database) -> None:
    reader = Reader(batch=2)
    await publish(own, *"abc")
    reader.fails = True
    for _ in range(2):
        with pytest.raises(RuntimeError, match="handler"):
            await reader.read(own)
    reader.fails, reader.seen = False, []
    assert [await reader.read(own) for _ in range(3)] == [2, 1, 0]
    assert reader.seen == [*"abc"]


async def test_two_processes_at_once_handle_each_row_once(own: Database) -> None:
    one, other = Reader(batch=3), Reader(batch=3)
    names = [str(number) for number in range(60)]

    async def write(part: int) -> None:
        for name in names[part::4]:
            await publish(own, name)

    writers = asyncio.gather(*map(write, range(4)))

    async def read(reader: Reader) -> None:
        while not writers.done() or await reader.waiting(own):
            await reader.read(own, at_once=True)

    await asyncio.gather(writers, read(one), read(other))
    assert sorted(one.seen + other.seen, key=int) == names


async def test_followers_have_places_of_their_own(own: Database) -> None:
    one, other = Reader(), Reader()
    other.follower = Follower("test.other", Event.__table__, other.handle)
    await publish(own, "a")
    assert await one.read(own) == 1
    await publish(own, "b")
    assert (await one.read(own), await other.read(own)) == (1, 2)
    assert one.seen == other.seen == ["a", "b"]


async def test_events_without_subscribers_are_skipped_until_there_is_one(own: Database) -> None:
    reader = Reader()

    async def nobody(_tx: Tx) -> bool:
        return False

    reader.follower = replace(reader.follower, wanted=nobody)
    await publish(own, "a", "b")
    assert (await reader.read(own), await reader.waiting(own)) == (0, 0)

    async def nobody_yet(_tx: Tx) -> bool:
        """Answer for a follower that does not exist yet, and whose first event is written before its place moves."""
        await publish(own, "c")
        return False

    reader.follower = replace(reader.follower, wanted=nobody_yet)
    await publish(own, "passed over")
    assert await reader.read(own) == 0
    reader.follower = replace(reader.follower, wanted=None)
    assert await reader.read(own) == 1
    assert reader.seen == ["c"]
