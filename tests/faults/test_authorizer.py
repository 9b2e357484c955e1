"""The authorizer under kill -9: what it answered is in the books, once, and nothing else that it was not asked for.

A load with transaction ids runs while a worker, the whole server or PostgreSQL is killed. Afterwards every `00` that a
client received is in the ledger once; any other movement belongs to a request that was sent and not answered, and
repeating that request gives `00` and moves nothing.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from joserfc.jwk import OctKey
from sqlalchemy import text

from benchmarks.load import Connection, ConnectionLost, close_all, connect, http_request
from carteira import ledger
from carteira.benefits.accounts import balances, find, open_account
from carteira.benefits.schemas import AccountIn
from carteira.embedded import EmbeddedServers
from carteira.kit.db import outbox
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.security.approvals import Act
from carteira.ledger import chain
from carteira.settings.production import DEVELOPMENT_JWT_SECRET
from tests.support.benefits import AUTHORIZER, processor_token, purchase
from tests.support.databases import prepare
from tests.support.horizon import pass_horizon
from tests.support.ledger import TESTER
from tests.support.server import Server, running_server, wait_until_ready
from tests.support.waiting import until

ROUNDS = int(os.environ.get("CARTEIRA_FAULT_ROUNDS", "1"))
"""How often each fault happens; `make test-faults` asks for ten."""

CLIENTS = 16
ACCOUNTS = 8
START = 10_000_000

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60 + 60 * ROUNDS)]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    """Servers of this module's own, which sync to disk and may be killed."""
    with EmbeddedServers(tmp_path_factory.mktemp("faults"), aws=False) as running:
        prepare(running.endpoints)
        yield running


@pytest.fixture
def server(servers: EmbeddedServers, tmp_path: Path) -> Iterator[Server]:
    endpoints = servers.endpoints
    with running_server(
        tmp_path, database_url=endpoints.database_url, redis_url=endpoints.redis_url, log_level="warning"
    ) as running:
        yield running


