"""The queue: which requests are decided or turned away, when shedding ends, and when a batch waits for more."""

import asyncio
from contextlib import suppress
from typing import Any, cast

import pytest
from joserfc.jwk import OctKey

from carteira.benefits.authorizer.asgi import ProcessorTokens, authorizations_total
from carteira.benefits.authorizer.fast_lane import TURNED_AWAY_AT_ONCE, FastLane
from carteira.benefits.authorizer.request import Authorization
from carteira.benefits.authorizer.rules import Decision, Rule, decide
from carteira.benefits.authorizer.strategies import AuthorizationQueue, deferred_gauge
from carteira.benefits.authorizer.writer import Authorizer
from carteira.kit.values.ids import uuid7
from carteira.ledger.lane.admission import (
    CALM_SECONDS,
    FLOOD_SECONDS,
    MAX_BATCH,
    MIN_BATCH,
    MIN_WAITING,
    Overloaded,
)
from carteira.ledger.lane.batch import ConcurrencyMode
from carteira.ledger.lane.queue import WRITE_SECONDS
from carteira.ledger.lane.writer import CommitInDoubt
from tests.support.benefits import AUTHORIZER, processor_token, purchase
from tests.support.metric_values import value_of
from tests.support.waiting import until

SECRET = "a secret of the tests that is long enough"


