"""The authorizer under kill -9: what it approved is in the ledger once, and nothing that was not requested.

A load with transaction ids runs while a worker, the whole server or PostgreSQL is killed. Afterwards every `00` that a
client received is in the ledger once; any other movement belongs to a request that was sent and not answered, and
repeating that request gives `00` and moves nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import uuid4

import orjson
import pytest
from joserfc.jwk import OctKey
from sqlalchemy import text

from benchmarks.load import ConnectionLost, close_all, connect, http_request
from carteira.benefits.accounts import balances, find, open_account
from carteira.benefits.schemas import AccountIn
from carteira.embedded import EmbeddedServers
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.security.approvals import Act
from carteira.settings.production import DEVELOPMENT_JWT_SECRET
from tests.support.benefits import AUTHORIZER, processor_token, purchase
from tests.support.faults import FAULTS, ROUNDS, Clients, Journal, assert_proven, kill_postgresql, kill_the_server
from tests.support.ledger import TESTER
from tests.support.server import Server, wait_until_ready
from tests.support.waiting import until

ACCOUNTS = 8
START = 10_000_000

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60 + 60 * ROUNDS)]


class Shoppers(Clients):
    """Clients of the processor's: each request is a purchase of one real with an id."""

    def __init__(self, server: Server, accounts: list[str]) -> None:
        super().__init__(server, "00")
        self.accounts = accounts
        self.token = processor_token(OctKey.import_key(DEVELOPMENT_JWT_SECRET))

    def request(self, number: int, key: str) -> bytes:
        body = purchase(self.accounts[number % len(self.accounts)], "1.00", id=key)
        return http_request(self.server.url, AUTHORIZER, body, self.token)

    def code(self, status: int, body: bytes) -> str:
        assert status == 200
        return body[9:11].decode()


async def open_accounts(books: Database) -> list[str]:
    accounts = [f"f-{uuid4()}" for _ in range(ACCOUNTS)]
    async with books.transaction() as tx:
        for account in accounts:
            body = AccountIn(account=account, user_id=uuid4(), balances={"CASH": START})
            await open_account(tx, body, Act(TESTER))
    return accounts


async def in_the_books(books: Database, accounts: list[str]) -> list[str]:
    """Return the transaction ids that moved money."""
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
    assert set(booked) - journal.approved <= journal.unanswered, "money moved for a request with another answer"


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_answer_is_lost_and_none_is_made_up(
    server: Server, servers: EmbeddedServers, fault: Callable[[Server, EmbeddedServers], Awaitable[None]]
) -> None:
    books = Database(servers.endpoints.database_url, pool_size=2)
    accounts = await open_accounts(books)
    shoppers = Shoppers(server, accounts)
    journal = shoppers.journal
    async with shoppers.at_work():
        for _ in range(ROUNDS):
            await shoppers.more_approved()
            await fault(server, servers)
        await shoppers.more_approved()
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
    shoppers.journal.requests = {key: shoppers.request(0, key) for key in (f"tx-{uuid4()}" for _ in range(12))}
    before, during, after = (list(shoppers.journal.requests)[at : at + 4] for at in (0, 4, 8))

    async def ask(keys: list[str]) -> list[str | None]:
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


REVERSAL = f"{AUTHORIZER}/reversal"


@pytest.mark.parametrize(
    ("server", "fault"),
    [
        ("queue", kill_the_server),
        ("queue", kill_postgresql),
        ("optimistic", kill_the_server),
        ("pessimistic", kill_postgresql),
    ],
    indirect=["server"],
)
async def test_each_reversal_has_one_effect_however_often_it_is_asked_for(
    server: Server, servers: EmbeddedServers, fault: Callable[[Server, EmbeddedServers], Awaitable[None]]
) -> None:
    books = Database(servers.endpoints.database_url, pool_size=2)
    accounts = await open_accounts(books)
    shoppers = Shoppers(server, accounts)
    async with shoppers.at_work():
        await shoppers.more_approved()
        await shoppers.more_approved()
    bought = await in_the_books(books, accounts)
    undone: list[str] = []

    async def undo(keys: list[str]) -> None:
        """Reverse each until it is answered `00`; `07` says that the outcome is unknown."""
        for key in keys:
            body = orjson.dumps({"id": key})
            while key not in undone:
                try:
                    [connection] = await connect(server.url, 1)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                with suppress(ConnectionLost):
                    _, answer = await connection.send(http_request(server.url, REVERSAL, body, shoppers.token))
                    if answer == b'{"code":"00"}':
                        undone.append(key)
                await close_all([connection])

    undoing = [asyncio.create_task(undo(bought[number::8])) for number in range(8)]
    await until(lambda: len(undone) > 40, "some were undone")
    await fault(server, servers)
    await asyncio.gather(*undoing)
    async with books.transaction() as tx:
        for account in accounts:
            assert (await balances(tx, (await find(tx, account)).id))["CASH"] == START
        query = text(
            "SELECT count(*), count(DISTINCT decision_id) FROM benefits_returns r JOIN benefits_decisions d"
            " ON d.id = r.decision_id WHERE d.account = ANY(:accounts)"
        )
        returned, decisions = (await tx.execute(query, {"accounts": accounts})).one()
    assert returned == decisions == len(bought)
    await assert_proven(books)
    await books.close()
