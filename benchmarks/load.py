"""A lean HTTP/1.1 load generator: keep-alive connections, closed loop or open loop; and one connection for asyncio.

The open loop sends at a fixed rate whatever the answers do, and measures each latency from the instant at which the
request was due, so that queueing in front of a slow server is not hidden (coordinated omission).
"""

import asyncio
import gc
import os
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Self, cast
from urllib.parse import urlsplit

_HEAD_END = b"\r\n\r\n"
_AT_ONCE = 32
"""Requests written, or answers read, before the other direction has its turn: neither must wait for it for long."""


class ConnectionLost(ConnectionError):
    """The server closed the connection before it answered."""


Answered = Callable[[int, bytes], None]
"""Takes an answer's status and body."""
Lost = Callable[[ConnectionLost], None]
"""Called when there will be no answer."""


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request in flight at a time."""

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
        """Fail the request in flight."""
        self.closed = True
        self._gone.set()
        if self._under_way is not None:
            _, lost = self._under_way
            self._under_way = None
            lost(ConnectionLost(str(exc)))

    def data_received(self, data: bytes) -> None:
        """Answer the request in flight once its answer is complete."""
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
        """Send a whole request; one of the two callbacks is called, once."""
        if self.closed or self._transport is None:
            lost(ConnectionLost("closed"))
            return
        self._under_way = answered, lost
        self._transport.write(request)

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send a whole request and return the status and body of its answer.

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
        """Close the connection and wait until it is closed."""
        if self._transport is not None:
            self._transport.close()
            await self._gone.wait()


def _length_of(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"content-length:")
    return int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def http_request(url: str, path: str, body: bytes, token: str) -> bytes:
    """Return a POST as bytes."""
    host = urlsplit(url).netloc
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def loopback(url: str) -> tuple[str, int]:
    """Return the host and port of an address on this machine.

    Raises:
        ValueError: the address is not a loopback one.
    """
    parts = urlsplit(url)
    assert parts.port is not None, "the address names its port"
    host = parts.hostname or ""
    if host != "localhost" and not ip_address(host).is_loopback:
        raise ValueError("load goes to loopback addresses only")
    return host, parts.port


async def connect(url: str, count: int) -> list[Connection]:
    """Open `count` connections to a server on this machine.

    Raises:
        ValueError: the address is not a loopback one.
    """
    host, port = loopback(url)
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(Connection, host, port) for _ in range(count)]
    return [protocol for _, protocol in made]


async def close_all(connections: Sequence[Connection]) -> None:
    """Close connections."""
    await asyncio.gather(*(connection.close() for connection in connections))


@dataclass
class Result:
    """The results of a load: latencies in seconds, answers by body, and the total duration."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    answers: Counter[bytes] = field(default_factory=Counter)
    lost: int = 0
    first: Counter[bytes] = field(default_factory=Counter)
    """Answers to the connections' first requests, before the load began (open loop)."""

    by_answer: dict[bytes, list[float]] = field(default_factory=dict)
    """Seconds from writing a request to its answer, by the answer's body."""
    late: list[float] = field(default_factory=list)
    """Seconds by which requests were written after they were due (open loop)."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def quantile(self, share: float) -> float:
        """Return the latency in seconds below which this share of the requests lies."""
        return quantile(self.latencies, share)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of the values lies; not a number if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class _Sockets:
    """Keep-alive connections on bare sockets: an event loop with callbacks would cost as much as a request."""

    def __init__(self, url: str, count: int) -> None:
        host, port = loopback(url)
        self._sockets = [socket.create_connection((host, port)) for _ in range(count)]
        self._poll = select.epoll()
        for each in self._sockets:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._poll.register(each, select.EPOLLIN)
        self.free = deque(each.fileno() for each in self._sockets)
        self._held: dict[int, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._poll.close()
        for each in self._sockets:
            each.close()

    def ask(self, connection: int, request: bytes) -> None:
        """Send a whole request."""
        if os.write(connection, request) < len(request):
            raise BlockingIOError("a request did not fit into a socket's buffer")

    def use(self, requests: Iterator[bytes]) -> Counter[bytes]:
        """Send one request on each connection, a few at a time; return the answers."""
        every, answers = list(self.free), Counter[bytes]()
        for first in range(0, len(every), _AT_ONCE):
            waiting = set(every[first : first + _AT_ONCE])
            for connection in waiting:
                self.ask(connection, next(requests))
            while waiting:
                for connection, body in self.answers(1):
                    waiting.discard(connection)
                    answers.update([] if body is None else [body])
        return answers

    def answers(self, timeout: float) -> Iterator[tuple[int, bytes | None]]:
        """Wait for answers, `timeout` seconds at most; yield each connection and its answer's body (None: it ended)."""
        for connection, _ in self._poll.poll(timeout, _AT_ONCE):
            try:
                data = self._held.pop(connection, b"") + os.read(connection, 65_536)
            except OSError:
                data = b""
            head, found, body = data.partition(_HEAD_END)
            if not data:
                self._poll.unregister(connection)
                yield connection, None
            elif found and len(body) >= _length_of(head):
                yield connection, body
            else:
                self._held[connection] = data


