"""The lane closes its connections when they are idle, and never while they are in use."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvicorn
from fastapi import FastAPI
from uvicorn.server import ServerState

from carteira.http_server.application import Application
from carteira.http_server.protocol import LaneProtocol
from carteira.kit.module import ConnectionLane

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
TIMEOUT_SECONDS = 0.6
Respond = Callable[[bytes], None]


class SlowLane:
    """Answers after `pause` seconds."""

    pause = 0.0

    def take(self, _data: bytes, respond: Respond) -> bool:
        asyncio.get_running_loop().call_later(self.pause, respond, ANSWER)
        return True


@pytest.fixture
async def lane() -> AsyncIterator[tuple[SlowLane, asyncio.StreamReader, asyncio.StreamWriter]]:
    api, slow, loop = FastAPI(), SlowLane(), asyncio.get_running_loop()
    api.state.lane = ConnectionLane(b"POST /slow", slow.take)
    config = uvicorn.Config(Application(api, api, {}), ws="none", log_config=None)
    config.load()

    def protocol() -> LaneProtocol:
        made = LaneProtocol(config=config, server_state=ServerState(), app_state={}, _loop=loop)
        made.timeout_keep_alive = TIMEOUT_SECONDS  # type: ignore[assignment] # whole seconds by its declaration only
        return made

    server = await loop.create_server(protocol, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    yield slow, reader, writer
    writer.close()
    server.close()


async def test_an_idle_connection_is_closed_after_its_time_and_not_before(
    lane: tuple[SlowLane, asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    slow, reader, writer = lane
    for slow.pause in (0.0, TIMEOUT_SECONDS * 1.5, 0.0):  # the second is under way when the timer is due
        for _ in range(3):
            writer.write(b"POST /slow HTTP/1.1\r\n\r\n")
            async with asyncio.timeout(10):
                assert await reader.readexactly(len(ANSWER)) == ANSWER
            await asyncio.sleep(TIMEOUT_SECONDS / 3)
    async with asyncio.timeout(10):
        assert await reader.read() == b"", "and now it is closed"