class Gate:
    """An authorizer that decides nothing until it is opened, and remembers the accounts of each batch."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.pause_seconds = 0.0
        self.batches: list[list[str]] = []

    async def __aenter__(self) -> None:
        """Close the gate, so that nothing is decided yet."""

    async def __aexit__(self, *_: object) -> None:
        self.opened.set()

    async def attempt(self, requests: list[Authorization], mode: ConcurrencyMode, *, seconds: float) -> list[Decision]:
        assert (mode, seconds) == ("remembered", WRITE_SECONDS), "the queue's writer waits for nobody"
        self.batches.append([request.account for request in requests])
        await self.opened.wait()
        await asyncio.sleep(self.pause_seconds)
        return [_decided(request) for request in requests]


class Doubtful(Gate):
    """An authorizer whose first batch stays in doubt until it is opened."""

    async def attempt(self, requests: list[Authorization], mode: ConcurrencyMode, *, seconds: float) -> list[Decision]:
        if not self.batches:
            self.batches.append([request.account for request in requests])
            raise CommitInDoubt(cast("Any", requests))
        self.opened.set()
        return await super().attempt(requests, mode, seconds=seconds)

    async def settle(self, doubt: CommitInDoubt) -> list[Decision]:
        await self.opened.wait()
        return [_decided(request) for request in cast("Any", doubt.batch)]


def _decided(request: Authorization) -> Decision:
    return decide(request, uuid7(), ("CASH", Rule.DEFAULT), available=10_000, cash=0)


async def test_a_commit_in_doubt_delays_no_later_request() -> None:
    queue = AuthorizationQueue(cast("Any", Doubtful()), deferred_gauge=deferred_gauge)
    async with queue.running():
        first = asyncio.create_task(queue.decide(_authorization("1")))
        await until(lambda: bool(queue._in_doubt), "it is in doubt")  # noqa: SLF001 - no public state shows it
        assert not first.done()
        assert (await queue.decide(_authorization("2"))).code == "00"
        assert (await first).code == "00"


def _turned_away() -> float:
    return value_of(authorizations_total.labels("07", "overloaded"))


Parts = tuple[FastLane, AuthorizationQueue, Gate]
TOKEN = processor_token(OctKey.import_key(SECRET))


def _request(account: object = "123", *headers: str) -> bytes:
    body = purchase(str(account), "1.00")
    lines = [f"POST {AUTHORIZER} HTTP/1.1", f"Authorization: Bearer {TOKEN}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class _Nobody:
    """A request in the queue that nobody waits for."""

    def __init__(self) -> None:
        self.request = _authorization("1")
        self.since = 0.0
        self.span = None

    def done(self, outcome: Decision | Exception) -> None:
        assert isinstance(outcome, Overloaded)


def _authorization(account: object) -> Authorization:
    return Authorization(uuid7(), str(account), 100, "5811", "PADARIA", None, fallback=True)


@pytest.fixture
async def lane() -> tuple[FastLane, AuthorizationQueue, Gate]:
    gate = Gate()
    queue = AuthorizationQueue(cast("Authorizer", gate), deferred_gauge=deferred_gauge)
    return FastLane(queue, ProcessorTokens([SECRET])), queue, gate


async def test_rejections_of_a_flood_are_sent_a_few_per_iteration(
    lane: tuple[FastLane, AuthorizationQueue, Gate],
) -> None:
    take, queue, gate = lane
    answers = list[tuple[int, bytes]]()

    def ask(number: int) -> bool:
        return take(_request(number), lambda answer: answers.append((number, answer)))

    before, room, late = _turned_away(), queue.admission.room, queue.admission.room - queue.admission.flood_room
    async with queue.running(), gate:
        flood = 6 * TURNED_AWAY_AT_ONCE - late + 1
        assert all(ask(number) for number in range(room + flood))
        for times in range(1, 7):
            assert len(answers) == times * TURNED_AWAY_AT_ONCE, "at once, but not too many in a turn"
            await asyncio.sleep(0)
        assert len(answers) == late + flood
        assert [number for number, _ in answers] == [*range(late), *range(room, room + flood)], (
            "those that had waited too long, then the others; each once"
        )
        assert all(answer.endswith(b'{"code":"07"}') for _, answer in answers)
        assert len({answer.split(b"x-request-id: ")[1] for _, answer in answers}) == late + flood
        await until(lambda: _turned_away() - before >= late + flood, "those turned away are counted")
        assert _turned_away() - before == late + flood
        gate.opened.set()
        await until(lambda: len(answers) == room + flood, "the batches are decided")
        assert [number for number, _ in answers[late + flood :]] == list(range(late, room)), "first come, first served"
        assert all(answer.endswith(b'{"code":"00"}') for _, answer in answers[late + flood :])
        assert ask(room + flood), "and there is room again"
    assert len(answers) == room + flood + 1


def test_shedding_admits_fewer_until_calm_or_for_some_seconds() -> None:
    def queue_in_flood() -> AuthorizationQueue:
        queue = AuthorizationQueue(cast("Authorizer", Gate()), deferred_gauge=deferred_gauge)
        for _ in range(queue.admission.room):
            assert queue.has_room(100)
            queue.join(_Nobody())
        assert not queue.has_room(100)
        return queue

    queue = queue_in_flood()
    assert not queue.has_room(100 + CALM_SECONDS / 2), "those that waited longest have left, the others fill it"
    assert not queue.has_room(100 + CALM_SECONDS * 1.4)
    assert queue.has_room(100 + CALM_SECONDS * 2.5), "no request was turned away for a while"

    queue = queue_in_flood()
    instants = [100 + step * CALM_SECONDS / 2 for step in range(1, int(3 * FLOOD_SECONDS / CALM_SECONDS))]
    first = next(instant for instant in instants if queue.has_room(instant))
    assert first == pytest.approx(100 + FLOOD_SECONDS, abs=CALM_SECONDS), "as many as before are admitted again"
    while queue.has_room(first):
        queue.join(_Nobody())
    assert not queue.has_room(first + CALM_SECONDS / 2), "and if there are too many, shedding starts again"


def test_many_clients_on_a_slow_disk_are_no_flood() -> None:
    queue = AuthorizationQueue(cast("Authorizer", Gate()), deferred_gauge=deferred_gauge)
    for _ in range(100):
        queue.admission.measure(MAX_BATCH, 1.0)  # slow enough that the pace can be seen
    for _ in range(MIN_WAITING):
        assert queue.has_room(100)
        queue.join(_Nobody())
    assert not queue.has_room(100)
    assert queue.admission.flood_room == MIN_BATCH


async def test_a_rejected_request_gets_its_own_request_id_back(lane: Parts) -> None:
    take, queue, gate = lane
    early, late = list[bytes](), list[bytes]()
    async with queue.running(), gate:
        assert take(_request("1", "X-Request-ID: abc"), early.append)
        for number in range(1, queue.admission.room):
            assert take(_request(number), lambda _: None)
        assert take(_request("1", "X-Request-ID: def"), late.append)
        await until(lambda: bool(early) and bool(late), "the batches are decided")
        assert b"x-request-id: abc\r\n" in early[0]
        assert b"x-request-id: def\r\n" in late[0]


async def test_a_full_queue_raises_in_the_coroutine(lane: Parts) -> None:
    _, queue, gate = lane
    async with queue.running(), gate:
        late = queue.admission.room - queue.admission.flood_room
        waiting = [
            asyncio.create_task(queue.decide(_authorization(number))) for number in range(queue.admission.room + 1)
        ]
        told = await asyncio.gather(*waiting[:late], waiting[-1], return_exceptions=True)
        assert {type(outcome) for outcome in told} == {Overloaded}
        gate.opened.set()
        assert {decision.code for decision in await asyncio.gather(*waiting[late:-1])} == {"00"}


async def test_a_body_that_does_not_parse_is_left_to_the_endpoint(
    lane: tuple[FastLane, AuthorizationQueue, Gate],
) -> None:
    take, queue, gate = lane
    answers = list[bytes]()
    async with queue.running(), gate:
        assert not take(_request().replace(b'"123"', b'"1?3"'), answers.append)
        assert take(_request(), answers.append)
        gate.opened.set()
        await until(lambda: len(answers) == 1, "the batches are decided")
    assert answers[0].endswith(b'{"code":"00"}')


async def test_a_batch_is_no_larger_than_can_be_written_soon(lane: Parts) -> None:
    _, queue, gate = lane
    gate.opened.set()
    gate.pause_seconds = 0.04

    async def client() -> None:
        while len(gate.batches) < 25:
            with suppress(Overloaded):
                await queue.decide(_authorization("1"))
            await asyncio.sleep(0.005)

    async with queue.running(), asyncio.TaskGroup() as group:
        for _ in range(200):
            group.create_task(client())
    sizes = [len(batch) for batch in gate.batches[:25]]
    assert sizes[0] == MAX_BATCH
    assert min(sizes[10:]) >= MIN_BATCH, sizes
    assert max(sizes[20:]) < MAX_BATCH, "such a batch takes 40 ms or more"


async def test_staggered_requests_are_gathered_into_one_batch(
    lane: tuple[FastLane, AuthorizationQueue, Gate],
) -> None:
    _, queue, gate = lane
    clients, rounds = 6, 40

    async def client(number: int) -> None:
        for _ in range(rounds):
            await queue.decide(_authorization(number))

    async with queue.running(), asyncio.TaskGroup() as group:
        group.create_task(client(0))
        await until(lambda: len(gate.batches) == 1, "the batches are decided")
        for number in range(1, clients):
            group.create_task(client(number))
        await asyncio.sleep(0)
        gate.opened.set()  # without gathering, batches of one and of five would alternate
    sizes = sorted(map(len, gate.batches))
    assert sizes[len(sizes) // 2] == clients, sizes


async def test_a_lone_client_is_decided_at_once(lane: Parts) -> None:
    _, queue, gate = lane
    gate.opened.set()
    async with queue.running():
        for _ in range(50):
            turns = 0
            waiting = asyncio.create_task(queue.decide(_authorization("1")))
            while not waiting.done():
                turns += 1
                await asyncio.sleep(0)
            assert turns < 20, "it waited for no timer"
    assert [len(batch) for batch in gate.batches] == [1] * 50
