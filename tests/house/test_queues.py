"""Each module's queue is its own: one that is flooded sheds its own requests and none of another's."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from carteira.benefits.authorizer.strategies import STRATEGY, AuthorizationQueue
from carteira.ledger import Overloaded, Queue
from carteira.ledger.lane.batch import ConcurrencyMode
from carteira.transit.moves import CARD_MOVES, MoveQueue
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.benefits import AUTHORIZER, open_benefit_account, processor_headers, purchase
from tests.support.waiting import until

FlowsOver = AuthorizationQueue | MoveQueue


class _Waiting:
    """A queued request whose answer nobody awaits."""

    def __init__(self) -> None:
        self.request = SimpleNamespace(account="nobody")
        self.since = 0.0
        self.span = None
        self.is_done = False

    def done(self, outcome: object) -> None:
        assert isinstance(outcome, Overloaded)
        self.is_done = True


@pytest.fixture(scope="module")
async def app(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningApp]:
    settings = settings_for(
        tmp_path_factory.mktemp("queues"), database_url=database_url, carteira_modules="benefits,transit"
    )
    async with running_app(settings) as running:
        yield running


@asynccontextmanager
async def flooded(queue: FlowsOver, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Have a queue's writer wait, and as many requests wait for it as it takes; at the end all are refused."""
    writer, over, began = queue._writer, asyncio.Event(), asyncio.Event()  # noqa: SLF001 - the test makes the writer wait

    async def wait(requests: Sequence[Any], mode: ConcurrencyMode, *, seconds: float) -> list[Any]:
        del requests, mode, seconds
        began.set()
        await over.wait()
        raise Overloaded

    with monkeypatch.context() as patched:
        patched.setattr(writer, "attempt", wait)
        first = _Waiting()
        queue.join(cast("Any", first))
        await began.wait()
        while queue.has_room(time.perf_counter()):
            queue.join(cast("Any", _Waiting()))
        yield
        queue._waiting.clear()  # noqa: SLF001 - nobody waits for these requests
        over.set()
        await until(lambda: first.is_done, "the writer has refused its batch")


async def test_a_flood_of_one_queue_sheds_nothing_of_the_other(
    app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = app.person()
    [card] = (await person.get("/transport-cards")).json()["items"]
    path = f"/transport-cards/{card['card_number']}/recharge"
    account = await open_benefit_account(app.operator(), CASH=10_000)

    async def recharge() -> int:
        return (await person.post(path, {"amount": 1})).status_code

    async def buy() -> str:
        answer = await app.client.post(AUTHORIZER, content=purchase(account, "1.00"), headers=processor_headers())
        code: str = answer.json()["code"]
        return code

    assert (await recharge(), await buy()) == (200, "00")
    async with flooded(CARD_MOVES.of(app.api), monkeypatch):
        assert (await recharge(), await buy()) == (503, "00")
    strategy = STRATEGY.of(app.api)
    assert isinstance(strategy, Queue)
    async with flooded(strategy, monkeypatch):
        assert (await recharge(), await buy()) == (200, "07")
