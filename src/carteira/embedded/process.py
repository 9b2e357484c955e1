"""Child processes that end with this process, and checks that a leftover process is ours."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Literal

RunAs = Literal["same", "namespace", "nobody"]

POLL_SECONDS = 0.01

_PROC = Path("/proc")
_LAUNCHER = Path(__file__).with_name("launch.py")

# The kernel sends a parent-death signal when the *thread* that forked ends. This thread lives as long as the
# interpreter, so that servers may be started from any thread.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="carteira-spawner")


def spawn(  # noqa: PLR0913 - a process's options
    argv: Sequence[str],
    *,
    death_signal: signal.Signals = signal.SIGTERM,
    run_as: RunAs = "same",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    keep: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a child in its own session that gets ``death_signal`` when this process ends, however it ends.

    Args:
        argv: The command; its first element is an absolute path.
        death_signal: The signal that the child gets when this process ends.
        run_as: ``namespace`` and ``nobody`` are for programs that refuse root; they need root.
        cwd: Its working folder, entered with its own rights.
        env: Its whole environment; None: this process's.
        log: The file for its output, readable by its owner only; None: this process's output.
        keep: This process's descriptors that it gets, under the same numbers.
    """
    life = None if has_death_signal() else _life()
    launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), str(int(death_signal)), run_as]
    command = [*launcher, str(cwd or ""), "" if life is None else str(life), *argv]
    kept = tuple(keep) if life is None else (*keep, life)
    if log is None:
        return _fork(command, env, None, kept)
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        return _fork(command, env, output.fileno(), kept)


def has_death_signal() -> bool:
    """Return whether the kernel signals the children of a dying process: Linux does."""
    return hasattr(ctypes.CDLL(None), "prctl")


@cache
def _life() -> int:
    """The end of a pipe that children get; the other end belongs to this process only, and closes when it ends."""
    reading, _ = os.pipe()
    return reading


def has_proc() -> bool:
    """Return whether the kernel shows processes under ``/proc``: Linux does."""
    return Path(_PROC, "self", "cmdline").exists()


def _fork(
    command: list[str], env: Mapping[str, str] | None, output: int | None, kept: Sequence[int]
) -> subprocess.Popen[bytes]:
    def fork() -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own arguments
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=kept,
            umask=-1 if output is None else 0o077,
        )

    return _SPAWNER.submit(fork).result()


def server_environment() -> dict[str, str]:
    """A minimal environment: the servers get no PG* or AWS* variables and no secrets of the operator's."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {"PATH": os.defpath, **kept, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC", "NO_COLOR": "1"}


def is_running_with(pid: int, argument: str) -> bool:
    """Return whether ``pid`` is alive (not a zombie) and has exactly this argument on its command line."""
    if not has_proc():
        return f" {argument} " in f" {_asked_of_ps(pid)} "
    try:
        command_line = Path(_PROC, str(pid), "cmdline").read_bytes()
    except OSError:
        return False
    return os.fsencode(argument) in command_line.split(b"\0")


def _asked_of_ps(pid: int) -> str:
    """The command line of a living process, from POSIX's ``ps``; empty if there is none."""
    ps = shutil.which("ps", path=os.defpath)
    if ps is None:
        return ""
    command = [ps, "-ww", "-o", "state=,args=", "-p", str(pid)]
    line = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 - our own arguments
    state, _, arguments = line.partition(" ")
    return "" if state.startswith("Z") else arguments.strip()


def pids_working_in(folder: Path, program: str) -> list[int]:
    """Processes of this program whose working folder is ``folder``: a dead PostgreSQL's last backends, for example.

    Needs ``/proc``.
    """
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "cwd").readlink() == folder and (entry / "exe").readlink().name == program:
                found.append(int(entry.name))
        except OSError:  # it has ended, or is another user's
            continue
    return found


def signal_pid(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def end_leftover(pid: int, argument: str, steps: Sequence[tuple[signal.Signals, float]]) -> bool:
    """End a process of a former run, but only if its command line proves that it is ours.

    Args:
        pid: As recorded by the former run.
        argument: Its data folder or configuration file, which stands on its command line.
        steps: The signals to send, the mildest first, each with the seconds to wait for its effect.

    Returns:
        Whether it is gone (or never was ours).
    """
    for number, seconds in steps:
        if not is_running_with(pid, argument):
            return True
        signal_pid(pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and is_running_with(pid, argument):
            time.sleep(POLL_SECONDS)
    return not is_running_with(pid, argument)
