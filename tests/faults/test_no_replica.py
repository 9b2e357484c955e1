"""A leader that has lost its replicas confirms no commit: it is given nothing more than what was under way."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from uuid import uuid4

import psycopg
import pytest

from carteira import schema
from carteira.benefits.authorizer import writer as authorizer
from carteira.benefits.authorizer.request import Authorization
from carteira.benefits.authorizer.strategies import AuthorizationQueue, deferred_gauge
from carteira.benefits.authorizer.writer import Authorizer
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.values.ids import uuid7
from carteira.ledger.lane import queue as lane
from carteira.ledger.lane import writer
from tests.support.benefits import OTHER, assert_reconciled, balances, open_account
from tests.support.clusters import Cluster, cluster
from tests.support.databases import open_database
from tests.support.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def leader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("leader")) as running:
        schema.migrate(running.url("carteira"))
        yield running


@contextmanager
def without_replicas(leader: Cluster) -> Iterator[None]:
    """Have commits wait for a replica that is not there, until the end of the block."""
    waits = threading.Event()

    def commit() -> None:
        with psycopg.connect(leader.url("carteira"), autocommit=True) as connection:
            while not waits.is_set():
                connection.execute("SELECT pg_logical_emit_message(true, 'test', '')")

    with ThreadPoolExecutor() as threads:
        try:
            leader.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
            threads.submit(commit)
            wait_until(lambda: waiting_commits(leader) == 1, "PostgreSQL heeds the setting")
            waits.set()
            yield
        finally:
            waits.set()
            leader.execute("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")


def request(account: str, amount: int, external_id: str | None = None) -> Authorization:
    return Authorization(uuid7(), account, amount, OTHER, "PADARIA DO ZE", external_id, fallback=True)


@asynccontextmanager
async def queue_of(books: Database) -> AsyncIterator[AuthorizationQueue]:
    made = AuthorizationQueue(Authorizer(books), deferred_gauge=deferred_gauge)
    async with made.running():
        yield made


def waiting_commits(leader: Cluster) -> int:
    with psycopg.connect(leader.superuser_url) as connection:
        found = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'").fetchone()
    assert found is not None
    return int(found[0])


async def test_without_replicas_only_what_was_under_way_is_written_and_the_rest_is_refused(
    leader: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "WRITE_SECONDS", 1.0)
    monkeypatch.setattr(writer, "CONFIRM_SECONDS", 1.0)
    async with open_database(leader.url("carteira"), 6) as books:
        accounts = [await open_account(books, CASH=100) for _ in range(4)]
        under_way, *others = accounts
        async with queue_of(books) as queue:
            assert [(await queue.decide(request(account, 10))).code for account in accounts] == ["00"] * 4
            with without_replicas(leader):
                waiting = asyncio.create_task(queue.decide(request(under_way, 10)))
                await asyncio.to_thread(wait_until, lambda: waiting_commits(leader) == 2, "it waits for a replica")
                for account in others:
                    with pytest.raises(DatabaseDown):
                        await queue.decide(request(account, 10))
                assert not waiting.done()
            assert (await waiting).code == "00"
            assert [(await queue.decide(request(account, 10))).code for account in accounts] == ["00"] * 4
        left = [(await balances(books, account))["CASH"] for account in accounts]
        assert left == [70, 80, 80, 80], "what was refused was not written later"
        await assert_reconciled(books)


async def test_what_was_under_way_for_too_long_is_refused_and_its_id_tells_that_it_was_written(
    leader: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "WRITE_SECONDS", 1.0)
    monkeypatch.setattr(authorizer, "RESOLVE_SECONDS", 1.0)
    monkeypatch.setattr(authorizer, "RESOLVE_TRY_SECONDS", 0.5)
    async with open_database(leader.url("carteira"), 6) as books:
        account, name = await open_account(books, CASH=100), f"tx-{uuid4()}"
        async with queue_of(books) as queue:
            with without_replicas(leader), pytest.raises(DatabaseDown):
                await queue.decide(request(account, 10, name))
            await asyncio.to_thread(wait_until, lambda: waiting_commits(leader) == 0, "the commit is confirmed")
            assert (await queue.decide(request(account, 10, name))).code == "00", "the first answer of that id"
        assert (await balances(books, account))["CASH"] == 90
        await assert_reconciled(books)
