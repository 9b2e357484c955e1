"""Failures while a backup is made: after each of them the next backup is whole."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from carteira.backup import making
from carteira.embedded import Endpoints, free_port
from carteira.kit.security.age import PrivateKey
from tests.support.databases import NewDatabase, on_server
from tests.support.patroni import small_disk
from tests.support.server import clean_environment
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]
COMMAND_SECONDS = 110


class Operator:
    """An operator who types commands, with the settings of a worker that makes backups."""

    def __init__(self, home: Path, **settings: object) -> None:
        self.home = home
        home.mkdir()
        self.settings = settings

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "carteira", "backup", *arguments],
            env=clean_environment(self.home, **self.settings),
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Return a command's exit code and all that it said."""
        running = self.start(*arguments)
        said, complained = running.communicate(timeout=COMMAND_SECONDS)
        return running.returncode, said + complained

    def sees_one_whole(self) -> None:
        """See that there is one backup, and that it is whole."""
        assert "1 backup(s)." in self.run("list")[1]
        code, said = self.run("verify")
        assert code == 0, said


@pytest.fixture
def settings(new_database: NewDatabase, endpoints: Endpoints, tmp_path: Path) -> dict[str, object]:
    database = new_database("interrupted")
    return {
        "carteira_modules": "none",
        "database_url": database,
        "backup_url": (tmp_path / "place").as_uri(),
        "backup_recipients": PrivateKey.make().public,
        "backup_database_url": on_server(endpoints.backup_url, database.rpartition("/")[2]),
        "backup_form": "logical",
    }


def test_a_killed_backup_delays_nobody_and_is_continued(settings: dict[str, object], tmp_path: Path) -> None:
    operator = Operator(tmp_path / "home", **settings)
    killed = operator.start("create")
    wait_until(lambda: bool([*tmp_path.glob(f"place/sets/*/{making.UNFINISHED}")]), "a backup begins", COMMAND_SECONDS)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert "0 backup(s)." in operator.run("list")[1]
    code, said = operator.run("create")
    assert code == 0, said
    operator.sees_one_whole()


def test_a_backup_to_a_full_place_fails_and_the_next_one_is_whole(settings: dict[str, object], tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("NO DISK WAS FILLED: only root mounts a small one")
    place, operator = tmp_path / "place", Operator(tmp_path / "home", **settings)
    place.mkdir()
    with small_disk(place, 8):
        filler = place / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                continue
        code, said = operator.run("create")
        assert (code, "o disco está cheio" in said, "Traceback" in said) == (1, True, False), said
        assert "0 backup(s)." in operator.run("list")[1]
        filler.unlink()
        assert operator.run("create")[0] == 0
        operator.sees_one_whole()


@contextmanager
def relayed(url: str, until: bytes) -> Iterator[str]:
    """Stand between clients and a server until one of them says something; from then on nobody is there."""
    target, port, gone = urlsplit(url), free_port(), threading.Event()

    def hand_on(client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection((target.hostname, target.port)) as server:
            while not gone.is_set():
                for end in select.select([client, server], [], [], 0.05)[0]:
                    content = end.recv(65536)
                    (server if end is client else client).sendall(content)
                    if not content:
                        return
                    if until in content:
                        gone.set()

    def listen() -> None:
        with socket.create_server(("127.0.0.1", port)) as listening:
            listening.settimeout(0.05)
            while not gone.is_set():
                with suppress(TimeoutError):
                    threads.submit(hand_on, listening.accept()[0])

    with ThreadPoolExecutor() as threads:
        threads.submit(listen)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            gone.set()


def test_a_backup_without_its_bucket_fails_and_the_next_one_is_whole(
    settings: dict[str, object], endpoints: Endpoints, tmp_path: Path
) -> None:
    assert endpoints.aws_endpoint_url is not None
    bucket = f"s3://backups/{tmp_path.name}"
    operator = Operator(tmp_path / "home", **{**settings, "backup_url": bucket})
    with relayed(endpoints.aws_endpoint_url, making.UNFINISHED.encode()) as url:
        operator.settings["aws_endpoint_url"] = url
        assert "0 backup(s)." in operator.run("list")[1]
        code, said = operator.run("create")
        assert (code, "não responde" in said, "Traceback" in said) == (1, True, False), said
    operator.settings["aws_endpoint_url"] = endpoints.aws_endpoint_url
    assert operator.run("create")[0] == 0
    operator.sees_one_whole()
