"""Debits of transport cards under kill -9: what was answered is in the books, once, and a key settles what was not.

A load with a key each runs while a worker, the whole server or PostgreSQL is killed. An answer of 5xx, like none,
leaves open what became of a debit: asked again under its key it is 200, and the money has moved once.
"""

from collections.abc import Awaitable, Callable

import httpx
import pytest
from sqlalchemy import text

from carteira.embedded import EmbeddedServers
from carteira.kit.db.engine import Database
from tests.support.faults import FAULTS, ROUNDS, Clients, assert_proven
from tests.support.people import PASSWORD, new_person
from tests.support.server import Server, wait_until_ready

PEOPLE = 4
START = 10_000_000

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60 + 60 * ROUNDS)]


class Riders(Clients):
    """People who debit their cards by a centavo, each time under a key of its own."""

    def __init__(self, server: Server) -> None:
        super().__init__(server, "200")
        self.tokens: list[str] = []
        self.cards: list[str] = []

    async def register(self) -> None:
        """Make people with a card that has money."""
        async with httpx.AsyncClient(base_url=self.server.url, timeout=60) as client:
            for _ in range(PEOPLE):
                person = new_person()
                (await client.post("/users/register", json=person)).raise_for_status()
                answer = await client.post("/auth/login", data={"username": person["cpf"], "password": PASSWORD})
                token = answer.raise_for_status().json()["access_token"]
                signed = {"Authorization": f"Bearer {token}"}
                [card] = (await client.get("/transport-cards", headers=signed)).json()["items"]
                path = f"/transport-cards/{card['card_number']}/recharge"
                (await client.post(path, json={"amount": START}, headers=signed)).raise_for_status()
                self.tokens.append(token)
                self.cards.append(card["card_number"])

    def request(self, number: int, key: str) -> bytes:
        who, body = number % PEOPLE, b'{"amount":1}'
        host = self.server.url.removeprefix("http://")
        return (
            f"POST /transport-cards/{self.cards[who]}/debit HTTP/1.1\r\nHost: {host}\r\n"
            f"Authorization: Bearer {self.tokens[who]}\r\nIdempotency-Key: {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    def code(self, status: int, body: bytes) -> str | None:
        assert status == 200 or status >= 500, body
        return "200" if status == 200 else None


async def moved(books: Database, cards: list[str]) -> tuple[int, int]:
    """Return what is left on the cards, and how many debits of theirs are in the books."""
    left = text("""
        SELECT sum(account.balance)::bigint, sum(account.version)::bigint
        FROM transport_cards card JOIN ledger_accounts account ON account.id = card.account_id
        WHERE card.card_number = ANY(:cards)
    """)
    async with books.transaction() as tx:
        balance, entries = (await tx.execute(left, {"cards": cards})).one()
    return balance, entries - len(cards)


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_debit_is_lost_and_none_is_made_twice(
    server: Server, servers: EmbeddedServers, fault: Callable[[Server, EmbeddedServers], Awaitable[None]]
) -> None:
    books = Database(servers.endpoints.database_url, pool_size=2)
    riders = Riders(server)
    await riders.register()
    async with riders.at_work():
        for _ in range(ROUNDS):
            await riders.more_approved()
            await fault(server, servers)
        await riders.more_approved()
    wait_until_ready(server)
    balance, debits = await moved(books, riders.cards)
    assert balance == PEOPLE * START - debits
    approved, sent = len(riders.journal.approved), len(riders.journal.requests)
    assert approved <= debits <= sent
    await riders.repeat_unanswered()
    assert len(riders.journal.approved) == sent
    assert await moved(books, riders.cards) == (PEOPLE * START - sent, sent)
    await assert_proven(books)
    await books.close()
