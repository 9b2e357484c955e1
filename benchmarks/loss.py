"""`make bench-loss`: how many seconds of purchases the loss of everything but the backups takes with it.

A worker keeps backups with the settings of production (`BACKUP_WAL_SECONDS`, 60), and a client buys without a pause.
`--late` seconds after a copy of the log (55: shortly before the next one) the server, the worker and PostgreSQL are
killed and the home is deleted. Then the backup is restored into another folder. Printed are the purchases that were
answered `00`, those that are not there again, the time before the end from which on they are lost, and the minutes of
the restore with its proofs.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.stage import PATH, await_health, fill
from carteira import schema
from carteira.cli import tokens
from carteira.embedded import SERVICE, EmbeddedServers, free_port
from carteira.kit.security.age import PrivateKey
from carteira.settings import Settings

ACCOUNTS = 100
WAIT_SECONDS = 180
PACE_SECONDS = 0.01
START_SECONDS = 120


class Client:
    """A client that buys without a pause, and notes when each purchase was approved."""

    def __init__(self, url: str, token: str) -> None:
        self.approved: dict[str, float] = {}
        self._url, self._token = url, token
        self._thread = threading.Thread(target=self._buy, daemon=True)
        self._thread.start()

    def _buy(self) -> None:
        connection = HTTPConnection(urlsplit(self._url).netloc, timeout=60)
        headers = {"Authorization": f"Bearer {self._token}"}
        with suppress(OSError, HTTPException):  # the server was killed
            for number in range(10**9):
                key = str(uuid.uuid4())
                account = f"b{number % ACCOUNTS + 1}"
                body = {"account": account, "totalAmount": 1.0, "mcc": "5811", "merchant": "PADARIA", "id": key}
                connection.request("POST", PATH, json.dumps(body), headers)
                if json.loads(connection.getresponse().read())["code"] == "00":
                    self.approved[key] = time.monotonic()
                time.sleep(PACE_SECONDS)

    def end(self) -> None:
        """Wait until it has noticed that the server is gone."""
        self._thread.join()


def _run(env: dict[str, str], *arguments: str) -> float:
    """Run a command; return the seconds that it took."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "carteira", *arguments]
    done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return time.perf_counter() - began


@contextmanager
def _running(env: dict[str, str], command: str, setting: str) -> Iterator[str]:
    """Run a command of the product that listens at the port of a setting, yield its address, and kill it at the end."""
    port = free_port()
    more = {setting: str(port), "WORKERS": "1", "LOG_LEVEL": "error"}
    arguments = [sys.executable, "-m", "carteira", command]
    with Path(env["CARTEIRA_HOME"]).with_name(f"{command}.log").open("wb") as log:
        process = subprocess.Popen(arguments, env=os.environ | env | more, stderr=log, start_new_session=True)
    try:
        await_health(f"http://127.0.0.1:{port}/health/ready", START_SECONDS)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _copied_at(place: Path) -> float:
    """Return when the log was last copied."""
    return max((file.stat().st_mtime for file in place.glob("wal/*/*")), default=0.0)


def _wait_for_copies(place: Path, count: int) -> None:
    """Wait until the log was copied so many times from now on."""
    deadline = time.monotonic() + WAIT_SECONDS
    for _ in range(count):
        before = _copied_at(place)
        while _copied_at(place) == before:
            if time.monotonic() > deadline:
                raise SystemExit("the log is not copied")
            time.sleep(0.05)


def _lose(home: Path, env: dict[str, str], late: float) -> tuple[dict[str, float], float]:
    """Live, back up and lose everything; return when each purchase was approved, and when all was lost."""
    with EmbeddedServers(home, aws=False) as servers:
        ends = servers.endpoints
        schema.migrate(ends.owner_url)
        schema.grant(ends.owner_url, SERVICE)
        fill(ends.owner_url, ACCOUNTS)
        env |= {"DATABASE_URL": ends.database_url, "REDIS_URL": ends.redis_url, "BACKUP_DATABASE_URL": ends.backup_url}
        token = tokens.processor(Settings(carteira_home=home), timedelta(hours=1))
        with _running(env, "worker", "WORKER_PORT"), _running(env, "serve", "PORT") as url:
            _run(env, "backup", "create")
            _run(env, "backup", "keys", str(home.with_name("keys.age")))
            client = Client(url, token)
            _wait_for_copies(Path(urlsplit(env["BACKUP_URL"]).path), 2)
            time.sleep(late)
            servers.postgres.kill()
            lost_at = time.monotonic()
        client.end()
    shutil.rmtree(home)
    return client.approved, lost_at


def _references(home: Path) -> set[str]:
    """Return the ids of the purchases that moved money in a restored home."""
    query = "SELECT external_id FROM benefits_decisions JOIN ledger_entries USING (id)"
    with (
        EmbeddedServers(home, redis=False, aws=False) as servers,
        psycopg.connect(servers.endpoints.owner_url) as there,
    ):
        return {row[0] for row in there.execute(query)}


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--late", type=float, default=55.0, help="seconds between a copy of the log and the loss")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="carteira-bench-") as name:
        folder, private = Path(name), PrivateKey.make()
        (folder / "key").write_text(private.text())
        env = {"CARTEIRA_HOME": str(folder / "home"), "CARTEIRA_MODULES": "benefits"}
        env |= {"BACKUP_URL": (folder / "place").as_uri(), "BACKUP_RECIPIENTS": private.public}
        approved, lost_at = _lose(folder / "home", env, options.late)
        keys = ("--identity", str(folder / "key"), "--keys", str(folder / "keys.age"))
        took = _run(env, "restore", "home", str(folder / "restored"), *keys, "--yes")
        there = _references(folder / "restored")
    lost = [lost_at - at for key, at in approved.items() if key not in there]
    kept = [lost_at - at for key, at in approved.items() if key in there]
    table = Table(title="The loss of everything but the backups")
    for title in ("approved", "lost", "the first of them, s before", "the last that is kept, s before", "restore min"):
        table.add_column(title, justify="right")
    figures = (max(lost, default=0.0), min(kept), took / 60)
    table.add_row(f"{len(approved):,}", f"{len(lost):,}", *(f"{figure:.1f}" for figure in figures))
    Console().print(table)


if __name__ == "__main__":
    main()
