"""`carteira serve` accepts connections fast, says why it cannot start, and leaves nothing behind."""

import asyncio
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil  # type: ignore[import-untyped] # it has no types
import pytest
import uvicorn
import uvloop

from carteira.cli.errors import CommandFailed
from carteira.cli.launcher import check_address
from carteira.embedded import Endpoints
from carteira.http_server.processes import LISTENERS, listening_sockets
from tests.support.databases import NewDatabase
from tests.support.server import clean_environment, running_server


@pytest.mark.parametrize("workers", [1, 2])
def test_the_folder_of_the_metrics_goes_with_the_server(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path: Path, workers: int
) -> None:
    url, temporary = new_database(f"serve{workers}"), tmp_path / "tmp"
    temporary.mkdir()
    with running_server(
        tmp_path, workers=workers, database_url=url, redis_url=endpoints.redis_url, tmpdir=temporary
    ) as server:
        assert len(list(temporary.glob("carteira-metrics-*"))) == 1
        assert "carteira_" in httpx.get(server.url + "/metrics").text
    assert server.process.returncode == 0
    assert list(temporary.glob("carteira-*")) == []


def test_an_address_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "carteira", "serve"],
            env=clean_environment(tmp_path, port=port, database_url="postgresql://127.0.0.1:1/none"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 1
    assert f"não dá para escutar em 127.0.0.1:{port}" in " ".join(ended.stderr.split())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere one socket serves all processes")
def test_each_process_gets_its_share_of_the_connections(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path: Path
) -> None:
    with running_server(tmp_path, database_url=new_database("shares"), redis_url=endpoints.redis_url) as server:
        address = urlsplit(server.url)

        def connections(pid: int, status: str) -> int:
            every = psutil.Process(pid).net_connections("tcp")
            return sum(each.status == status and each.laddr.port == address.port for each in every)

        workers = server.workers()
        assert len(workers) == 2
        forker = psutil.Process(server.process.pid)
        assert all(psutil.Process(pid).cmdline() == forker.cmdline() for pid in workers), "forked: one import for all"
        while not all(connections(pid, psutil.CONN_LISTEN) for pid in workers):
            time.sleep(0.02)  # one is there before the other
        for _ in range(6):
            with ExitStack() as crowd:
                clients = [
                    crowd.enter_context(socket.create_connection((address.hostname, address.port), timeout=20))
                    for _ in range(64)
                ]
                for client in clients:
                    client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert all(client.recv(65_536).startswith(b"HTTP/1.1 200 ") for client in clients)
                shares = [connections(pid, psutil.CONN_ESTABLISHED) for pid in workers]
            assert sum(shares) == 64
            assert min(shares) >= 8, "by chance it would happen once in 10^9 runs"
        with pytest.raises(CommandFailed, match="o endereço já está em uso"):  # another server cannot join
            check_address("127.0.0.1", address.port or 0, "PORT")


def test_a_turn_of_the_loop_takes_as_many_connections_as_there_are_listeners() -> None:
    """With eight listeners, a crowd that reconnects waits for an eighth of the turns that one would need."""
    crowd = 12 * LISTENERS

    async def turns() -> int:
        loop, accepted = asyncio.get_running_loop(), []

        class Connection(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                accepted.append(transport)

        sockets = listening_sockets(uvicorn.Config("-", host="127.0.0.1", port=0, log_config=None))
        servers = [await loop.create_server(Connection, sock=each, backlog=2 * crowd) for each in sockets]
        with ExitStack() as clients:
            for _ in range(crowd):
                clients.enter_context(socket.create_connection(sockets[0].getsockname(), timeout=5))
            taken = 0
            while len(accepted) < crowd:
                await asyncio.sleep(0)
                taken += 1
        for server in servers:
            server.close()
        return taken

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(asyncio.wait_for(turns(), 30)) <= crowd // LISTENERS + 4
