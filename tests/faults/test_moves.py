"""Debits and recharges of cards under kill -9: an answered one is in the ledger once; its key settles any other.

A load runs with one key for each request while a worker, the whole server or PostgreSQL is killed. A 5xx, like no
answer, leaves open what became of it: repeated under its key it is 200, and the money has moved once.
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


DEBIT, RECHARGE = 1, 3
"""Centavos, so that a balance and the number of entries tell how many of each there were."""


class Riders(Clients):
    """People who debit and recharge their cards in turn, each time under a new key."""

    def __init__(self, server: Server, people: list[Passenger]) -> None:
        super().__init__(server, "200")
        self.people = people
        self.recharges: set[str] = set()
        """The keys of recharges; the others are debits'."""

    def request(self, number: int, key: str) -> bytes:
        who = self.people[number % len(self.people)]
        verb, amount = ("recharge", RECHARGE) if number // len(self.people) % 2 else ("debit", DEBIT)
        if verb == "recharge":
            self.recharges.add(key)
        return post(self.server, f"/transport-cards/{who.card}/{verb}", b'{"amount":%d}' % amount, who.token, key)

    def code(self, status: int, body: bytes) -> str | None:
        assert status == 200 or status >= 500, body
        return "200" if status == 200 else None


async def counted(books: Database, cards: list[str]) -> tuple[int, int]:
    """Return how many debits and how many recharges the cards' money has moved by."""
    balance, entries = await moved(books, cards)
    recharges, rest = divmod(balance - PEOPLE * START + entries * DEBIT, DEBIT + RECHARGE)
    assert rest == 0
    return entries - recharges, recharges


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_move_is_lost_and_none_is_made_twice(
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
    approved, sent = riders.journal.approved, set(riders.journal.requests)
    debits, recharges = await counted(books, cards)
    assert len(approved - riders.recharges) <= debits <= len(sent - riders.recharges)
    assert len(approved & riders.recharges) <= recharges <= len(sent & riders.recharges)
    await riders.repeat_unanswered()
    assert riders.journal.approved == sent
    assert await counted(books, cards) == (len(sent - riders.recharges), len(sent & riders.recharges))
    assert riders.recharges, "both kinds were sent"
    await assert_proven(books)
    await books.close()
