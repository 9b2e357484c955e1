"""The life of one embedded server: the part common to PostgreSQL, Valkey and roto-aws."""

import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from carteira.embedded import process
from carteira.embedded.errors import ServerFailed
from carteira.embedded.home import HOST, Home, port_is_free

_ATTEMPTS = 3
_LOG_TAIL_LINES = 8


@dataclass(frozen=True)
class ServerReady:
    """A server that answers; its text is the line to show.

    Attributes:
        name: ``postgres``, ``redis`` or ``aws``.
        title: The program's name.
        version: The program's version.
        host: Always the loopback address.
        port: Its TCP port.
        seconds: From the request to start until the first answer.
    """

    name: str
    title: str
    version: str
    host: str
    port: int
    seconds: float

    def __str__(self) -> str:
        seconds = f"{self.seconds:.1f}".replace(".", ",")
        return f"{self.title} {self.version} pronto em {self.host}:{self.port} ({seconds} s)"


class Server(ABC):
    """One server process on loopback.

    ``start``, ``stop`` and ``kill`` may be called from any thread, but not concurrently.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    # The signals that stop the process, each with the seconds to wait for its effect.
    stop_steps: ClassVar[Sequence[tuple[signal.Signals, float]]] = ((signal.SIGTERM, 10), (signal.SIGKILL, 5))
    start_timeout_seconds: ClassVar[float] = 60

    def __init__(self, home: Home) -> None:
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self._abandoned = False
        self._port: int | None = None

    @property
    def port(self) -> int:
        """The port, the same for as long as this object lives. Known once started."""
        assert self._port is not None
        return self._port

    @property
    def pid(self) -> int | None:
        """The server's process id while it is alive."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def died(self) -> bool:
        """Whether it was started, was not stopped by us, and is dead."""
        return self._process is not None and self._process.poll() is not None

    @property
    def log(self) -> Path:
        """Its log file."""
        return self._home.folder / "logs" / f"{self.name}.log"

    def start(self) -> ServerReady:
        """Start and wait until it answers its protocol.

        Raises:
            ServerFailed: It ended or did not answer in time; the text holds the end of its log.
            BinaryMissing: Its wheel is not installed.
        """
        started = time.monotonic()
        self._abandoned = False
        if self.pid is not None:
            return self._ready(self._await_answer(), started)
        self._home.log_path(self.name)
        self._end_leftover()
        self.prepare()
        for attempt in range(1, _ATTEMPTS + 1):
            port = self._port or self._home.choose_port(self.name)
            log_start = self.log.stat().st_size if self.log.exists() else 0
            self._process = self.launch(port)
            self._home.remember(**{f"{self.name}_port": port, f"{self.name}_pid": self._process.pid})
            try:
                version = self._await_answer(port, log_start)
            except ServerFailed:
                self.kill()
                lost_the_port = self._port is None and not port_is_free(port)
                if lost_the_port and attempt < _ATTEMPTS and not self._abandoned:
                    continue
                raise
            self._port = port
            return self._ready(version, started)
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    def _ready(self, version: str, started: float) -> ServerReady:
        return ServerReady(self.name, self.title, version, HOST, self.port, time.monotonic() - started)

    def abort_start(self) -> None:
        """Make a ``start`` in another thread fail soon; safe in a signal handler."""
        self._abandoned = True

    def request_stop(self) -> None:
        """Ask the server to stop and return at once; ``stop`` waits for it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self.stop_signal)

    def stop(self) -> None:
        """Stop cleanly and wait; harmless when it is not running.

        Raises:
            ServerFailed: Not even SIGKILL ended it.
        """
        if self._process is None:
            return
        for number, seconds in self.stop_steps:
            if self._process.poll() is None:
                self._process.send_signal(number)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
            self._process = None
            return
        raise ServerFailed(self.title, "o processo não terminou", self.log)

    def kill(self) -> None:
        """Kill it as a crash would (SIGKILL), for tests of faults; ``start`` recovers it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @abstractmethod
    def prepare(self) -> None:
        """Make what must exist before the first launch."""

    @abstractmethod
    def launch(self, port: int) -> subprocess.Popen[bytes]:
        """Spawn the process."""

    @abstractmethod
    def probe(self, port: int) -> str | None:
        """Return the server's version, asked by its protocol; None while it is not ready."""

    @property
    @abstractmethod
    def proof(self) -> str:
        """The argument on its command line that only a process on our data has."""

    def _end_leftover(self) -> None:
        pid = self._home.recall(f"{self.name}_pid")
        if pid and not process.end_leftover(int(pid), self.proof, self.stop_steps):
            raise ServerFailed(self.title, f"o processo {pid}, de uma execução anterior, não termina", self.log)

    def _await_answer(self, port: int | None = None, log_start: int = 0) -> str:
        assert self._process is not None
        deadline = time.monotonic() + self.start_timeout_seconds
        while time.monotonic() < deadline:
            if self._abandoned:
                raise ServerFailed(self.title, "a partida foi interrompida", self.log)
            version = self.probe(port or self.port)
            if self._process.poll() is not None:
                reason = f"terminou ao iniciar, com o código {self._process.returncode}"
                raise ServerFailed(self.title, reason, self.log, self._log_tail(log_start))
            if version is not None:
                return version
            time.sleep(process.POLL_SECONDS)
        reason = f"não respondeu em {self.start_timeout_seconds:.0f} s"
        raise ServerFailed(self.title, reason, self.log, self._log_tail(log_start))

    def _log_tail(self, log_start: int) -> str:
        with self.log.open("rb") as file:
            file.seek(log_start)
            lines = file.read().decode("utf-8", "replace").splitlines()
        return "\n".join(lines[-_LOG_TAIL_LINES:])
