"""Clients that continue through faults, their record of their requests, and the faults."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import httpx
from sqlalchemy import text

from benchmarks.load import Connection, ConnectionLost, close_all, connect
from carteira import ledger
from carteira.embedded import EmbeddedServers
from carteira.kit.db import outbox
from carteira.kit.db.engine import Database
from carteira.ledger import chain
from tests.support.horizon import pass_horizon
from tests.support.people import PASSWORD, new_person
from tests.support.server import Server
from tests.support.waiting import until

ROUNDS = int(os.environ.get("CARTEIRA_FAULT_ROUNDS", "1"))
"""How often each fault happens; `make test-faults` asks for ten."""

CLIENTS = 16


@dataclass
class Journal:
    """The clients' record: each request by its id, and its answer, or None if there was none."""

    requests: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    approval: str = "00"

    @property
    def approved(self) -> set[str]:
        return {key for key, code in self.answers.items() if code == self.approval}

    @property
    def unanswered(self) -> set[str]:
        return self.requests.keys() - self.answers.keys()


def post(server: Server, path: str, body: bytes, token: str, key: str) -> bytes:
    """Return a POST with an `Idempotency-Key`, as bytes."""
    host = server.url.removeprefix("http://")
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nIdempotency-Key: {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


@dataclass
class Passenger:
    """A signed-in person with a transport card."""

    token: str
    card: str


async def passengers(server: Server, count: int, recharged: int) -> list[Passenger]:
    """Register people and recharge their cards."""
    made = []
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        for _ in range(count):
            person = new_person()
            (await client.post("/users/register", json=person)).raise_for_status()
            answer = await client.post("/auth/login", data={"username": person["cpf"], "password": PASSWORD})
            token = answer.raise_for_status().json()["access_token"]
            signed = {"Authorization": f"Bearer {token}"}
            [card] = (await client.get("/transport-cards", headers=signed)).json()["items"]
            path = f"/transport-cards/{card['card_number']}/recharge"
            (await client.post(path, json={"amount": recharged}, headers=signed)).raise_for_status()
            made.append(Passenger(token, card["card_number"]))
    return made


async def moved(books: Database, cards: list[str]) -> tuple[int, int]:
    """Return the cards' balances, and how often their money has moved since the recharge of `passengers`."""
    left = text("""
        SELECT sum(account.balance)::bigint, sum(account.version)::bigint
        FROM transport_cards card JOIN ledger_accounts account ON account.id = card.account_id
        WHERE card.card_number = ANY(:cards)
    """)
    async with books.transaction() as tx:
        balance, entries = (await tx.execute(left, {"cards": cards})).one()
    return balance, entries - len(cards)


class Clients:
    """Clients that continue through everything: they reconnect when a connection is lost, and do not repeat."""

    def __init__(self, server: Server, approval: str) -> None:
        self.server = server
        self.journal = Journal(approval=approval)
        self.stop = asyncio.Event()

    def request(self, number: int, key: str) -> bytes:
        """Return a client's next request, whose id is `key`."""
        raise NotImplementedError

    def code(self, status: int, body: bytes) -> str | None:
        """Return an answer's code; None if it leaves open what became of the request."""
        raise NotImplementedError

    async def ask(self, connection: Connection, key: str) -> str | None:
        code = self.code(*await connection.send(self.journal.requests[key]))
        if code is not None:
            self.journal.answers[key] = code
        return code

    async def turn(self, connection: Connection, number: int) -> None:
        """Do what a client does in a loop."""
        key = f"tx-{uuid4()}"
        self.journal.requests[key] = self.request(number, key)
        await self.ask(connection, key)

    async def go_on(self, number: int) -> None:
        while not self.stop.is_set():
            try:
                [connection] = await connect(self.server.url, 1)
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

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.go_on(number)) for number in range(CLIENTS)]
        try:
            yield
        finally:
            self.stop.set()
            await asyncio.gather(*tasks)

    async def repeat_unanswered(self) -> None:
        [connection] = await connect(self.server.url, 1)
        for key in sorted(self.journal.unanswered):
            await self.ask(connection, key)
        await close_all([connection])

    async def more_approved(self, count: int = 100) -> None:
        """Wait until so many more requests are approved."""
        least = len(self.journal.approved) + count
        await until(lambda: len(self.journal.approved) > least, "the load goes on", 60.0)


async def assert_proven(books: Database) -> None:
    """Assert that the books balance and that the chain is whole to its end."""
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


FAULTS = [kill_a_worker, kill_the_server, kill_postgresql]
