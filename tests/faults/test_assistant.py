"""The assistant under kill -9: an act that it confirmed is done once, and repeating the yes repeats the answer.

People recharge their cards by conversation while a worker, the whole server or PostgreSQL is killed between the yes and
its effect. A yes without an answer is sent again under its key: it is carried out now, or its first answer is repeated,
or the conversation has moved on and nothing is recharged.
"""

from collections.abc import Awaitable, Callable
from uuid import uuid4

import orjson
import pytest

from benchmarks.load import Connection
from carteira.embedded import EmbeddedServers
from carteira.kit.db.engine import Database
from tests.support.faults import CLIENTS, FAULTS, ROUNDS, Clients, Passenger, assert_proven, moved, passengers, post
from tests.support.server import Server, wait_until_ready

START = 1_000

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180 + 120 * ROUNDS)]


class Talkers(Clients):
    """People who ask for a recharge of one real and confirm it, one conversation after the other."""

    def __init__(self, server: Server, people: list[Passenger]) -> None:
        super().__init__(server, "done")
        self.people = people

    def _say(self, number: int, message: str, key: str) -> bytes:
        token = self.people[number].token
        return post(self.server, "/chatbot/chat", orjson.dumps({"message": message}), token, key)

    def request(self, number: int, key: str) -> bytes:
        return self._say(number, "sim", key)

    async def turn(self, connection: Connection, number: int) -> None:
        for message in ("menu", "recarregar 1 real"):
            await connection.send(self._say(number, message, f"m-{uuid4()}"))
        await super().turn(connection, number)

    def code(self, status: int, body: bytes) -> str | None:
        assert status == 200 or status >= 500, body
        if status != 200:
            return None
        return "done" if b"feita" in body else "nothing done"


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_confirmed_act_is_done_and_reported_once(
    server: Server, servers: EmbeddedServers, fault: Callable[[Server, EmbeddedServers], Awaitable[None]]
) -> None:
    books = Database(servers.endpoints.database_url, pool_size=2)
    people = await passengers(server, CLIENTS, START)
    talkers, cards = Talkers(server, people), [one.card for one in people]
    async with talkers.at_work():
        for _ in range(ROUNDS):
            await talkers.more_approved(20)
            await fault(server, servers)
        await talkers.more_approved(20)
    wait_until_ready(server)
    await talkers.repeat_unanswered()
    done = len(talkers.journal.approved)
    assert await moved(books, cards) == (CLIENTS * START + 100 * done, done)
    await assert_proven(books)
    await books.close()
