"""A real server: `carteira serve` in processes of its own, as an operator runs it."""

import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from carteira.embedded import free_port
from tests.support import processes

START_SECONDS = 240.0
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For requests without TLS: httpx makes a context for each, and reads all certificates of authorities for it."""
STOP_SECONDS = 30.0
SOURCE = str(Path(__file__).parents[2] / "src")


@dataclass
class Server:
    """A running server."""

    url: str
    home: Path
    env: dict[str, str]
    log: Path
    program: str = sys.executable
    """Return the Python that runs it."""
    process: processes.Process | subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Start the processes (again), on the same port; another release or Python is not what this process forks."""
        if self.program == sys.executable and self.env["PYTHONPATH"] == SOURCE:
            self.process = processes.start(("serve",), self.env, self.home, self.log, self.log)
            return
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [self.program, "-m", "carteira", "serve"], env=self.env, stdout=out, stderr=out, cwd=self.home
            )

    def workers(self) -> list[int]:
        """Return the server's processes that answer requests."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children]


def clean_environment(home: Path, **settings: object) -> dict[str, str]:
    """Return the environment without anything that would change the product, plus the settings given."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in {"PATH", "LANG", "TMPDIR", "HOME"} or name.startswith("COVERAGE_")
    }
    return (
        kept
        | {"PYTHONPATH": SOURCE, "CARTEIRA_HOME": str(home)}
        | {name.upper(): str(value) for name, value in settings.items()}
    )


@contextmanager
def running_server(home: Path, *, workers: int = 2, **settings: object) -> Iterator[Server]:
    """Start a server, wait until it answers, and stop it as an operator would."""
    port = free_port()
    env = clean_environment(home, port=port, workers=workers, **settings)
    server = Server(f"http://{settings.get('host', '127.0.0.1')}:{port}", home, env, home / "server.log")
    try:
        wait_until_ready(server)
        yield server
    finally:
        server.process.send_signal(signal.SIGTERM)
        try:
            server.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait()
            raise


def wait_until_ready(server: Server) -> None:
    deadline, said = time.monotonic() + START_SECONDS, ""
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        try:
            answer = httpx.get(server.url + "/health/ready", timeout=5, verify=PLAIN)
            if answer.status_code == 200:
                return
            said = answer.text
        except httpx.TransportError as error:
            said = repr(error)
            time.sleep(0.05)
    raise AssertionError(f"the server did not start: {said}\n{server.log.read_text()[-4000:]}")
