"""The authorizer over HTTP on two workers: no centavo is lost or made, whichever strategy serialises an account."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from joserfc.jwk import OctKey
from sqlalchemy import text

from benchmarks.load import Connection, ConnectionLost, close_all, connect, http_request
from carteira.benefits import topups
from carteira.embedded import Endpoints
from carteira.kit.db.engine import Database
from carteira.kit.security.approvals import Act
from carteira.kit.values.csv_lines import BulkLines
from carteira.settings.production import DEVELOPMENT_JWT_SECRET
from tests.support.benefits import (
    AUTHORIZER,
    assert_reconciled,
    balances,
    insert_accounts,
    open_account,
    processor_token,
    purchase,
)
from tests.support.databases import NewDatabase
from tests.support.ledger import TESTER
from tests.support.server import Server, running_server

STRATEGIES = ["pessimistic", "optimistic", "queue"]
CLIENTS = 64
CATEGORIES = ("FOOD", "MEAL", "CASH")


@pytest.fixture(scope="module", params=STRATEGIES)
def server(
    request: pytest.FixtureRequest,
    new_database: NewDatabase,
    endpoints: Endpoints,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Server, str]]:
    url = new_database(f"authorizer_{request.param}")
    home = tmp_path_factory.mktemp(request.param)
    with running_server(
        home, database_url=url, redis_url=endpoints.redis_url, authorizer_strategy=request.param, log_level="warning"
    ) as running:
        assert len(running.workers()) == 2
        yield running, url


class Clients:
    """Sixty-four keep-alive connections; a request waits for a free one."""

    def __init__(self, url: str, connections: list[Connection]) -> None:
        self._url = url
        self._token = processor_token(OctKey.import_key(DEVELOPMENT_JWT_SECRET))
        self._free: asyncio.Queue[Connection] = asyncio.Queue()
        for connection in connections:
            self._free.put_nowait(connection)

    async def decide(self, body: bytes, query: str = "") -> str:
        connection = await self._free.get()
        try:
            status, answer = await connection.send(http_request(self._url, AUTHORIZER + query, body, self._token))
        finally:
            self._free.put_nowait(connection)
        assert status == 200
        code: str = json.loads(answer)["code"]
        return code


@pytest.fixture
async def clients(server: tuple[Server, str]) -> AsyncIterator[Clients]:
    connections = await connect(server[0].url, CLIENTS)
    yield Clients(server[0].url, connections)
    await close_all(connections)


@pytest.fixture
async def books(server: tuple[Server, str]) -> AsyncIterator[Database]:
    database = Database(server[1], pool_size=4)
    yield database
    await database.close()


async def open_accounts(books: Database, accounts: dict[str, dict[str, int]]) -> None:
    """Open many accounts, and credit them in one statement."""
    async with books.transaction() as tx:
        await insert_accounts(tx, list(accounts), CATEGORIES)
        lines = [
            {"account": reference, "category": name, "amount": amount}
            for reference, balances in accounts.items()
            for name, amount in balances.items()
        ]
        assert (await topups.credit_many(tx, BulkLines(lines), Act(TESTER), atomic=True)).failed == 0


async def test_one_account_is_spent_to_the_last_centavo_and_no_further(clients: Clients, books: Database) -> None:
    account = await open_account(books, CASH=100 * 730)
    codes = Counter(await asyncio.gather(*(clients.decide(purchase(account, "7.30")) for _ in range(256))))
    assert codes == {"00": 100, "51": 156}
    assert (await balances(books, account))["CASH"] == 0
    await assert_reconciled(books)


async def test_money_in_is_money_out_per_account_and_category(
    server: tuple[Server, str], clients: Clients, books: Database
) -> None:
    rng = random.Random(7)
    accounts = {f"c-{uuid4()}": {name: rng.randrange(1, 3000) for name in CATEGORIES} for _ in range(1000)}
    await open_accounts(books, accounts)
    requests = [
        (account, rng.randrange(1, 2000), rng.choice(["5411", "5812", "9999"]), rng.choice(["true", "false"]))
        for account in accounts
        for _ in range(2)
    ]
    rng.shuffle(requests)

    async def send(account: str, amount: int, mcc: str, fallback: str) -> str:
        body = purchase(account, f"{amount // 100}.{amount % 100:02}", mcc)
        return await clients.decide(body, f"?fallback={fallback}")

    codes = await asyncio.gather(*(send(*request) for request in requests))
    assert set(codes) == {"00", "51"}, server[0].log.read_text()[-4000:]
    approved = Counter[str]()
    for (account, amount, _, _), code in zip(requests, codes, strict=True):
        if code == "00":
            approved[account] += amount
    async with books.transaction() as tx:
        rows = await tx.execute(
            text(
                "SELECT account, category_used, sum(amount)::bigint AS amount FROM benefits_decisions"
                " WHERE code = '00' AND account = ANY(:accounts) GROUP BY account, category_used"
            ),
            {"accounts": list(accounts)},
        )
        spent = {(row.account, row.category_used): row.amount for row in rows}
        kinds = await tx.execute(
            text(
                "SELECT a.reference, l.kind, l.balance FROM benefits_accounts a JOIN ledger_accounts l"
                " ON l.holder_id = a.id WHERE a.reference = ANY(:accounts)"
            ),
            {"accounts": list(accounts)},
        )
        left = {(row.reference, row.kind.removeprefix("benefits.")): row.balance for row in kinds}
    for account, start in accounts.items():
        for category, amount in start.items():
            assert left[account, category] == amount - spent.get((account, category), 0) >= 0
        assert sum(amount for (name, _), amount in spent.items() if name == account) == approved[account]
    await assert_reconciled(books)


async def test_one_transaction_id_fifty_times_at_once_moves_money_once(clients: Clients, books: Database) -> None:
    for _ in range(5):
        account = await open_account(books, CASH=100_000)
        body = purchase(account, "10.00", id=f"tx-{uuid4()}")
        assert set(await asyncio.gather(*(clients.decide(body) for _ in range(50)))) == {"00"}
        assert (await balances(books, account))["CASH"] == 99_000
    poor = await open_account(books, CASH=999)
    body = purchase(poor, "10.00", id=f"tx-{uuid4()}")
    assert set(await asyncio.gather(*(clients.decide(body) for _ in range(50)))) == {"51"}
    await assert_reconciled(books)


async def test_one_id_claimed_by_different_purchases_at_once_goes_to_one_of_them(
    clients: Clients, books: Database
) -> None:
    accounts = [await open_account(books, CASH=1000) for _ in range(10)]
    reused = f"tx-{uuid4()}"
    codes = await asyncio.gather(*(clients.decide(purchase(account, "10.00", id=reused)) for account in accounts))
    assert Counter(codes) == {"00": 1, "07": 9}
    left = [(await balances(books, account))["CASH"] for account in accounts]
    assert sorted(left) == [0] + [1000] * 9


def test_shutdown_finishes_running_requests(new_database: NewDatabase, endpoints: Endpoints, tmp_path: Path) -> None:
    url = new_database("shutdown")

    async def spend(running: Server) -> Counter[str]:
        books = Database(url, pool_size=2)
        account = await open_account(books, CASH=10_000_000)
        connections = await connect(running.url, 8)
        clients = Clients(running.url, connections)
        answered: Counter[str] = Counter()

        async def shop() -> None:
            while True:
                try:
                    answered[await clients.decide(purchase(account, "1.00"))] += 1
                except ConnectionLost:
                    return
                if sum(answered.values()) == 200:
                    running.process.terminate()

        await asyncio.gather(*(shop() for _ in range(8)))
        await close_all(connections)
        spent = 10_000_000 - (await balances(books, account))["CASH"]
        assert spent == answered["00"] * 100, "the answers agree with what moved: no request was cut off"
        await books.close()
        return answered

    with running_server(tmp_path, database_url=url, redis_url=endpoints.redis_url, log_level="warning") as running:
        answered = asyncio.run(spend(running))
        assert running.process.wait(20) == 0
    assert set(answered) == {"00"}
