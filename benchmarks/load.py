"""A lean HTTP/1.1 load generator: keep-alive connections on bare asyncio protocols, closed loop or open loop.

The open loop sends at a fixed rate whatever the answers do, and measures each latency from the instant at which the
request was due, so that queueing in front of a slow server is not hidden (coordinated omission).
"""

import asyncio
import gc
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

_HEAD_END = b"\r\n\r\n"


class ConnectionLost(ConnectionError):
    """The server closed the connection before it answered."""


Answered = Callable[[int, bytes], None]
"""Takes an answer's status and body."""
Lost = Callable[[ConnectionLost], None]
"""Is told that there will be no answer."""


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request under way at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._under_way: tuple[Answered, Lost] | None = None
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
        if self._under_way is not None:
            _, lost = self._under_way
            self._under_way = None
            lost(ConnectionLost(str(exc)))

    def data_received(self, data: bytes) -> None:
        """Answer the request under way once its answer is whole."""
        if self._buffer:
            data = self._buffer + data
        head, found, rest = data.partition(_HEAD_END)
        length = _length_of(head) if found else 0
        if not found or len(rest) < length:
            self._buffer = data
            return
        self._buffer = rest[length:]
        if self._under_way is not None:
            answered, _ = self._under_way
            self._under_way = None
            answered(int(head[9:12]), rest[:length])

    def ask(self, request: bytes, answered: Answered, lost: Lost) -> None:
        """Send a whole request; one of the two is called, once."""
        if self.closed or self._transport is None:
            lost(ConnectionLost("closed"))
            return
        self._under_way = answered, lost
        self._transport.write(request)

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send a whole request and give the status and body of its answer.

        Raises:
            ConnectionLost: the server closed the connection first.
        """
        answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

        def answered(status: int, body: bytes) -> None:
            if not answer.done():
                answer.set_result((status, body))

        def lost(error: ConnectionLost) -> None:
            if not answer.done():
                answer.set_exception(error)

        self.ask(request, answered, lost)
        return await answer

    async def close(self) -> None:
        """Close the connection and wait until it is."""
        if self._transport is not None:
            self._transport.close()
            await self._gone.wait()


def _length_of(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"content-length:")
    return int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


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
    pool = await connect(url, connections)
    result = Result()
    with _without_collections():
        ticker = asyncio.create_task(_tick(on_second)) if on_second else None
        began = time.perf_counter()
        clients = [_Client(connection, result, requests, began + seconds) for connection in pool]
        for client in clients:
            client.ask()
        await asyncio.gather(*(client.finished for client in clients))
        result.seconds = time.perf_counter() - began
        if ticker:
            ticker.cancel()
    await close_all(pool)
    return result


class _Client:
    """A client of the closed loop: asks, and asks again once it has been answered, until the end."""

    def __init__(self, connection: Connection, result: Result, requests: Iterator[bytes], end: float) -> None:
        self._connection = connection
        self._result = result
        self._requests = requests
        self._end = end
        self._sent = 0.0
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def ask(self) -> None:
        self._sent = time.perf_counter()
        if self._sent >= self._end:
            self.finished.set_result(None)
        else:
            self._connection.ask(next(self._requests), self._answered, self._lost)

    def _answered(self, _status: int, body: bytes) -> None:
        self._result.latencies.append(time.perf_counter() - self._sent)
        self._result.answers[body] += 1
        self.ask()

    def _lost(self, _error: ConnectionLost) -> None:
        self._result.lost += 1
        self.finished.set_result(None)


async def open_loop(
    url: str, rate: float, seconds: float, requests: Iterator[bytes], *, connections: int = 512
) -> Result:
    """Send at a fixed rate for a time; each latency counts from the instant at which the request was due."""
    pool = await connect(url, connections)
    result = Result()
    with _without_collections():
        began = time.perf_counter()
        due = _Due(pool, result, requests)
        total, called = int(rate * seconds), 0
        while called < total:
            upto = min(total, int((time.perf_counter() - began) * rate) + 1)
            for number in range(called, upto):
                due.call(began + number / rate)
            called = upto
            await asyncio.sleep(0.001)
        await due.finished()
        result.seconds = time.perf_counter() - began
    await close_all(pool)
    return result


class _Due:
    """Requests of the open loop: sent when they are due, or as soon as a connection is free."""

    def __init__(self, pool: Sequence[Connection], result: Result, requests: Iterator[bytes]) -> None:
        self._free = deque(pool)
        self._connected = len(pool)
        self._waiting: deque[float] = deque()
        self._result = result
        self._requests = requests
        self._progress = asyncio.Event()

    def call(self, due: float) -> None:
        """Take a request that is due."""
        if self._free:
            self._send(self._free.popleft(), due)
        else:
            self._waiting.append(due)

    async def finished(self) -> None:
        """Wait for the answers to all of them; without connections there will be none."""
        while self._connected and (self._waiting or len(self._free) < self._connected):
            self._progress.clear()
            await self._progress.wait()

    def _send(self, connection: Connection, due: float) -> None:
        written = time.perf_counter()

        def answered(_status: int, body: bytes) -> None:
            now = time.perf_counter()
            self._result.latencies.append(now - due)
            self._result.by_answer.setdefault(body, []).append(now - written)
            self._result.answers[body] += 1
            if self._waiting:
                self._send(connection, self._waiting.popleft())
            else:
                self._free.append(connection)
                self._progress.set()

        connection.ask(next(self._requests), answered, self._lost)

    def _lost(self, _error: ConnectionLost) -> None:
        self._result.lost += 1
        self._connected -= 1
        self._progress.set()


@contextmanager
def _without_collections() -> Iterator[None]:
    """Keep the load generator's own garbage collections out of the figures."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def _tick(on_second: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(1)
        on_second()
