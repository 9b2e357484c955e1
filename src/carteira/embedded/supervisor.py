"""Keeps application processes and embedded servers alive until asked to stop."""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal, Protocol

from carteira.embedded import process
from carteira.embedded.errors import EmbeddedError
from carteira.embedded.forks import ForkServer, ForkServerGone
from carteira.embedded.servers import EmbeddedServers

_LOOK_SECONDS = 0.1
"""Seconds between two checks for dead processes."""
_IDLE_LOOK_SECONDS = 5.0
"""The same while all is well: a process that ends wakes the supervisor."""
_FIRST_BACKOFF_SECONDS = 0.25
_LAST_BACKOFF_SECONDS = 30.0
# A child that lived this long starts with the shortest backoff again.
_HEALTHY_SECONDS = 60.0
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_WAKE_BYTES = 4_096

EventKind = Literal["started", "crashed", "restarted", "failed", "stopping", "killed", "stopped"]


@dataclass(frozen=True)
class AppProcess:
    """A process of the application.

    Attributes:
        name: Its name in events.
        argv: Its command; the first element is an absolute path.
        env: Its whole environment; None: this process's.
        cwd: Its working folder; None: this process's.
        forked: The arguments with which a fork server starts it; None: it is never forked.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    forked: Sequence[str] | None = None


@dataclass(frozen=True)
class SupervisorEvent:
    """An event to report to the operator.

    Attributes:
        kind: What happened. ``failed`` is a server that could not be restarted yet; it will be tried again.
        name: The application process or server.
        detail: Further details, in Portuguese.
    """

    kind: EventKind
    name: str
    detail: str = ""


class _Backoff:
    """The waits before restarts of a process that keeps dying."""

    def __init__(self) -> None:
        self._seconds = _FIRST_BACKOFF_SECONDS
        self._started = time.monotonic()
        self._due: float | None = None

    def started(self) -> None:
        self._started, self._due = time.monotonic(), None

    def is_due(self) -> bool:
        """Called while it is dead: False until the wait is over. The first call after a death sets the wait."""
        now = time.monotonic()
        if self._due is None:
            if now - self._started > _HEALTHY_SECONDS:
                self._seconds = _FIRST_BACKOFF_SECONDS
            self._due = now + self._seconds
            self._seconds = min(self._seconds * 2, _LAST_BACKOFF_SECONDS)
        return now >= self._due

    def failed(self) -> None:
        self._due = None


class _Handle(Protocol):
    """The handle of a process: a `Popen`, or a `ForkedProcess`."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def terminate(self) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...


class _Child:
    """An application process and its history."""

    def __init__(self, app: AppProcess) -> None:
        self.app = app
        self.backoff = _Backoff()
        self.handle: _Handle | None = None

    def start(self, forks: ForkServer | None) -> None:
        self.handle = (forks and self._forked(forks)) or process.spawn(
            self.app.argv, env=self.app.env, cwd=self.app.cwd
        )
        self.backoff.started()

    def _forked(self, forks: ForkServer) -> _Handle | None:
        if self.app.forked is None:
            return None
        try:
            return forks.start(self.app.forked, os.environ if self.app.env is None else self.app.env)
        except ForkServerGone:
            return None

    @property
    def is_down(self) -> bool:
        return self.handle is not None and self.handle.poll() is not None

    def end_group(self) -> None:
        """End the rest of its session: the child itself, or workers that a crashed child left behind."""
        if self.handle is not None:
            try:
                os.killpg(self.handle.pid, signal.SIGKILL)
            except ProcessLookupError:
                return


