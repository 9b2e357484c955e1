"""Beyond capacity: refused in turn, each once, a few in each turn of the event loop; then taken again."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest
from joserfc.jwk import OctKey

from carteira.benefits.authorization import Authorization, Decision, Rule, decide
from carteira.benefits.authorizer import MAX_BATCH, Authorizer, Queue
from carteira.benefits.batch import Meeting
from carteira.benefits.endpoint import ProcessorTokens, authorizations_total
from carteira.benefits.lane import TURNED_AWAY_AT_ONCE, Lane
from carteira.kit.ids import uuid7
from tests.benefits.support import AUTHORIZER, processor_token, purchase

SECRET = "a secret of the tests that is long enough"


class Gate:
    """An authorizer that decides nothing until it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def __aenter__(self) -> None:
        """Nothing is decided yet."""

    async def __aexit__(self, *_: object) -> None:
        self.opened.set()

    async def authorize(self, requests: list[Authorization], meeting: Meeting) -> list[Decision]:
        assert meeting == "followed", "the queue's writer waits for nobody"
        await self.opened.wait()
        return [decide(request, uuid7(), ("CASH", Rule.DEFAULT), available=10_000, cash=0) for request in requests]


def _turned_away() -> float:
    return cast("float", authorizations_total.labels("07", "overloaded")._value.get())  # noqa: SLF001 - no other way


def _request() -> bytes:
    token, body = processor_token(OctKey.import_key(SECRET)), purchase("123", "1.00")
    head = f"POST {AUTHORIZER} HTTP/1.1\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.fixture
async def lane() -> tuple[Lane, Queue, Gate]:
    gate = Gate()
    queue = Queue(cast("Authorizer", gate))
    return Lane(queue, ProcessorTokens(SECRET)), queue, gate


async def test_a_flood_is_refused_a_few_at_a_time_and_the_writer_goes_on(lane: tuple[Lane, Queue, Gate]) -> None:
    take, queue, gate = lane
    request, answers = _request(), list[bytes]()
    respond: Callable[[bytes], None] = answers.append
    before = _turned_away()
    async with queue.running(), gate:
        accepted = 0
        while not queue.is_full:
            assert take(request, respond)
            accepted += 1
        flood = 3 * TURNED_AWAY_AT_ONCE + 1
        assert all(take(request, respond) for _ in range(flood))
        assert answers == [], "nothing is answered amid reading"
        for turn in (1, 2, 3):
            await asyncio.sleep(0)
            assert len(answers) == turn * TURNED_AWAY_AT_ONCE
        await asyncio.sleep(0)
        assert len(answers) == flood
        assert all(answer.endswith(b'{"code":"07"}') for answer in answers)
        assert len({answer.split(b"x-request-id: ")[1] for answer in answers}) == flood
        await asyncio.sleep(0)
        assert _turned_away() - before == flood
        gate.opened.set()
        while len(answers) < flood + accepted:  # noqa: ASYNC110 - answers come by a callback
            await asyncio.sleep(0.001)
        assert all(answer.endswith(b'{"code":"00"}') for answer in answers[flood:])
        assert take(request, respond), "and there is room again"
    assert len(answers) == flood + accepted + 1
    assert accepted >= MAX_BATCH
