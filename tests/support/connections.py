"""The server's protocol on a port in this process, with small bounds, before an application that echoes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from carteira.http_server.application import Application
from carteira.http_server.connections import Bounds
from carteira.http_server.protocol import LaneProtocol
from tests.support.waiting import until


@dataclass
class Echo:
    """An application that answers with the method, path and body of the request; it waits where told to."""

    seen: list[str] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    disconnected: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        self.seen.append(path)
        if path == "/wait":
            await self.go.wait()
        body = b""
        while path != "/unread":
            message = await receive()
            if message["type"] == "http.disconnect":
                self.disconnected += 1
                return
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        told = (
            b"x" * int(path[6:])
            if path.startswith("/large")
            else b"%s %s "
            % (
                scope["method"].encode(),
                path.encode(),
            )
            + body
        )
        headers = [(b"content-length", b"%d" % len(told))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": told})


@dataclass
class Listening:
    """A listening server."""

    port: int
    echo: Echo
    state: ServerState
    application: Application
    clients: list["Client"] = field(default_factory=list)

    async def connect(self) -> "Client":
        self.clients.append(Client(*await asyncio.open_connection("127.0.0.1", self.port)))
        return self.clients[-1]


@dataclass
class Client:
    """A connection to it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            for _ in range(3):
                await asyncio.sleep(0)

    async def answer(self) -> tuple[int, bytes]:
        """Read one answer: its status and body."""
        async with asyncio.timeout(20):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return int(head[9:12]), await self.reader.readexactly(length)

    async def ask(self, *pieces: bytes) -> tuple[int, bytes]:
        await self.send(*pieces)
        return await self.answer()

    async def ended(self) -> bytes:
        """Read what is left until the server closes."""
        async with asyncio.timeout(20):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    def close(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def listening(bounds: Bounds | None = None) -> AsyncIterator[Listening]:
    """Listen until the end of the block."""
    echo = Echo()
    application = Application(FastAPI(), echo, {}, bounds)
    config = uvicorn.Config(application, ws="none", lifespan="off", log_config=None, proxy_headers=False)
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(lambda: LaneProtocol(config, state, {}), "127.0.0.1", 0)
    running = Listening(server.sockets[0].getsockname()[1], echo, state, application)
    try:
        yield running
    finally:
        echo.go.set()
        server.close()
        for client in running.clients:
            client.close()
        await until(lambda: not state.connections, "every connection is gone")
