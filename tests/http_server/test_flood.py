"""A real server under what hostile clients send: it stays small, and serves whoever else asks."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import httpx
import psutil  # type: ignore[import-untyped] # it has no types
import pytest

from carteira.embedded import Endpoints
from tests.support.databases import NewDatabase
from tests.support.server import Server, running_server

MIB = 1024 * 1024
GROWTH_MIB = 40
"""What 600 connections and their buffers may take; one head of 100 MB alone took 100."""


@pytest.fixture(scope="module")
def server(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("flood")
    url = new_database("flood")
    with running_server(home, workers=1, database_url=url, redis_url=endpoints.redis_url, log_level="error") as it:
        yield it


def connect(server: Server, crowd: ExitStack) -> socket.socket:
    address = urlsplit(server.url)
    return crowd.enter_context(socket.create_connection((address.hostname, address.port), timeout=20))


def memory(server: Server) -> int:
    resident: int = psutil.Process(server.process.pid).memory_info().rss
    return resident


def refused(server: Server, reason: str) -> float:
    name = f'carteira_http_connections_refused_total{{reason="{reason}"}} '
    text = httpx.get(server.url + "/metrics", timeout=20).text
    return sum(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))


STARTS = {
    "in the API": b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: ",
    "in the lane": b"POST /transactions/authorizer HTTP/1.1\r\nHost: x\r\nX-A: ",
    "without a line's end": b"",
}


@pytest.mark.parametrize("name", STARTS)
def test_a_header_of_100_mb_takes_no_memory_and_keeps_nobody_waiting(server: Server, name: str) -> None:
    with ExitStack() as crowd, httpx.Client(base_url=server.url, timeout=20) as bystander:
        before, refusals = memory(server), refused(server, "head_too_large")
        attacker = connect(server, crowd)
        peak, sent = before, 0
        with suppress(ConnectionError):
            attacker.sendall(STARTS[name])
            while sent < 100_000_000:
                attacker.sendall(b"A" * 1_000_000)
                sent += 1_000_000
                assert bystander.get("/health").status_code == 200
                peak = max(peak, memory(server))
        assert 1_000_000 < sent < 100_000_000, "it is thrown away for a while, and then cut off"
        assert peak - before < GROWTH_MIB * MIB
        assert refused(server, "head_too_large") == refusals + 1


def test_silent_connections_half_heads_and_pipelines_take_no_memory(server: Server) -> None:
    with ExitStack() as crowd, httpx.Client(base_url=server.url, timeout=20) as bystander:
        assert bystander.get("/health").status_code == 200
        before = memory(server)
        sent = [
            b"",
            b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 10_000,
            b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nusername=",
        ]
        for data in sent:
            for _ in range(100):
                connect(server, crowd).sendall(data)
            assert bystander.get("/health").status_code == 200
        ahead = connect(server, crowd)
        ahead.settimeout(0.2)
        with suppress(TimeoutError):  # its answers are not read, so that at last it is not read either
            for _ in range(100):
                ahead.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 30_000)
        assert bystander.get("/health").status_code == 200
        assert memory(server) - before < GROWTH_MIB * MIB
