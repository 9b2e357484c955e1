"""Measure credit's reads beside the bare floor of each store: `python -m benchmarks.credit [reads]`.

It starts servers of its own (fsync on), fills in one busy person (20 debts, 10 assets, movement on each of 30 days),
and reads sequentially: in the process, and over HTTP from a server process.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from uuid import uuid4

import asyncpg
import httpx
from redis.asyncio import Redis

from carteira import schema
from carteira.app import access_key, credit_config
from carteira.credit import Movement, Stores, base_a, score
from carteira.credit.base_a import Reader
from carteira.credit.base_b import partition_of
from carteira.credit.schemas import BaseAIn, BaseBIn
from carteira.embedded import SERVICE, EmbeddedServers, Endpoints
from carteira.kit.db.engine import Database
from carteira.kit.security import tokens
from carteira.kit.security.audit_trail import AuditTrail
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.web.access import Principal
from carteira.kit.web.preconditions import Precondition
from carteira.settings import Settings

CPF = "52998224725"
PORT = 18_640
WHO = Principal(uuid4(), frozenset({"*"}))
READER = Reader(WHO.user_id, "base_a", "audit")
ADDRESS = {"street": "Rua A", "city": "São Paulo", "state": "SP"}
DEBTS = [{"creditor": f"Banco {i}", "amount": 10_000 + i, "due_date": "2027-01-01"} for i in range(20)]
ASSETS = [{"kind": "other", "description": f"Bem {i}", "amount": 100_000} for i in range(10)]
INCOMES = [{"description": "Salário", "monthly_amount": 500_000}]

Ask = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Figure:
    """The duration of a read, in milliseconds."""

    p50: float
    p99: float


async def measure(ask: Ask, reads: int) -> Figure:
    """Repeat a read sequentially; the first tenth only warms up."""
    taken = []
    for number in range(reads + reads // 10):
        began = time.perf_counter()
        await ask()
        if number >= reads // 10:
            taken.append((time.perf_counter() - began) * 1000)
    cuts = quantiles(taken, n=100)
    return Figure(cuts[49], cuts[98])


async def ratio(floor: Ask, ask: Ask, reads: int) -> float:
    """Alternate two reads, so that other load affects both; return how many floors one read takes (p50)."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(reads):
        for which, one in enumerate((floor, ask)):
            began = time.perf_counter()
            await one()
            taken[which].append(time.perf_counter() - began)
    return median(taken[1]) / median(taken[0])


async def fill(database: Database, stores: Stores) -> None:
    """Write the person."""
    a = BaseAIn.model_validate({"name": "Maria da Silva", "address": ADDRESS, "debts": DEBTS})
    await base_a.put(database, stores.keyring, CPF, a, Precondition())
    b = BaseBIn.model_validate({"age": 40, "address": ADDRESS, "assets": ASSETS, "income_sources": INCOMES})
    await stores.b.put(CPF, b, Precondition())
    now = clock.now()
    movements = [
        Movement(str(uuid7()), now - timedelta(hours=7 * i), "out", 100 + i, "purchase", "Padaria", card_purchase=True)
        for i in range(100, -1, -1)
    ]
    await stores.c.apply_many([(CPF, movement) for movement in movements])
    await stores.note_query(CPF, WHO, "audit")


async def floors(stores: Stores, endpoints: Endpoints, reads: int) -> Mapping[str, Figure]:
    """Measure each store with its own bare client, on the same data."""
    figures = {}
    connection = await asyncpg.connect(endpoints.owner_url)
    person = base_a.person_hash(stores.keyring, CPF)
    select = "SELECT * FROM credit_records WHERE person = $1"
    figures["A: asyncpg, SELECT of the row"] = await measure(lambda: connection.fetchrow(select, person), reads)
    await connection.execute("CREATE TABLE floor (id bigserial PRIMARY KEY, at timestamptz DEFAULT now())")

    async def logged() -> None:
        async with connection.transaction():
            await connection.fetchrow(select, person)
            await connection.execute("INSERT INTO floor DEFAULT VALUES")

    figures["A: asyncpg, SELECT and an INSERT, committed"] = await measure(logged, reads)
    await connection.close()
    async with stores.aws.client("dynamodb") as client:
        key = {"pk": {"S": partition_of(stores.keyring, CPF)}, "sk": {"S": "PROFILE"}}
        figures["B: aiobotocore, GetItem"] = await measure(
            lambda: client.get_item(TableName=stores.b.table, Key=key, ConsistentRead=True), reads
        )
    redis = Redis.from_url(endpoints.redis_url)
    figures["C: redis, PING"] = await measure(redis.ping, reads)
    await redis.set("floor", b"x" * 4096)
    figures["C: redis, GET of 4 KB"] = await measure(lambda: redis.get("floor"), reads)
    await redis.aclose()
    return figures


