"""A lean HTTP/1.1 load generator: keep-alive connections on bare asyncio protocols, closed loop or open loop.

The open loop sends at a fixed rate whatever the answers do, and measures each latency from the instant at which the
request was due, so that queueing in front of a slow server is not hidden (coordinated omission).
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

_HEAD_END = b"\r\n\r\n"


class ConnectionLost(ConnectionError):
    """The server closed the connection before it answered."""


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request under way at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._buffer = b""
        self.closed = False
        self._gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports are no subclass
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the request under way."""
        self.closed = True
        self._gone.set()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionLost(str(exc)))

    def data_received(self, data: bytes) -> None:
        """Answer the request under way once its answer is whole."""
        self._buffer += data
        head, found, rest = self._buffer.partition(_HEAD_END)
        if not found:
            return
        lower = head.lower()
        at = lower.find(b"content-length:")
        length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((int(head[9:12]), rest[:length]))

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send a whole request and give the status and body of its answer.

        Raises:
            ConnectionLost: the server closed the connection first.
        """
        if self.closed or self._transport is None:
            raise ConnectionLost("closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    async def close(self) -> None:
        """Close the connection and wait until it is."""
        if self._transport is not None:
            self._transport.close()
            await self._gone.wait()


def http_request(url: str, path: str, body: bytes, token: str) -> bytes:
    """Write a POST."""
    host = urlsplit(url).netloc
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def connect(url: str, count: int) -> list[Connection]:
    """Open `count` connections to a server on this machine.

    Raises:
        ValueError: the address is not a loopback one.
    """
    parts = urlsplit(url)
    assert parts.port is not None, "the address names its port"
    if parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
        raise ValueError("load goes to loopback addresses only")
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(Connection, parts.hostname, parts.port) for _ in range(count)]
    return [protocol for _, protocol in made]


async def close_all(connections: Sequence[Connection]) -> None:
    """Close connections."""
    await asyncio.gather(*(connection.close() for connection in connections))


@dataclass
class Result:
    """What a load saw: latencies in seconds, answers by body, and how long it took in all."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    answers: Counter[bytes] = field(default_factory=Counter)
    lost: int = 0

    by_answer: dict[bytes, list[float]] = field(default_factory=dict)
    """Seconds from writing a request to its answer, by the answer's body (open loop)."""

    def quantile_of(self, answer: bytes, share: float) -> float:
        """Give the time in seconds below which the share of the requests with this answer lies."""
        ordered = sorted(self.by_answer.get(answer, ()))
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def quantile(self, share: float) -> float:
        """Give the latency in seconds below which the share of requests lies."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


async def closed_loop(
    url: str,
    connections: int,
    seconds: float,
    requests: Iterator[bytes],
    *,
    on_second: Callable[[], None] | None = None,
) -> Result:
    """Keep each connection busy: the next request goes out when the answer is in."""
    result = Result()
    pool = await connect(url, connections)
    began = time.perf_counter()
    end = began + seconds

    async def work(connection: Connection) -> None:
        clock, latencies, answers = time.perf_counter, result.latencies, result.answers
        while (sent := clock()) < end:
            try:
                _, body = await connection.send(next(requests))
            except ConnectionLost:
                result.lost += 1
                return
            latencies.append(clock() - sent)
            answers[body] += 1

    ticker = asyncio.create_task(_tick(on_second)) if on_second else None
    await asyncio.gather(*(work(connection) for connection in pool))
    result.seconds = time.perf_counter() - began
    if ticker:
        ticker.cancel()
    await close_all(pool)
    return result


async def open_loop(
    url: str, rate: float, seconds: float, requests: Iterator[bytes], *, connections: int = 512
) -> Result:
    """Send at a fixed rate for a time; each latency counts from the instant at which the request was due."""
    result = Result()
    free = await connect(url, connections)
    pool: Sequence[Connection] = tuple(free)
    waiting: asyncio.Queue[float] = asyncio.Queue()
    began = time.perf_counter()
    total = int(rate * seconds)

    async def work(connection: Connection) -> None:
        while True:
            due = await waiting.get()
            if due < 0:
                return
            written = time.perf_counter()
            try:
                _, body = await connection.send(next(requests))
            except ConnectionLost:
                result.lost += 1
                return
            now = time.perf_counter()
            result.latencies.append(now - due)
            result.by_answer.setdefault(body, []).append(now - written)
            result.answers[body] += 1

    workers = [asyncio.create_task(work(connection)) for connection in pool]
    sent = 0
    while sent < total:
        elapsed = time.perf_counter() - began
        due_now = min(total, int(elapsed * rate) + 1)
        while sent < due_now:
            waiting.put_nowait(began + sent / rate)
            sent += 1
        await asyncio.sleep(0.001)
    for _ in workers:
        waiting.put_nowait(-1.0)
    await asyncio.gather(*workers)
    result.seconds = time.perf_counter() - began
    await close_all(pool)
    return result


async def _tick(on_second: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(1)
        on_second()