class Supervisor:
    """Runs application processes until SIGINT or SIGTERM, and restarts what crashes.

    Args:
        apps: Started in this order, stopped in the opposite one.
        servers: Embedded servers, already started; watched, restarted, and stopped after the last application.
        grace_seconds: How long each application may take to stop before SIGKILL.
        on_event: Called with each event, in the caller's thread.
        forks: Starts the applications that can be forked, as long as it lives; the caller closes it.
    """

    def __init__(
        self,
        apps: Sequence[AppProcess],
        servers: EmbeddedServers | None = None,
        *,
        grace_seconds: float = 15,
        on_event: Callable[[SupervisorEvent], None] | None = None,
        forks: ForkServer | None = None,
    ) -> None:
        self._children = [_Child(app) for app in apps]
        self._servers = servers
        self._server_backoffs: dict[str, _Backoff] = {}
        self._grace_seconds = grace_seconds
        self._on_event = on_event
        self._forks = forks
        self._stopping = False
        self._wake_reader, self._wake_writer = -1, -1

    def run(self) -> None:
        """Block until SIGINT or SIGTERM (or ``request_stop``), then stop everything in order.

        Must be called in the main thread, where Python handles signals; the former handlers are restored at the end.

        Raises:
            ServerFailed: An embedded server does not end, not even by SIGKILL.
        """
        self._wake_reader, self._wake_writer = os.pipe()
        for end in (self._wake_reader, self._wake_writer):
            os.set_blocking(end, False)
        former = {number: signal.signal(number, self._handle_signal) for number in _STOP_SIGNALS}
        former[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda _number, _frame: self._wake())
        try:
            for child in self._children:
                child.start(self._forks)
                self._emit("started", child.app.name)
            while not self._stopping:
                self._check_servers()
                self._check_children()
                self._wait()
        finally:
            try:
                self._stop_all()
            finally:
                for number, handler in former.items():
                    signal.signal(number, handler)
                os.close(self._wake_reader)
                os.close(self._wake_writer)

    def request_stop(self) -> None:
        """Make ``run`` stop everything and return; safe in a signal handler, and from any thread while it runs."""
        self._stopping = True
        if self._servers is not None:
            self._servers.abort_start()
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # the pipe is full of wake-ups already
            os.write(self._wake_writer, b"!")

    def _wait(self) -> None:
        """Wait until a process ends, a stop is requested, or a restart is due."""
        is_down = any(child.is_down for child in self._children) or bool(self._servers and self._servers.watch())
        wakers = [self._wake_reader, *([self._forks.fileno()] if self._forks and not self._forks.is_gone else [])]
        select.select(wakers, [], [], _LOOK_SECONDS if is_down else _IDLE_LOOK_SECONDS)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_reader, _WAKE_BYTES)
        if self._forks is not None:
            self._forks.process_reports()

    def _handle_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.request_stop()

    def _check_children(self) -> None:
        for child in self._children:
            status = None if child.handle is None else child.handle.poll()
            if self._stopping or status is None:
                continue
            if not child.backoff.is_due():
                continue
            self._emit("crashed", child.app.name, _describe(status))
            child.end_group()
            child.start(self._forks)
            self._emit("restarted", child.app.name)

    def _check_servers(self) -> None:
        for name in self._servers.watch() if self._servers else []:
            assert self._servers is not None
            backoff = self._server_backoffs.setdefault(name, _Backoff())
            if self._stopping or not backoff.is_due():
                continue
            self._emit("crashed", name)
            try:
                ready = self._servers.restart(name)
            except EmbeddedError as error:
                backoff.failed()
                self._emit("failed", name, str(error))
            else:
                backoff.started()
                self._emit("restarted", name, str(ready))

    def _stop_all(self) -> None:
        for child in reversed(self._children):
            self._stop_child(child)
        if self._servers is not None:
            self._servers.stop()

    def _stop_child(self, child: _Child) -> None:
        if child.handle is None:
            return
        self._emit("stopping", child.app.name)
        if child.handle.poll() is None:
            child.handle.terminate()
        try:
            child.handle.wait(self._grace_seconds)
            kind: EventKind = "stopped"
        except subprocess.TimeoutExpired:
            kind = "killed"
        child.end_group()
        child.handle.wait()
        self._emit(kind, child.app.name)

    def _emit(self, kind: EventKind, name: str, detail: str = "") -> None:
        if self._on_event:
            self._on_event(SupervisorEvent(kind, name, detail))


def _describe(status: int) -> str:
    return f"código {status}" if status >= 0 else f"sinal {signal.Signals(-status).name}"
