"""A server that stands still blocks nothing: unanswered statements fail, and another connection is used."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import psycopg
import pytest
from procrastinate import PsycopgConnector
from sqlalchemy import func, select, text

from carteira.kit.db import jobs, lean, silence
from carteira.kit.db.address import DatabaseAddress
from carteira.kit.db.engine import Database, open_database
from carteira.kit.db.errors import CommitUnknown, DatabaseDown
from carteira.kit.db.reads import Query, rows
from tests.support.clusters import Cluster, cluster

pytestmark = pytest.mark.integration
LESS_THAN_A_COMMAND = lean.COMMAND_SECONDS - 5
"""The driver alone would wait for so long."""
WRITE = text("INSERT INTO written VALUES (1)")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("still")) as running:
        running.execute("CREATE TABLE written (number int)", "GRANT ALL ON written TO carteira", database="carteira")
        yield running


@pytest.fixture
async def books(server: Cluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """A database with one connection, which has been in use."""
    monkeypatch.setattr(silence, "SIGN_OF_LIFE_SECONDS", 0.3)
    async with open_database(server.url("carteira"), pool_size=1) as database:
        await backend(database)
        yield database


async def backend(books: Database) -> int:
    async with books.reading() as tx:
        return await tx.scalar(text("SELECT pg_backend_pid()")) or 0


async def test_a_read_of_a_silent_server_fails_and_the_next_one_has_a_new_connection(
    books: Database, server: Cluster
) -> None:
    before = await backend(books)
    with server.standing_still(), pytest.raises(DatabaseDown):
        await backend(books)
    assert await backend(books) not in {0, before}


async def test_a_read_that_is_under_way_fails_too(books: Database, server: Cluster) -> None:
    async with books.reading() as tx:
        await tx.scalar(text("SELECT 1"))
        with server.standing_still(), pytest.raises(Exception, match="closed in the middle"):
            await tx.scalar(text("SELECT 2"))
    assert await backend(books)


async def test_a_statement_and_a_commit_of_a_transaction_fail(books: Database, server: Cluster) -> None:

    async def write_twice() -> None:
        async with books.transaction() as tx:
            await tx.execute(WRITE)
            with server.standing_still():
                await tx.execute(WRITE)

    with pytest.raises(DatabaseDown):
        await write_twice()
    with ExitStack() as stack:

        async def write() -> None:
            async with books.transaction() as tx:
                await tx.execute(WRITE)
                stack.enter_context(server.standing_still())

        with pytest.raises(DatabaseDown):
            await write()
    async with books.transaction() as tx:
        assert await tx.scalar(text("SELECT count(*) FROM written")) in {0, 1}, "the commit is in doubt"


async def test_a_statement_that_takes_long_is_left_alone(books: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "SIGN_OF_LIFE_SECONDS", 2.0)  # a busy machine opens a connection in it, too
    before = await backend(books)
    async with books.transaction() as tx:
        await tx.execute(text("SELECT pg_sleep(5)"))
    assert await backend(books) == before


async def test_a_lean_read_fails_and_the_next_one_has_a_new_connection(books: Database, server: Cluster) -> None:
    query = Query(select(func.pg_backend_pid()))
    [(before,)] = await rows(books.reads, query)
    with server.standing_still(), pytest.raises(DatabaseDown):
        async with asyncio.timeout(LESS_THAN_A_COMMAND):
            await rows(books.reads, query)
    assert await rows(books.reads, query) != [(before,)]


async def test_a_write_without_a_lane_is_in_doubt(books: Database, server: Cluster) -> None:

    async def write() -> None:
        async with books.unlaned_statements() as tx:
            with server.standing_still():
                await tx.execute("INSERT INTO written VALUES (2)")

    with pytest.raises(CommitUnknown):
        async with asyncio.timeout(LESS_THAN_A_COMMAND):
            await write()
    async with books.unlaned_statements() as tx:
        assert await tx.fetchval("SELECT count(*) FROM written WHERE number = 2") in {0, 1}


async def test_a_write_without_a_lane_waits_no_longer_for_its_connection(books: Database) -> None:

    async def second() -> None:
        async with asyncio.timeout(LESS_THAN_A_COMMAND), books.unlaned_statements():
            pytest.fail("the only place is taken")

    with pytest.raises(CommitUnknown):  # the first block takes too long as well
        async with books.unlaned_statements():
            await second()
    with pytest.raises(DatabaseDown):
        async with books.lean_statements():
            await second()


async def test_writes_without_a_lane_leave_the_lanes_half_of_the_connections(server: Cluster) -> None:
    done, holding = asyncio.Event(), 0

    async def write(books: Database) -> None:
        nonlocal holding
        async with books.unlaned_statements():
            holding += 1
            await done.wait()

    async with open_database(server.url("carteira"), pool_size=4) as books, asyncio.TaskGroup() as flood:
        for _ in range(20):
            flood.create_task(write(books))
        async with asyncio.timeout(5), books.lean_statements() as one, books.lean_statements() as other:
            assert [await one.fetchval("SELECT 1"), await other.fetchval("SELECT 1")] == [1, 1]
            assert holding == 2
        done.set()


@pytest.fixture
async def queue(server: Cluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PsycopgConnector]:
    """The way to the queue of jobs, with one connection."""
    monkeypatch.setattr(silence, "SIGN_OF_LIFE_SECONDS", 0.3)
    way = jobs.connector(DatabaseAddress.parse(server.url("carteira")), most=1)
    await way.open_async()
    yield way
    await way.close_async()


async def backend_of_queue(queue: PsycopgConnector) -> int:
    return int((await queue.execute_query_one_async("SELECT pg_backend_pid() AS pid"))["pid"])


async def test_a_statement_of_the_queue_fails_and_the_next_one_has_a_new_connection(
    queue: PsycopgConnector, server: Cluster
) -> None:
    before = await backend_of_queue(queue)

    async def ask() -> None:
        async with queue.pool.connection() as connection:
            with server.standing_still():
                await connection.execute("SELECT 1")

    with pytest.raises(psycopg.OperationalError, match="server closed the connection"):
        await ask()
    assert await backend_of_queue(queue) not in {0, before}


async def test_a_statement_of_the_queue_that_takes_long_is_left_alone(
    queue: PsycopgConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SIGN_OF_LIFE_SECONDS", 2.0)
    before = await backend_of_queue(queue)
    await queue.execute_query_async("SELECT pg_sleep(5)")
    assert await backend_of_queue(queue) == before


async def test_listeners_of_the_queue_are_not_closed(queue: PsycopgConnector, server: Cluster) -> None:
    heard = asyncio.Event()

    async def hear(*, channel: str, payload: str) -> None:
        assert (channel, payload) == ("work", "new")
        heard.set()

    async def listeners() -> list[int]:
        rows = await queue.execute_query_all_async("SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN %%'")
        return [row["pid"] for row in rows]

    listening = asyncio.create_task(queue.listen_notify(hear, ["work"]))
    async with asyncio.timeout(30):
        while not (before := await listeners()):
            continue
    await asyncio.to_thread(server.execute, "SELECT pg_sleep(2)")
    assert await listeners() == before
    await asyncio.to_thread(server.execute, "NOTIFY work, 'new'", database="carteira")
    async with asyncio.timeout(30):
        await heard.wait()
    listening.cancel()
