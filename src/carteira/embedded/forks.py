"""Processes forked from one that has imported the application, so that several share one import.

The owner has a `ForkServer`. The process that it started calls `fork_when_asked`, which returns in each forked process.
Before that call the process only imports, so that it has no thread, event loop or connection to share. This needs a
kernel that signals children of a dying process (Linux); elsewhere processes start plainly.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from carteira.embedded import process

_PR_SET_PDEATHSIG = 1
_BLOCK = 65_536


class ForkServerGone(Exception):
    """The forking process has ended; the kernel ends the processes that it forked."""


class ForkServer:
    """The owner's end: it starts processes, and learns of their ends. For one thread.

    Args:
        command: The command of the forking process; a descriptor's number is appended to it.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = process.spawn([*command, str(theirs.fileno())], keep=(theirs.fileno(),))
        self._unread = b""
        self._started: list[int] = []
        self._statuses: dict[int, int] = {}
        self.is_gone = False

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when a process has ended."""
        return self._channel.fileno()

    def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> "ForkedProcess":
        """Fork a process with arguments and a complete environment; the first one waits for the import.

        Raises:
            ForkServerGone: the forking process has ended.
        """
        order = json.dumps({"arguments": list(arguments), "environment": dict(environment)})
        with contextlib.suppress(OSError):  # reading sets the status
            self._channel.sendall(order.encode() + b"\n")
        while not self._started:
            if self.is_gone:
                raise ForkServerGone
            self._read(None)
        return ForkedProcess(self, self._started.pop(0))

    def process_reports(self) -> None:
        """Process all pending reports, without waiting."""
        while not self.is_gone and self._read(0):
            continue

    def status_of(self, pid: int, seconds: float) -> int | None:
        """Return how a process ended, as `Popen.returncode` does; None if it has not within so many seconds."""
        deadline = time.monotonic() + seconds
        while pid not in self._statuses and not self.is_gone and self._read(max(0.0, deadline - time.monotonic())):
            continue
        if self.is_gone and pid not in self._statuses:
            while _is_running(pid):
                if time.monotonic() >= deadline:
                    return None
                time.sleep(process.POLL_SECONDS)
            self._statuses[pid] = -signal.SIGTERM
        return self._statuses.get(pid)

    def close(self) -> None:
        """End the forking process, and with it the forked processes that still run."""
        self._channel.close()
        self.is_gone = True
        self._process.terminate()
        self._process.wait()

    def _read(self, seconds: float | None) -> bool:
        """Read reports for at most so many seconds; return whether there were any."""
        if not select.select([self._channel], [], [], seconds)[0]:
            return False
        try:
            block = self._channel.recv(_BLOCK)
        except ConnectionResetError:
            block = b""
        if not block:
            self.is_gone = True
            return True
        *lines, self._unread = (self._unread + block).split(b"\n")
        for line in lines:
            report = json.loads(line)
            if "status" in report:
                self._statuses[report["pid"]] = report["status"]
            else:
                self._started.append(report["pid"])
        return True


class ForkedProcess:
    """A forked process, with the part of `subprocess.Popen` that a supervisor needs."""

    def __init__(self, server: ForkServer, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._server = server

    def poll(self) -> int | None:
        """Return its exit status; None while it runs."""
        if self.returncode is None:
            self.returncode = self._server.status_of(self.pid, 0)
        return self.returncode

    def terminate(self) -> None:
        """Ask it to end."""
        if self.poll() is None:
            process.signal_pid(self.pid, signal.SIGTERM)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended and return its exit status.

        Raises:
            subprocess.TimeoutExpired: it has not in time.
        """
        while self.returncode is None:
            self.returncode = self._server.status_of(self.pid, 1.0 if timeout is None else timeout)
            if self.returncode is None and timeout is not None:
                raise subprocess.TimeoutExpired("forked", timeout)
        return self.returncode


def _is_running(pid: int) -> bool:
    """Return whether a process exists and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in {b"Z", b"X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def fork_when_asked(channel: socket.socket) -> list[str]:
    """Fork a process for each order and report to the owner when one ends; end with the owner.

    It returns in each forked process with that process's arguments. Such a process has its own session and environment.
    """
    assert threading.active_count() == 1, "a fork takes over no thread but its own"
    ours = os.getpid()
    woken, waking = os.pipe()
    for end in (woken, waking):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    orders = b""
    while True:
        select.select([channel.fileno(), woken], [], [])
        with contextlib.suppress(BlockingIOError):
            os.read(woken, _BLOCK)
        _report_ends(channel)
        try:
            block = channel.recv(_BLOCK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            continue
        if not block:
            _end()
        *lines, orders = (orders + block).split(b"\n")
        for line in lines:
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for descriptor in (woken, waking):
                    os.close(descriptor)
                channel.close()
                return _begin(json.loads(line), ours)
            _report(channel, {"pid": pid})


def _begin(order: Mapping[str, Any], parent: int) -> list[str]:
    """Set up the process of an order."""
    os.setsid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        _end()
    os.environ.clear()
    os.environ.update(order["environment"])
    return list(order["arguments"])


def _report_ends(channel: socket.socket) -> None:
    """Report every process that has ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _report(channel, {"pid": pid, "status": os.waitstatus_to_exitcode(status)})


def _report(channel: socket.socket, what: Mapping[str, int]) -> None:
    try:
        channel.sendall(json.dumps(what).encode() + b"\n")
    except OSError:
        _end()


def _end() -> NoReturn:
    """End silently: the owner has ended."""
    sys.exit(0)
