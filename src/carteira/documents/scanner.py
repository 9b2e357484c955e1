"""The malware scanner: `clamd`'s `INSTREAM`, fed with a file's bytes as they arrive, before any are removed.

A file is accepted only after the scanner's verdict. Existing libraries send whole files, and support only TCP or block;
the protocol is a length before each piece and one line of answer.
"""

import asyncio
import struct
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import structlog

from carteira.documents.errors import MalwareFound, ScannerDown

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 30.0
"""The time-out for each piece, and for the answer at the end."""
_MAX_ANSWER = 4096
_AWAY = (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Scanner:
    """A `clamd` by its address: `tcp://host:port` or `unix:///run/clamav/clamd.ctl`."""

    url: str
    silence_seconds: float = SILENCE_SECONDS

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        is_tcp = parts.scheme == "tcp" and parts.hostname and parts.port and parts.path in {"", "/"}
        is_unix = parts.scheme == "unix" and not parts.netloc and parts.path.startswith("/")
        if not (is_tcp or is_unix):
            raise ValueError("CLAMD_URL is tcp://host:port or unix:///a/socket")

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self.url)
        async with asyncio.timeout(CONNECT_SECONDS):
            if parts.scheme == "unix":
                return await asyncio.open_unix_connection(unquote(parts.path), limit=_MAX_ANSWER)
            return await asyncio.open_connection(parts.hostname, parts.port, limit=_MAX_ANSWER)

    async def begin(self) -> "Scan":
        """Begin the scan of a file.

        Raises:
            ScannerDown: the scanner cannot be reached.
        """
        try:
            reader, writer = await self._connect()
        except _AWAY as error:
            raise _down(error) from error
        writer.write(b"zINSTREAM\0")
        return Scan(reader, writer, self.silence_seconds)

    async def answers(self) -> bool:
        """Return whether the scanner answers a ping."""
        try:
            reader, writer = await self._connect()
        except _AWAY:
            return False
        try:
            async with asyncio.timeout(self.silence_seconds):
                writer.write(b"zPING\0")
                return await reader.readuntil(b"\0") == b"PONG\0"
        except _AWAY:
            return False
        finally:
            writer.close()


class Scan:
    """The scan of one file: `feed` it, ask for the `verdict`, and always `close` it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silence_seconds: float) -> None:
        self._reader = reader
        self._writer = writer
        self._silence_seconds = silence_seconds

    async def feed(self, data: bytes) -> None:
        """Send the file's next bytes.

        Raises:
            MalwareFound: the scanner has marked the file already.
            ScannerDown: it no longer receives them.
        """
        if not data:
            return  # a length of zero would end the file
        try:
            self._writer.write(struct.pack(">I", len(data)) + data)
            async with asyncio.timeout(self._silence_seconds):
                await self._writer.drain()
        except _AWAY as error:
            await self._read_answer(because=error)

    async def verdict(self) -> None:
        """End the file and wait for the scanner's verdict.

        Raises:
            MalwareFound: the file is marked.
            ScannerDown: it gives no answer, or one that does not clear the file.
        """
        with suppress(*_AWAY):  # it may have answered and closed before
            self._writer.write(struct.pack(">I", 0))
        await self._read_answer(because=None)

    async def _read_answer(self, *, because: Exception | None) -> None:
        try:
            async with asyncio.timeout(self._silence_seconds):
                answer = await self._reader.readuntil(b"\0")
        except _AWAY as error:
            raise _down(because or error) from error
        text = answer[:-1].decode("utf-8", "replace").strip()
        if text.endswith(" FOUND"):
            log.warning("malware found", name=text.removeprefix("stream: ").removesuffix(" FOUND"))
            raise MalwareFound
        if text != "stream: OK" or because is not None:
            log.error("scanner refused", answer=text)
            raise ScannerDown

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


def _down(error: Exception) -> ScannerDown:
    log.warning("scanner unavailable", error=type(error).__name__)
    return ScannerDown()
