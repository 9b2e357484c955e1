"""Processes forked from one that has imported already: how their owner sees them, and how they end without it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carteira.embedded.forks import ForkServer, ForkServerGone
from carteira.embedded.process import has_death_signal
from tests.support.waiting import wait_until

from .conftest import is_alive

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not has_death_signal(), reason="processes are forked only where they die with their parent"),
]

FORKER = [sys.executable, str(Path(__file__).with_name("forker.py"))]


@pytest.fixture
def forks() -> Iterator[ForkServer]:
    server = ForkServer(FORKER)
    yield server
    server.close()


def read_report(file: Path) -> dict[str, Any]:
    wait_until(file.exists, "the process runs")
    words: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return words


def test_a_forked_process_has_its_own_session_environment_and_status(forks: ForkServer, tmp_path: Path) -> None:
    stays = forks.start(["stay", str(tmp_path / "stays")], {"NAME": "stays"})
    ends = forks.start(["7", str(tmp_path / "ends")], {"NAME": "ends"})
    words = read_report(tmp_path / "stays")
    assert words == {
        "by": read_report(tmp_path / "ends")["by"],
        "pid": stays.pid,
        "group": stays.pid,
        "environment": {"NAME": "stays"},
        "handlers": [True, True],
    }
    assert (ends.wait(30), ends.poll(), stays.poll()) == (7, 7, None)

    with pytest.raises(subprocess.TimeoutExpired):
        stays.wait(0)
    stays.terminate()
    assert stays.wait() == -signal.SIGTERM
    assert not is_alive(stays.pid)


def test_a_fork_server_that_is_gone_takes_its_processes_along(forks: ForkServer, tmp_path: Path) -> None:
    process = forks.start(["stay", str(tmp_path / "report")], os.environ)
    os.kill(read_report(tmp_path / "report")["by"], signal.SIGKILL)
    assert process.wait(30) == -signal.SIGTERM
    with pytest.raises(ForkServerGone):
        forks.start(["0", str(tmp_path / "never")], os.environ)


def test_a_fork_server_that_cannot_import_says_so_and_forks_nothing(tmp_path: Path) -> None:
    broken = ForkServer([sys.executable, "-c", "raise SystemExit(1)"])
    try:
        with pytest.raises(ForkServerGone):
            broken.start(["0", str(tmp_path / "never")], os.environ)
    finally:
        broken.close()


def test_processes_end_as_their_owner_closes_the_fork_server(tmp_path: Path) -> None:
    server = ForkServer(FORKER)
    process = server.start(["stay", str(tmp_path / "report")], os.environ)
    by = read_report(tmp_path / "report")["by"]
    server.close()
    wait_until(lambda: not is_alive(process.pid) and not is_alive(by), "both ended")