def closed_loop(
    url: str, connections: int, seconds: float, requests: Iterator[bytes], *, apart: bool = False
) -> Result:
    """Keep each connection busy: the next request is sent when the answer has arrived; `apart` as in `open_loop`."""
    result = Result()
    clock = time.perf_counter
    with _without_collections(), _Sockets(url, connections) as sockets:
        began = clock()
        end = began + seconds
        sent: dict[int, float] = {}
        for connection in sockets.free:
            sent[connection] = clock()
            sockets.ask(connection, next(requests))
        while sent:
            for connection, body in sockets.answers(0 if apart else 1):
                now = clock()
                if body is None:
                    result.lost += 1
                    del sent[connection]
                    continue
                result.latencies.append(now - sent[connection])
                result.by_answer.setdefault(body, []).append(now - sent[connection])
                result.answers[body] += 1
                if now < end:
                    sent[connection] = now
                    sockets.ask(connection, next(requests))
                else:
                    del sent[connection]
        result.seconds = clock() - began
    return result


def open_loop(
    url: str,
    rate: float,
    seconds: float,
    requests: Iterator[bytes],
    *,
    connections: int = 512,
    apart: bool = False,
    used: bool = True,
) -> Result:
    """Send at a fixed rate for a time; each latency counts from the instant at which the request was due.

    A request is sent when it is due, or as soon as a connection is free. With `apart` the load generator has a
    processor to itself and never sleeps, since waking it would be work for the server. Each connection has had a
    request before (`used`), since a server accepts connections one by one.
    """
    result = Result()
    clock = time.perf_counter
    with _without_collections(), _Sockets(url, connections) as sockets:
        free = sockets.free
        if used:
            result.first = sockets.use(requests)
        under_way: dict[int, tuple[float, float]] = {}
        total, called = int(rate * seconds), 0
        began = clock()
        while called < total or under_way:
            now = clock()
            upto = min(total, called + _AT_ONCE, int((now - began) * rate) + 1)
            while called < upto and free:
                connection = free.popleft()
                under_way[connection] = began + called / rate, clock()
                sockets.ask(connection, next(requests))
                called += 1
            pause = began + called / rate - clock() if called < total and free else 1.0
            for connection, body in sockets.answers(0.0 if apart else max(pause, 0.0)):
                now = clock()
                due, written = under_way.pop(connection)
                if body is None:
                    result.lost += 1
                    continue
                result.latencies.append(now - due)
                result.late.append(written - due)
                result.by_answer.setdefault(body, []).append(now - written)
                result.answers[body] += 1
                free.append(connection)
            if not free and not under_way:
                break  # every connection was lost
        result.seconds = clock() - began
    return result


@contextmanager
def _without_collections() -> Iterator[None]:
    """Keep the load generator's own garbage collections out of the figures."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
