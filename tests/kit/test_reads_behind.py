"""A replica answers reads that may be some seconds old; the leader does while the replica is away or late."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from carteira.doctor.database import check_replica
from carteira.kit.db import behind
from carteira.kit.db.address import Replica
from carteira.kit.db.engine import Database, open_database
from carteira.kit.db.session import Tx
from tests.support.app import settings_for
from tests.support.clusters import Cluster, cluster, replica_of

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def leader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("leader")) as running:
        yield running


@pytest.fixture(scope="module")
def follower(leader: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with replica_of(leader, tmp_path_factory.mktemp("replica")) as running:
        yield running


@pytest.fixture
async def books(leader: Cluster, follower: Cluster, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """A database whose replica may not be late at all, but takes its time on a busy machine."""
    monkeypatch.setattr(behind, "ANSWERS_IN_SECONDS", 30.0)
    async with open_database(leader.url("carteira"), replica=Replica(follower.url("carteira"), 0)) as database:
        yield database


async def is_replica(tx: Tx) -> bool:
    return bool(await tx.scalar(text("SELECT pg_is_in_recovery()")))


async def test_the_replica_answers_and_its_queries_cannot_write(books: Database, leader: Cluster) -> None:
    leader.execute("CREATE TABLE IF NOT EXISTS written (at int)", database="carteira")
    assert await books.read_behind(is_replica)
    async with books.transaction() as tx:
        assert not await is_replica(tx)
    async with books.reading() as tx:
        assert not await is_replica(tx), "a read that may not be old goes to the leader"

    async def wrong(tx: Tx) -> object:
        return await tx.scalar(text("SELECT 1 / 0"))

    with pytest.raises(DBAPIError, match="division by zero"):
        await books.read_behind(wrong)


async def test_a_replica_that_is_late_is_not_asked(books: Database, leader: Cluster, follower: Cluster) -> None:
    follower.execute("SELECT pg_wal_replay_pause()")
    try:
        leader.execute("CREATE TABLE late (at int)", database="carteira")
        assert not await books.read_behind(is_replica)
    finally:
        follower.execute("SELECT pg_wal_replay_resume()")


async def test_without_a_replica_the_leader_answers(leader: Cluster) -> None:
    async with open_database(leader.url("carteira")) as database:
        assert not await database.read_behind(is_replica)
    nowhere = Replica("postgresql://carteira@127.0.0.1:1/carteira", 10)
    async with open_database(leader.url("carteira"), replica=nowhere) as database:
        assert not await database.read_behind(is_replica)


async def test_the_doctor_knows_a_replica(leader: Cluster, follower: Cluster, tmp_path: Path) -> None:
    async def levels(url: str) -> list[str]:
        settings = settings_for(tmp_path, database_url=leader.url("carteira"), database_read_url=url)
        return [finding.level async for finding in check_replica(settings)]

    assert await levels(follower.url("carteira")) == ["ok"]
    assert await levels(leader.url("carteira")) == ["warn"]


async def test_a_replica_that_is_away_is_not_asked(books: Database, follower: Cluster) -> None:
    assert await books.read_behind(is_replica)
    follower.server.kill()
    try:
        assert not await books.read_behind(is_replica)
    finally:
        follower.server.start()


async def test_a_replica_that_stands_still_is_not_waited_for(
    books: Database, follower: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(behind, "LEFT_ALONE_SECONDS", 0.0)
    await eventually_behind(books)
    with monkeypatch.context() as patch, follower.standing_still():
        patch.setattr(behind, "ANSWERS_IN_SECONDS", 0.3)
        assert not await books.read_behind(is_replica), "a connection that was in use"
        assert not await books.read_behind(is_replica), "a new one"
    await eventually_behind(books)


async def eventually_behind(books: Database) -> None:
    """Wait until the replica answers again: it catches up first."""
    for _ in range(200):
        if await books.read_behind(is_replica):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the replica is not asked again")
