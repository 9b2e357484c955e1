"""The installation under test, and clients of its authorizer that continue through everything."""

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from uuid import uuid4

import httpx
from joserfc.jwk import OctKey

from benchmarks.load import Connection, ConnectionLost, close_all, connect, http_request
from carteira.settings.production import DEVELOPMENT_JWT_SECRET
from tests.support.benefits import AUTHORIZER, processor_token, purchase
from tests.support.faults import Clients
from tests.support.patroni import Trio
from tests.support.sentinels import Redises
from tests.support.server import PLAIN, Server
from tests.support.source import ROOT
from tests.support.waiting import until, wait_until
from tests.support.worker import Worker

REPORT = ROOT / "dist" / "high-availability.jsonl"
PACE_SECONDS = 0.08
"""Seconds between two requests of a client: sixteen clients make some 200 purchases a second."""
TOKEN_SECONDS = 6 * 3600


def note(**figures: object) -> None:
    """Write the results down: docs/reference/reliability.md quotes them."""
    REPORT.parent.mkdir(exist_ok=True)
    with REPORT.open("a") as file:
        file.write(json.dumps(figures) + "\n")


@dataclass
class Installation:
    """Three machines with PostgreSQL, two with Redis, two servers and two workers."""

    trio: Trio
    redises: Redises
    servers: list[Server]
    workers: list[Worker]

    def is_ready(self) -> bool:
        """Return whether all four processes report that they reach PostgreSQL, and the servers Redis."""
        urls = [server.url for server in self.servers]
        urls += [f"http://{worker.host}:{worker.port}" for worker in self.workers]
        return all(_is_ready(url) for url in urls)

    async def until_ready(self) -> None:
        await asyncio.to_thread(wait_until, self.is_ready, "all four processes are ready", 90.0)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=5, verify=PLAIN).status_code == 200
    except httpx.TransportError:
        return False


class Shoppers(Clients):
    """Clients of the processor's at both servers: each request is a purchase of one real with its own id."""

    def __init__(self, installation: Installation, accounts: list[str]) -> None:
        super().__init__(installation.servers[0], "00")
        self.servers = installation.servers
        self.accounts = accounts
        key = OctKey.import_key(DEVELOPMENT_JWT_SECRET)
        self.token = processor_token(key, exp=int(time.time()) + TOKEN_SECONDS)
        self.approved_at: list[float] = []
        self.slowest = 0.0
        self.patience_seconds: float | None = None
        """For how long a client waits; None: for as long as it takes."""

    def request(self, number: int, key: str) -> bytes:
        body = purchase(self.accounts[number % len(self.accounts)], "1.00", id=key)
        return http_request(self.server.url, AUTHORIZER, body, self.token)

    def code(self, status: int, body: bytes) -> str:
        assert status == 200
        return body[9:11].decode()

    async def turn(self, connection: Connection, number: int) -> None:
        key, began = f"tx-{uuid4()}", time.perf_counter()
        self.journal.requests[key] = self.request(number, key)
        try:
            async with asyncio.timeout(self.patience_seconds):
                code = await self.ask(connection, key)
        except TimeoutError:
            raise ConnectionLost("the client has gone") from None
        now = time.perf_counter()
        self.slowest = max(self.slowest, now - began)
        if code == "00":
            self.approved_at.append(now)
        await asyncio.sleep(PACE_SECONDS)

    async def go_on(self, number: int) -> None:
        """Continue at one server until it is lost, then at the other."""
        at = number
        while not self.stop.is_set():
            at += 1
            try:
                [connection] = await connect(self.servers[at % len(self.servers)].url, 1)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            try:
                while not self.stop.is_set():
                    await self.turn(connection, number)
            except ConnectionLost:
                continue
            finally:
                await close_all([connection])

    async def more_approved(self, count: int = 200) -> None:
        """Wait until so many more requests are approved."""
        least = len(self.approved_at) + count
        await until(lambda: len(self.approved_at) > least, "the load goes on", 120.0)

    def longest_gap(self, since: float) -> float:
        """Return the longest time without an approval since an instant, in seconds."""
        instants = [since, *sorted(at for at in self.approved_at if at > since)]
        return max((after - before for before, after in pairwise(instants)), default=0.0)

    def codes(self) -> Counter[str]:
        """Count the answers by code."""
        return Counter(self.journal.answers.values())
