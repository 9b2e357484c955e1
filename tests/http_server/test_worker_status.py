"""The worker's own address has the bounds of a server's."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY

from carteira.http_server.connections import Bounds
from carteira.http_server.worker_status import WorkerStatus, bind
from tests.support.connections import Client
from tests.support.waiting import until

GET = b"GET /health HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """The port that serves a worker's state, to three connections at most."""
    bound = bind("127.0.0.1", 0)
    status = WorkerStatus(bound, {}, metrics_token=None, bounds=Bounds(head_seconds=0.3, max_connections=3))
    bound.listen()  # a client that connects before it serves waits
    serving = asyncio.create_task(status.serve())
    where: int = bound.getsockname()[1]
    yield where
    status.stop()
    await serving


async def connect(port: int) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", port))


async def test_heads_connections_and_patience_are_bounded(port: int) -> None:
    client = await connect(port)
    assert (await client.ask(GET + b"\r\n"))[0] == 200
    alone = REGISTRY.get_sample_value("carteira_http_connections")
    large = await connect(port)
    status, body = await large.ask(GET + b"X-A: " + b"a" * 200_000)
    assert (status, b'"code":"head_too_large"' in body) == (431, True)
    assert await large.ended() == b""
    large.close()
    await until(lambda: REGISTRY.get_sample_value("carteira_http_connections") == alone, "it is gone")
    silent, half = await connect(port), await connect(port)
    await half.send(GET)
    one_too_many = await connect(port)
    assert (await one_too_many.answer())[0] == 503
    assert await silent.ended() == b""
    assert b'"code":"head_timed_out"' in await half.ended()
    assert (await client.ask(GET + b"\r\n"))[0] == 200
    for one in (client, silent, half, one_too_many):
        one.close()
