"""A stand-in for clamd: its protocol over a real socket. It reports files that hold the EICAR test file."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.files import EICAR


@dataclass
class Clamd:
    """A running stand-in, and what it has seen."""

    max_stream: int
    """The stream's limit in bytes; a longer one is refused, as clamd's `StreamMaxLength` does."""
    url: str = ""
    silent: bool = False
    """Whether it reads everything and never answers."""
    scanned: list[int] = field(default_factory=list)
    """The bytes of each stream that ended."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            command = await reader.readuntil(b"\0")
            if command == b"zPING\0":
                writer.write(b"PONG\0")
            elif command == b"zINSTREAM\0":
                writer.write(await self._scan(reader))
            else:
                writer.write(b"UNKNOWN COMMAND\0")
            if not self.silent:
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client hung up
        finally:
            writer.close()

    async def _scan(self, reader: asyncio.StreamReader) -> bytes:
        seen = b""
        while length := int.from_bytes(await reader.readexactly(4)):
            seen += await reader.readexactly(length)
            if len(seen) > self.max_stream:
                return b"INSTREAM size limit exceeded. ERROR\0"
        self.scanned.append(len(seen))
        if self.silent:
            await reader.read()
        return b"stream: Win.Test.EICAR_HDB-1 FOUND\0" if EICAR in seen else b"stream: OK\0"


@asynccontextmanager
async def running_clamd(socket: Path | None = None, max_stream: int = 25 * 1024 * 1024) -> AsyncIterator[Clamd]:
    """Run a stand-in on its own port, or on a Unix socket."""
    clamd = Clamd(max_stream=max_stream)
    if socket is not None:
        server = await asyncio.start_unix_server(clamd.serve, socket)
        clamd.url = f"unix://{socket}"
    else:
        server = await asyncio.start_server(clamd.serve, "127.0.0.1", 0)
        clamd.url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield clamd
    finally:
        server.close()
        await server.wait_closed()
