"""A real worker: `carteira worker` in a process of its own, as an operator runs it."""

import json
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from carteira.embedded import free_port
from tests.support import processes
from tests.support.server import PLAIN, clean_environment


class Worker:
    """A worker in a process of its own."""

    def __init__(self, home: Path, **settings: object) -> None:
        self.port = free_port()
        self.log = home / "worker.log"
        env = clean_environment(home, **{"worker_port": self.port, "environment": "development", **settings})
        self.host = settings.get("worker_host", "127.0.0.1")
        env["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(dir=home)  # a forked process keeps its metrics in files
        self.process = processes.start(("worker",), env, home, home / "worker.out", self.log)

    def get(self, path: str, **headers: str) -> httpx.Response | None:
        """Return the answer to a GET; None if it does not listen yet."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"http://{self.host}:{self.port}{path}", headers=headers, verify=PLAIN)
        except httpx.TransportError:
            return None

    def text(self, path: str, **headers: str) -> str:
        """Return the answer's text; empty while it does not listen."""
        answer = self.get(path, **headers)
        return "" if answer is None else answer.text

    def stop(self) -> int:
        """Stop it as an operator would and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def lines(self) -> list[dict[str, object]]:
        """Return its log lines."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


@contextmanager
def running_worker(home: Path, **settings: object) -> Iterator[Worker]:
    """Run a worker until the end of the block, and kill it then if it still runs."""
    worker = Worker(home, **settings)
    try:
        yield worker
    finally:
        worker.process.kill()
        worker.process.wait()
