"""The authorizer over HTTP on two workers: no centavo is lost or made, whichever strategy serialises an account."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from joserfc.jwk import OctKey
from sqlalchemy import text

from carteira import ledger
from carteira.benefits import service
from carteira.benefits.schemas import AccountIn
from carteira.embedded import Endpoints
from carteira.kit.tx import Database
from carteira.settings import DEVELOPMENT_JWT_SECRET
from tests.benefits.support import AUTHORIZER, processor_token, purchase
from tests.server import Server, running_server

STRATEGIES = ["pessimistic", "optimistic", "queue"]
CLIENTS = 64


@pytest.fixture(scope="module", params=STRATEGIES)
def server(
    request: pytest.FixtureRequest,
    new_database: Callable[[str], str],
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


@pytest.fixture
async def client(server: tuple[Server, str]) -> AsyncIterator[httpx.AsyncClient]:
    token = processor_token(OctKey.import_key(DEVELOPMENT_JWT_SECRET))
    limits = httpx.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
    async with httpx.AsyncClient(
        base_url=server[0].url, headers={"Authorization": f"Bearer {token}"}, limits=limits, timeout=60
    ) as client:
        yield client


@pytest.fixture
async def books(server: tuple[Server, str]) -> AsyncIterator[Database]:
    database = Database(server[1], pool_size=4)
    yield database
    await database.close()


async def open_account(books: Database, **balances: int) -> str:
    reference = f"c-{uuid4()}"
    async with books.transaction() as tx:
        await service.open_account(tx, AccountIn(account=reference, user_id=uuid4(), balances=balances))
    return reference


async def authorize(client: httpx.AsyncClient, body: bytes, query: str = "") -> str:
    response = await client.post(AUTHORIZER + query, content=body)
    assert response.status_code == 200
    code: str = response.json()["code"]
    return code


async def balances(books: Database, account: str) -> dict[str, int]:
    async with books.transaction() as tx:
        return await service.balances(tx, (await service.find(tx, account)).id)


async def assert_reconciled(books: Database) -> None:
    async with books.transaction() as tx:
        assert (await ledger.reconcile(tx)).differences == []


async def test_one_account_is_spent_to_the_last_centavo_and_no_further(
    client: httpx.AsyncClient, books: Database
) -> None:
    account = await open_account(books, CASH=100 * 730)
    codes = Counter(await asyncio.gather(*(authorize(client, purchase(account, "7.30")) for _ in range(256))))
    assert codes == {"00": 100, "51": 156}
    assert (await balances(books, account))["CASH"] == 0
    await assert_reconciled(books)


async def test_money_in_is_money_out_per_account_and_category(client: httpx.AsyncClient, books: Database) -> None:
    rng = random.Random(7)
    accounts = {}
    async with books.transaction() as tx:
        for _ in range(1000):
            start = {name: rng.randrange(0, 3000) for name in ("FOOD", "MEAL", "CASH")}
            reference = f"c-{uuid4()}"
            await service.open_account(tx, AccountIn(account=reference, user_id=uuid4(), balances=start))
            accounts[reference] = start
    requests = [
        (account, rng.randrange(1, 2000), rng.choice(["5411", "5812", "9999"]), rng.choice(["true", "false"]))
        for account in accounts
        for _ in range(3)
    ]
    rng.shuffle(requests)
    gate = asyncio.Semaphore(CLIENTS)

    async def send(account: str, amount: int, mcc: str, fallback: str) -> str:
        async with gate:
            body = purchase(account, f"{amount // 100}.{amount % 100:02}", mcc)
            return await authorize(client, body, f"?fallback={fallback}")

    codes = await asyncio.gather(*(send(*request) for request in requests))
    assert set(codes) == {"00", "51"}
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


async def test_one_transaction_id_fifty_times_at_once_moves_money_once(
    client: httpx.AsyncClient, books: Database
) -> None:
    for _ in range(5):
        account = await open_account(books, CASH=100_000)
        body = purchase(account, "10.00", id=f"tx-{uuid4()}")
        assert set(await asyncio.gather(*(authorize(client, body) for _ in range(50)))) == {"00"}
        assert (await balances(books, account))["CASH"] == 99_000
    poor = await open_account(books, CASH=999)
    body = purchase(poor, "10.00", id=f"tx-{uuid4()}")
    assert set(await asyncio.gather(*(authorize(client, body) for _ in range(50)))) == {"51"}
    await assert_reconciled(books)


async def test_one_id_claimed_by_different_purchases_at_once_goes_to_one_of_them(
    client: httpx.AsyncClient, books: Database
) -> None:
    accounts = [await open_account(books, CASH=1000) for _ in range(10)]
    reused = f"tx-{uuid4()}"
    codes = await asyncio.gather(*(authorize(client, purchase(account, "10.00", id=reused)) for account in accounts))
    assert Counter(codes) == {"00": 1, "07": 9}
    left = [(await balances(books, account))["CASH"] for account in accounts]
    assert sorted(left) == [0] + [1000] * 9


def test_shutdown_finishes_what_is_under_way(
    new_database: Callable[[str], str], endpoints: Endpoints, tmp_path: Path
) -> None:
    url = new_database("shutdown")

    async def spend(running: Server) -> Counter[str]:
        books = Database(url, pool_size=2)
        account = await open_account(books, CASH=10_000_000)
        token = processor_token(OctKey.import_key(DEVELOPMENT_JWT_SECRET))
        answered: Counter[str] = Counter()
        async with httpx.AsyncClient(
            base_url=running.url, headers={"Authorization": f"Bearer {token}"}, timeout=30
        ) as client:

            async def shop() -> None:
                while True:
                    try:
                        answered[await authorize(client, purchase(account, "1.00"))] += 1
                    except httpx.TransportError:
                        return
                    if sum(answered.values()) == 200:
                        running.process.terminate()

            await asyncio.gather(*(shop() for _ in range(8)))
        spent = 10_000_000 - (await balances(books, account))["CASH"]
        assert spent == answered["00"] * 100, "what was answered is what moved: nothing was cut off"
        await books.close()
        return answered

    with running_server(tmp_path, database_url=url, redis_url=endpoints.redis_url, log_level="warning") as running:
        answered = asyncio.run(spend(running))
        assert running.process.wait(20) == 0
    assert set(answered) == {"00"}
