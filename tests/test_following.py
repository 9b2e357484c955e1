"""The worker's followers read as soon as they are woken, and by themselves where nothing can wake them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from sqlalchemy import RowMapping

from carteira import worker
from carteira.embedded import Endpoints
from carteira.kit.db.engine import Database
from carteira.kit.db.outbox import Event, Follower, emit
from carteira.kit.db.session import Tx
from carteira.kit.outbound.redis import connect
from carteira.kit.outbound.wakes import publisher
from tests.support.databases import NewDatabase
from tests.support.waiting import until

NEVER = 1e6


class Following:
    """A worker with one follower, which keeps what it reads."""

    def __init__(self, database: Database) -> None:
        self.seen: list[str] = []
        self.fails = False
        self.follower = Follower("test.following", Event.__table__, self._handle)
        self.following = worker._Following(database, [self.follower])  # noqa: SLF001 - the test runs the worker's own loop

    async def _handle(self, _tx: Tx, rows: Sequence[RowMapping]) -> None:
        if self.fails:
            self.fails = False
            raise RuntimeError("the handler failed")
        self.seen += [row["payload"]["name"] for row in rows]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.following.look(stop))
            group.create_task(self.following.follow(self.follower, stop))
            yield
            stop.set()


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    return new_database("following")


@pytest.fixture
async def own(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    yield database
    await database.close()


async def publish(database: Database, name: str) -> None:
    async with database.transaction() as tx:
        await emit(tx, "test", {"name": name})


async def test_a_write_in_another_process_wakes_the_followers(
    own: Database, url: str, endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "HEARING_SECONDS", NEVER)
    reader = Following(own)
    server = Database(url)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(connect(endpoints.redis_url))
        stack.push_async_callback(server.close)
        server.wakes.publish = publisher(client)
        await worker._wake_and_be_woken(stack, endpoints.redis_url, own, reader.following)  # noqa: SLF001 - the worker calls it so
        await until(reader.following.is_hearing, "wakes are heard")
        await stack.enter_async_context(reader.running())
        for name in "abc":
            await publish(server, name)
            await until(lambda name=name: name in reader.seen, "it was read")  # type: ignore[misc] # bound now
        reader.fails = True
        await publish(own, "d")
        await until(lambda: reader.seen[-1] == "d", "what failed is read again, and the worker's own writes wake it")
    assert reader.seen == [*"abcd"]


async def test_without_redis_the_followers_poll(own: Database) -> None:
    reader = Following(own)
    async with reader.running():
        async with own.transaction() as slow:
            await emit(slow, "test", {"name": "slow"})
            await publish(own, "quick")
        await until(lambda: len(reader.seen) == 2, "both were read")
    assert reader.seen == ["slow", "quick"]