async def verbs(database: Database, stores: Stores, reads: int) -> Mapping[str, Figure]:
    """Measure the module's own reads, in the process."""

    async def scored() -> object:
        return score.of_person((await stores.b.read(CPF)).content)

    trail = AuditTrail(database, Path(tempfile.gettempdir()) / "carteira-bench-audit")
    return {
        "A: base_a.read (logged, decrypted)": await measure(
            lambda: base_a.read(database, stores.keyring, CPF, READER), reads
        ),
        "B: base_b.read": await measure(lambda: stores.b.read(CPF), reads),
        "C: base_c.read_json": await measure(lambda: stores.c.read_json(CPF), reads),
        "score (B and the card)": await measure(scored, reads),
        "combined: profile": await measure(lambda: stores.profile(database, trail, CPF, WHO, "audit"), reads),
    }


async def over_http(settings: Settings, environment: Mapping[str, str], reads: int) -> Mapping[str, Figure]:
    """Measure the routes, against a server process."""
    token = tokens.sign(access_key(settings), subject=str(WHO.user_id), ttl_seconds=3_600, claims={"claims": ["*"]})
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "carteira", "serve", env={**os.environ, **environment}, stderr=subprocess.DEVNULL
    )
    try:
        headers = {"Authorization": f"Bearer {token}", "X-Purpose": "audit"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{PORT}", headers=headers) as client:
            for _ in range(600):
                try:
                    await client.get("/health")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.1)

            async def get(path: str) -> None:
                (await client.get(path)).raise_for_status()

            paths = {"A": "/base-a", "B": "/base-b", "C": "/base-c", "score": "/score", "combined": ""}
            return {
                f"HTTP {name}": await measure(partial(get, f"/credit/{CPF}{path}"), reads)
                for name, path in paths.items()
            }
    finally:
        server.terminate()
        await server.wait()


async def main(reads: int) -> None:
    """Start, fill, measure, print one table."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedServers(Path(folder)) as servers:
        endpoints = servers.endpoints
        schema.migrate(endpoints.owner_url)
        schema.grant(endpoints.owner_url, SERVICE)
        environment = {
            "LOOKS_PER_HOUR": "none",  # one reader, thousands of reads
            "DATABASE_URL": endpoints.database_url,
            "REDIS_URL": endpoints.redis_url,
            "AWS_ENDPOINT_URL": endpoints.aws_endpoint_url,
            "CARTEIRA_HOME": folder,
            "CARTEIRA_MODULES": "credit",
            "PORT": str(PORT),
            "LOG_LEVEL": "warning",
        }
        os.environ.update(environment)
        settings = Settings()
        database = Database(endpoints.database_url)
        async with Stores(credit_config(settings)).opened() as stores:
            await fill(database, stores)
            figures = {
                **await floors(stores, endpoints, reads),
                **await verbs(database, stores, reads),
            }
            redis = Redis.from_url(endpoints.redis_url)
            await redis.set("floor", b"x" * 4096)
            times = await ratio(lambda: redis.get("floor"), lambda: stores.c.read_json(CPF), reads)
            await redis.aclose()
        await database.close()
        figures |= await over_http(settings, environment, reads)
    print(f"{reads} reads each, one after the other; milliseconds")
    print(f"| {'read':45} |   p50 |    p99 |\n| {'-' * 45} | ----: | -----: |")
    for name, figure in figures.items():
        print(f"| {name:45} | {figure.p50:5.2f} | {figure.p99:6.2f} |")
    print(f"C reads at {times:.2f} times a bare GET of 4 KB (p50, asked in turn).")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000))
