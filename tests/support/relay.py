"""A relay in front of PostgreSQL that cuts open connections, as a network does that has forgotten them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit


def _never(_sent: bytes) -> bool:
    return False


@dataclass
class Relay:
    """A running relay: the URL of the server through it, and the condition on which it cuts a connection."""

    url: str = ""
    cuts: Callable[[bytes], bool] = _never
    """Returns whether a connection is cut in place of passing some bytes on to the server."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
        there, back = await asyncio.open_connection(host, port)

        async def send() -> None:
            while data := await reader.read(65_536):
                if self.cuts(data):
                    break
                back.write(data)

        async def receive() -> None:
            while data := await there.read(65_536):
                writer.write(data)

        ways = [asyncio.ensure_future(send()), asyncio.ensure_future(receive())]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for one in (writer, back):
            one.transport.abort()


@asynccontextmanager
async def relay_of(url: str) -> AsyncIterator[Relay]:
    """Run a relay in front of the server of a URL until the end of the block."""
    there, relay = urlsplit(url), Relay()
    assert there.hostname is not None
    assert there.port is not None
    host, port = there.hostname, there.port
    server = await asyncio.start_server(
        lambda reader, writer: relay._serve(reader, writer, host, port),  # noqa: SLF001 - the relay's own method
        "127.0.0.1",
        0,
    )
    own = server.sockets[0].getsockname()[1]
    relay.url = there._replace(netloc=f"{there.netloc.rpartition('@')[0]}@127.0.0.1:{own}").geturl()
    async with server:
        yield relay
