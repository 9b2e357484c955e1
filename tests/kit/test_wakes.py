"""A writer to a followed table wakes the followers after its commit, no more often than they can use."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from carteira import ledger
from carteira.embedded import Endpoints
from carteira.kit.db.engine import Database
from carteira.kit.db.outbox import emit
from carteira.kit.db.wakes import Wakes
from carteira.kit.outbound.redis import connect
from carteira.kit.outbound.wakes import Listener, publisher
from carteira.kit.security import audit
from carteira.kit.values.actor import Actor
from tests.support.ledger import open_system_accounts, open_wallet, purchase
from tests.support.waiting import until


class Sent:
    """Counts what is sent; holds it back until it may go."""

    def __init__(self) -> None:
        self.count = 0
        self.may_go = asyncio.Event()
        self.may_go.set()

    async def __call__(self) -> None:
        self.count += 1
        await self.may_go.wait()


@pytest.fixture
async def sent(database: Database) -> AsyncIterator[Sent]:
    sent = Sent()
    database.wakes.publish = sent
    yield sent
    await database.wakes.close()


async def rung(database: Database, sent: Sent) -> int:
    """Return how often the followers were woken since the last call, at most once for all."""
    wakes = database.wakes
    await until(lambda: wakes._sending is None or wakes._sending.done(), "all is sent")  # noqa: SLF001 - no event announces the end
    count, sent.count = sent.count, 0
    return count


async def emit_and_fail(database: Database) -> None:
    async with database.transaction() as tx:
        await emit(tx, "test", {"name": "b"})
        raise RuntimeError("rolled back")


async def test_only_followed_tables_wake_and_after_their_commit(database: Database, sent: Sent) -> None:
    async with database.transaction() as tx:
        await emit(tx, "test", {"name": "a"})
        assert await rung(database, sent) == 0
    assert await rung(database, sent) == 1

    async with database.transaction() as tx:
        await tx.execute(text("SELECT 1"))
    await database.check_positions()
    assert await rung(database, sent) == 0

    with pytest.raises(RuntimeError, match="rolled back"):
        await emit_and_fail(database)
    assert await rung(database, sent) == 0

    async with database.transaction() as tx:
        await audit.record(tx, "token_rejected", actor=None)
    assert await rung(database, sent) == 1
    async with database.transaction() as tx:
        await open_system_accounts(tx)
        wallet = await open_wallet(tx, 1_000)
    assert await rung(database, sent) == 1
    async with database.transaction() as tx:
        await ledger.post(tx, purchase(wallet, 100), actor=Actor("command", "test"))
    assert await rung(database, sent) == 1
    async with database.lean_statements() as connection:
        await connection.execute("SELECT 1")
    assert await rung(database, sent) == 1


async def test_a_write_during_a_wake_causes_one_more() -> None:
    sent, wakes = Sent(), Wakes()
    wakes.ring()
    assert sent.count == 0, "no follower listens"
    wakes.publish = sent
    sent.may_go.clear()
    wakes.ring()
    await until(lambda: sent.count == 1, "the first is sent at once")
    for _ in range(100):
        wakes.ring()
    sent.may_go.set()
    await until(lambda: sent.count == 2, "one for all the others")
    await wakes.close()
    assert sent.count == 2
    wakes.ring()
    assert sent.count == 2, "it is closed"


async def test_due_wakes_are_sent_before_the_end() -> None:
    sent, wakes = Sent(), Wakes()
    wakes.publish = sent
    wakes.ring()
    await until(lambda: sent.count == 1, "it is sent")
    wakes.ring()
    await wakes.close()
    assert sent.count == 2


async def test_wakes_are_received_after_a_lost_connection(endpoints: Endpoints) -> None:
    woken = asyncio.Event()
    listener = Listener(endpoints.redis_url, woken.set)
    listening = asyncio.create_task(listener.listen())
    async with connect(endpoints.redis_url) as client:
        for _ in range(2):
            await until(lambda: listener.hears, "it listens")
            woken.clear()
            await publisher(client)()
            await asyncio.wait_for(woken.wait(), 30)
            await client.client_kill_filter(_type="pubsub")  # the other listeners start again, too
            await until(lambda: not listener.hears, "it noticed")
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert not listener.hears


async def test_nobody_is_woken_while_redis_is_away() -> None:
    woken = asyncio.Event()
    listener = Listener("redis://127.0.0.1:1", woken.set)
    listening = asyncio.create_task(listener.listen())
    async with connect("redis://127.0.0.1:1") as nowhere:
        await publisher(nowhere)()
    await asyncio.wait_for(woken.wait(), 30)  # to poll, since nothing will wake it
    assert not listener.hears
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
