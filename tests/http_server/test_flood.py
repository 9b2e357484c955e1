"""A real server under what hostile clients send: it stays small, and continues to serve the others."""

import asyncio
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil  # type: ignore[import-untyped] # it has no types
import pytest

from carteira.embedded import Endpoints
from tests.support.databases import NewDatabase
from tests.support.documents import FIELDS, form
from tests.support.files import pdf
from tests.support.people import new_person
from tests.support.server import Server, running_server
from tests.support.waiting import until

MIB = 1024 * 1024
GROWTH_MIB = 40
"""The most that 600 connections and their buffers may take; one head of 100 MB alone once took 100."""


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
        assert 1_000_000 < sent < 100_000_000, "the rest is discarded for a while, then the connection is closed"
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
        with suppress(TimeoutError):  # it does not read answers, so that finally it is not read either
            for _ in range(100):
                ahead.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 30_000)
        assert bystander.get("/health").status_code == 200
        assert memory(server) - before < GROWTH_MIB * MIB


def upload_of(token: str) -> bytes:
    """Return a document's form, cut in the middle of its file."""
    named = 'Content-Disposition: form-data; name="{}"'
    fields = [f"{named.format(name)}\r\n\r\n{value}".encode() for name, value in FIELDS.items()]
    file = f'{named.format("file")}; filename="cnh.pdf"\r\n\r\n'.encode() + pdf(600_000)
    head = (
        "POST /documents HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=cut\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: 9000000\r\n\r\n"
    )
    return head.encode() + form(*fields, file)[:500_000]


def answered(clients: list[socket.socket]) -> list[socket.socket]:
    """Return the connections on which something has arrived."""
    return select.select(clients, [], [], 0)[0]


def trickles(client: socket.socket) -> bool:
    """Send one more byte, and return whether the server still accepts it."""
    try:
        client.send(b"x")
    except OSError:
        return False
    return True


@pytest.fixture
def hasty(new_database: NewDatabase, endpoints: Endpoints, tmp_path: Path) -> Iterator[Server]:
    """A server that waits 2 s for a head, and 2 s for each KiB of a body."""
    settings = {"database_url": new_database("hasty"), "redis_url": endpoints.redis_url, "log_level": "error"}
    with running_server(tmp_path, workers=1, head_timeout_seconds=2, **settings) as it:
        yield it


def answers_to_health(server: Server, within: str) -> float:
    """Return how many requests for `/health` were answered within so many seconds, by the server's clock."""
    name = f'carteira_http_request_seconds_bucket{{le="{within}",method="GET",route="/health"}} '
    text = httpx.get(server.url + "/metrics", timeout=20).text
    return sum(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))


@pytest.mark.timeout(240)
async def test_a_bystander_is_served_through_registrations_junk_codes_and_trickling_bodies(hasty: Server) -> None:
    """At once: 40 registrations, 300 unknown second factors, and 38 bodies that arrive byte by byte.

    Eight bodies are files of one person, of which four are accepted at once; none is stored.
    """
    limits = httpx.Limits(max_connections=120)
    with ExitStack() as crowd:
        async with (
            httpx.AsyncClient(base_url=hasty.url, timeout=120, limits=limits) as attacker,
            httpx.AsyncClient(base_url=hasty.url, timeout=60) as bystander,
        ):
            person = new_person()
            assert (await attacker.post("/users/register", json=person)).status_code == 201
            login = {"username": person["cpf"], "password": person["password"]}
            token = (await attacker.post("/auth/login", data=login)).json()["access_token"]
            assert (await bystander.get("/health")).status_code == 200
            before, all_before = memory(hasty), answers_to_health(hasty, "+Inf")
            quick_before = answers_to_health(hasty, "1.0")
            slow = [connect(hasty, crowd) for _ in range(30)]
            for client in slow:
                client.sendall(b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
            files = [connect(hasty, crowd) for _ in range(8)]
            for client in files:
                client.sendall(upload_of(token))
            await until(lambda: len(answered(files)) == 4, "four files are too many")
            for client in answered(files):
                assert client.recv(12) == b"HTTP/1.1 429"
                files.remove(client)
                client.close()
            slow += files
            junk = {"mfa_token": "junk", "code": "000000"}
            attack = asyncio.gather(
                *(attacker.post("/users/register", json=new_person()) for _ in range(40)),
                *(attacker.post("/auth/mfa", json=junk) for _ in range(300)),
            )
            while not attack.done() or slow:
                assert (await bystander.get("/health")).status_code == 200
                slow = [client for client in slow if trickles(client)]
            answers = [answer.status_code for answer in await attack]
        assert refused(hasty, "body_stalled") == 34
        assert not [*filter(Path.is_file, (hasty.home / "documents").rglob("*"))]
        assert set(answers[:40]) <= {201, 503}
        assert answers.count(201) > 0
        assert set(answers[40:]) <= {401, 503}
        asked = answers_to_health(hasty, "+Inf") - all_before
        assert asked - (answers_to_health(hasty, "1.0") - quick_before) <= asked / 100, "one in a hundred at most"
        assert memory(hasty) - before < GROWTH_MIB * MIB
