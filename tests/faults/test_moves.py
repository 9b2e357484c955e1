"""Debits of transport cards under kill -9: an answered debit is in the ledger once; its key settles any other.

A load runs with one key for each request while a worker, the whole server or PostgreSQL is killed. A 5xx, like no
answer, leaves open what became of a debit: repeated under its key it is 200, and the money has moved once.
"""

from collections.abc import Awaitable, Callable

import pytest

from carteira.embedded import EmbeddedServers
from carteira.kit.db.engine import Database
from tests.support.faults import FAULTS, ROUNDS, Clients, Passenger, assert_proven, moved, passengers, post
from tests.support.server import Server, wait_until_ready

PEOPLE = 4
START = 10_000_000

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120 + 120 * ROUNDS)]


class Riders(Clients):
    """People who debit their cards by one centavo, each time under a new key."""

    def __init__(self, server: Server, people: list[Passenger]) -> None:
        super().__init__(server, "200")
        self.people = people

    def request(self, number: int, key: str) -> bytes:
        who = self.people[number % len(self.people)]
        return post(self.server, f"/transport-cards/{who.card}/debit", b'{"amount":1}', who.token, key)

    def code(self, status: int, body: bytes) -> str | None:
        assert status == 200 or status >= 500, body
        return "200" if status == 200 else None


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_debit_is_lost_and_none_is_made_twice(
    server: Server, servers: EmbeddedServers, fault: Callable[[Server, EmbeddedServers], Awaitable[None]]
) -> None:
    books = Database(servers.endpoints.database_url, pool_size=2)
    people = await passengers(server, PEOPLE, START)
    riders, cards = Riders(server, people), [one.card for one in people]
    async with riders.at_work():
        for _ in range(ROUNDS):
            await riders.more_approved()
            await fault(server, servers)
        await riders.more_approved()
    wait_until_ready(server)
    balance, debits = await moved(books, cards)
    assert balance == PEOPLE * START - debits
    approved, sent = len(riders.journal.approved), len(riders.journal.requests)
    assert approved <= debits <= sent
    await riders.repeat_unanswered()
    assert len(riders.journal.approved) == sent
    assert await moved(books, cards) == (PEOPLE * START - sent, sent)
    await assert_proven(books)
    await books.close()
