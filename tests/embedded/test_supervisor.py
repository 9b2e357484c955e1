import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

from .conftest import Owner, is_alive

pytestmark = pytest.mark.integration

# An application that says its pid, then waits; the tests pass it a file to write to.
APP = "import os, signal; open({file!r}, 'a').write(f'{{os.getpid()}}\\n'); {then}; signal.pause()"


def pids_in(file: Path) -> list[int]:
    return [int(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def test_app_that_crashes_and_server_that_dies_are_restarted_and_all_stop_on_sigterm(
    tmp_path: Path, own: Callable[..., Owner]
) -> None:
    file = tmp_path / "pids"
    owner = own("supervise", str(tmp_path / "home"), APP.format(file=str(file), then="pass"))
    started = owner.read_until("started", "web")
    wait_until(lambda: len(pids_in(file)) == 1, "the app runs")

    os.kill(pids_in(file)[0], signal.SIGKILL)
    assert owner.read_until("crashed", "web")["detail"] == "sinal SIGKILL"
    owner.read_until("restarted", "web")
    wait_until(lambda: len(pids_in(file)) == 2, "the app runs again")

    os.kill(int(started["redis_pid"]), signal.SIGKILL)
    owner.read_until("crashed", "redis")
    restarted = owner.read_until("restarted", "redis")
    assert restarted["redis_pid"] != started["redis_pid"]

    assert owner.end(signal.SIGTERM) == 0
    owner.read_until("stopped", "web")
    assert not any(is_alive(pid) for pid in [*pids_in(file), int(restarted["redis_pid"])])


def test_app_that_ignores_sigterm_is_killed_after_the_grace_period(tmp_path: Path, own: Callable[..., Owner]) -> None:
    file = tmp_path / "pids"
    deaf = f"signal.signal(signal.SIGTERM, signal.SIG_IGN); open({str(file) + '.deaf'!r}, 'w')"
    owner = own("supervise", str(tmp_path / "home"), APP.format(file=str(file), then=deaf))
    wait_until(Path(f"{file}.deaf").exists, "the app ignores SIGTERM")
    assert owner.end(signal.SIGINT) == 0
    owner.read_until("killed", "web")
    assert not is_alive(pids_in(file)[0])


def test_apps_and_servers_die_with_a_killed_supervisor(tmp_path: Path, own: Callable[..., Owner]) -> None:
    file = tmp_path / "pids"
    owner = own("supervise", str(tmp_path / "home"), APP.format(file=str(file), then="pass"))
    redis_pid = int(owner.read_until("started", "web")["redis_pid"])
    wait_until(lambda: len(pids_in(file)) == 1, "the app runs")
    owner.end(signal.SIGKILL)
    wait_until(lambda: not is_alive(pids_in(file)[0]) and not is_alive(redis_pid), "both died")
