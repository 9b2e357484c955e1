"""A receiver of webhooks: a real HTTP server on loopback, which answers as configured and keeps what it received."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
from standardwebhooks.webhooks import Webhook


@dataclass(frozen=True, slots=True)
class Received:
    """A request that was received."""

    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def content(self) -> dict[str, object]:
        parsed: dict[str, object] = orjson.loads(self.body)
        return parsed

    def verified(self, secret: str) -> dict[str, object]:
        """Verify the signature with the standard's own library, and return the payload."""
        parsed: dict[str, object] = Webhook(secret).verify(self.body, dict(self.headers))
        return parsed


@dataclass
class Receiver:
    """A server at `url`; `answer` is the status line and further head of its answer, or None for no answer."""

    url: str
    port: int
    requests: list[Received] = field(default_factory=list)
    answer: Callable[[Received], str | None] = lambda _request: "204 No Content"

    def of(self, event: str) -> list[Received]:
        """Return what was received for one kind of event."""
        return [one for one in self.requests if one.content["type"] == event]

    def forget(self) -> None:
        """Forget what was received."""
        self.requests.clear()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver until the end of the block."""
    receiver = Receiver("", 0)
    open_ones: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().rstrip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                request = Received(first.split()[1], headers, await reader.readexactly(int(headers["content-length"])))
                receiver.requests.append(request)
                answer = receiver.answer(request)
                if answer is None:
                    await reader.read()  # until the other side gives up
                    return
                writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            open_ones.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    receiver.url = f"http://127.0.0.1:{receiver.port}/carteira"
    try:
        yield receiver
    finally:
        server.close()
        for writer in open_ones:
            writer.close()
