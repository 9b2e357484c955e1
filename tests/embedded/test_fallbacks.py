"""The fallbacks where the kernel has no death signal, no `/proc` and no user namespaces (macOS)."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from carteira.embedded import EmbeddedServers, placement, process
from tests.embedded.conftest import is_alive
from tests.support.source import ROOT

SECONDS = 30
SLEEP = "/bin/sleep"

OWNER = """
import sys
from pathlib import Path
from carteira.embedded import process
process.has_death_signal = lambda: False
child = process.spawn([sys.argv[1], "600"], log=Path(sys.argv[2]))
print(child.pid, flush=True)
sys.stdin.read()
"""


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not reached():
        assert time.monotonic() < deadline, "it never got there"
        time.sleep(0.01)


def guards(life: str) -> list[int]:
    """Return the launchers that still run with an argument on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if life.encode() in words and any(word.endswith(b"launch.py") for word in words):
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_without_a_death_signal_a_guard_ends_the_child(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, SLEEP, str(tmp_path / "log")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    ) as owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        command_line = Path(f"/proc/{child}/cmdline")
        until(lambda: command_line.read_bytes().split(b"\0")[:2] == [SLEEP.encode(), b"600"])
        assert is_alive(child)
        owner.send_signal(number)
    until(lambda: not is_alive(child))


def test_a_guard_goes_when_its_child_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "has_death_signal", lambda: False)
    marker = f"0.0{tmp_path.stat().st_ino}"  # seconds, and an argument that no other process has
    child = process.spawn([SLEEP, marker], log=tmp_path / "log")
    assert child.wait(SECONDS) == 0
    until(lambda: guards(marker) == [])


def test_without_proc_a_leftover_is_recognised_by_ps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_PROC", tmp_path / "none")
    child = process.spawn([SLEEP, "601"], log=tmp_path / "log")
    until(lambda: process.is_running_with(child.pid, "601"))
    assert not process.is_running_with(child.pid, "60")
    assert process.end_leftover(child.pid, "not ours", [(signal.SIGKILL, 1)]), "other people's processes are left alone"
    assert child.poll() is None
    assert process.end_leftover(child.pid, "601", [(signal.SIGTERM, SECONDS)])
    assert child.wait(SECONDS) == -signal.SIGTERM
    assert not process.is_running_with(child.pid, "601")


@pytest.mark.integration
def test_servers_start_crash_and_start_again_without_any_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "has_death_signal", lambda: False)
    monkeypatch.setattr(process, "_PROC", tmp_path / "none")
    monkeypatch.setattr(placement, "namespace_works", lambda _program, _folder: False)
    monkeypatch.setattr(placement, "COMMON_FOLDER", Path("/var/tmp", f"carteira-{os.getpid()}"))  # noqa: S108 - the test removes it
    try:
        for _ in ("cold", "after a crash"):
            with EmbeddedServers(tmp_path / "home", aws=False) as servers:
                with psycopg.connect(servers.endpoints.database_url) as connection:
                    assert connection.execute("SELECT 1").fetchone() == (1,)
                servers.postgres.kill()
    finally:
        subprocess.run(["/bin/rm", "-rf", str(placement.COMMON_FOLDER)], check=True)