@dataclass
class Journal:
    """What a client knows: the answer to each transaction id, or that there was none."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def approved(self) -> set[str]:
        return {key for key, code in self.answers.items() if code == "00"}

    @property
    def unanswered(self) -> set[str]:
        return self.bodies.keys() - self.answers.keys()


class Shoppers:
    """Clients that go on through everything: a lost connection is opened again, its request is not repeated."""

    def __init__(self, server: Server, accounts: list[str]) -> None:
        self.server = server
        self.accounts = accounts
        self.journal = Journal()
        self.token = processor_token(OctKey.import_key(DEVELOPMENT_JWT_SECRET))
        self.stop = asyncio.Event()

    async def ask(self, connection: Connection, key: str) -> str:
        request = http_request(self.server.url, AUTHORIZER, self.journal.bodies[key], self.token)
        status, body = await connection.send(request)
        assert status == 200
        return body[9:11].decode()

    async def shop(self, number: int) -> None:
        while not self.stop.is_set():
            try:
                [connection] = await connect(self.server.url, 1)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            try:
                while not self.stop.is_set():
                    key = f"tx-{uuid4()}"
                    self.journal.bodies[key] = purchase(self.accounts[number % len(self.accounts)], "1.00", id=key)
                    self.journal.answers[key] = await self.ask(connection, key)
            except ConnectionLost:
                continue
            finally:
                await close_all([connection])

    @asynccontextmanager
    async def shopping(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.shop(number)) for number in range(CLIENTS)]
        try:
            yield
        finally:
            self.stop.set()
            await asyncio.gather(*tasks)

    async def repeat_unanswered(self) -> None:
        [connection] = await connect(self.server.url, 1)
        for key in sorted(self.journal.unanswered):
            self.journal.answers[key] = await self.ask(connection, key)
        await close_all([connection])


async def open_accounts(books: Database) -> list[str]:
    accounts = [f"f-{uuid4()}" for _ in range(ACCOUNTS)]
    async with books.transaction() as tx:
        for account in accounts:
            body = AccountIn(account=account, user_id=uuid4(), balances={"CASH": START})
            await open_account(tx, body, Act(TESTER))
    return accounts


async def in_the_books(books: Database, accounts: list[str]) -> list[str]:
    """The transaction ids that moved money."""
    query = text("""
        SELECT decision.external_id FROM benefits_decisions decision JOIN ledger_entries entry ON entry.id = decision.id
        WHERE decision.account = ANY(:accounts) AND decision.code = '00'
    """)
    async with books.transaction() as tx:
        return [row.external_id for row in await tx.execute(query, {"accounts": accounts})]


async def assert_whole(books: Database, accounts: list[str], journal: Journal) -> None:
    booked = await in_the_books(books, accounts)
    assert len(booked) == len(set(booked)), "an id moved money twice"
    assert journal.approved <= set(booked), "an approval is not in the books"
    assert set(booked) - journal.approved <= journal.unanswered, "money moved for a request answered otherwise"


async def assert_proven(books: Database) -> None:
    await pass_horizon(books)
    while True:
        async with books.transaction() as tx:
            if not await outbox.follow(tx, chain.follower):
                break
    async with books.transaction() as tx:
        assert (await ledger.reconcile(tx)).differences == []
    async with books.transaction() as tx:
        async for result in ledger.verify(tx):
            assert result.findings == []


async def kill_a_worker(server: Server, _servers: EmbeddedServers) -> None:
    victim = server.workers()[0]
    os.kill(victim, signal.SIGKILL)


async def kill_the_server(server: Server, _servers: EmbeddedServers) -> None:
    workers = server.workers()
    for process in (server.process.pid, *workers):
        os.kill(process, signal.SIGKILL)
    server.process.wait()
    server.restart()


async def kill_postgresql(_server: Server, servers: EmbeddedServers) -> None:
    servers.postgres.kill()
    await asyncio.to_thread(servers.postgres.start)


@pytest.mark.parametrize("fault", [kill_a_worker, kill_the_server, kill_postgresql])
async def test_no_answer_is_lost_and_none_is_made_up(
    server: Server, servers: EmbeddedServers, fault: Callable[[Server, EmbeddedServers], Awaitable[None]]
) -> None:
    books = Database(servers.endpoints.database_url, pool_size=2)
    accounts = await open_accounts(books)
    shoppers = Shoppers(server, accounts)
    journal = shoppers.journal
    async with shoppers.shopping():
        for _ in range(ROUNDS):
            before = len(journal.approved)
            await until(lambda least=before + 100: len(journal.approved) > least, "the load goes on")  # type: ignore[misc] # a default argument binds this round
            await fault(server, servers)
        before = len(journal.approved)
        await until(lambda: len(journal.approved) > before + 100, "the load goes on")
    wait_until_ready(server)
    await assert_whole(books, accounts, journal)
    moved = set(await in_the_books(books, accounts))
    lost = journal.unanswered & moved
    await shoppers.repeat_unanswered()
    assert {journal.answers[key] for key in lost} <= {"00"}
    await assert_whole(books, accounts, journal)
    async with books.transaction() as tx:
        left = 0
        for account in accounts:
            left += (await balances(tx, (await find(tx, account)).id))["CASH"]
    assert left == ACCOUNTS * START - 100 * len(journal.approved)
    await assert_proven(books)
    await books.close()


async def test_without_postgresql_everything_is_07_and_it_recovers_by_itself(
    server: Server, servers: EmbeddedServers
) -> None:
    books = Database(servers.endpoints.database_url, pool_size=2)
    [account, *_] = await open_accounts(books)
    shoppers = Shoppers(server, [account])
    connections = await connect(server.url, 4)
    shoppers.journal.bodies = {key: purchase(account, "1.00", id=key) for key in (f"tx-{uuid4()}" for _ in range(12))}
    before, during, after = (list(shoppers.journal.bodies)[at : at + 4] for at in (0, 4, 8))

    async def ask(keys: list[str]) -> list[str]:
        return await asyncio.gather(*(shoppers.ask(c, key) for c, key in zip(connections, keys, strict=True)))

    assert await ask(before) == ["00"] * 4
    servers.postgres.stop()
    assert await ask(during) == ["07"] * 4
    with pytest.raises(DatabaseDown):
        await books.ping()
    servers.postgres.start()
    assert await ask(after) == ["00"] * 4
    assert await ask(before) == ["00"] * 4
    async with books.transaction() as tx:
        balance = (await balances(tx, (await find(tx, account)).id))["CASH"]
    assert balance == START - 800
    await close_all(connections)
    await books.close()
