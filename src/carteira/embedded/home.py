"""The home folder: its lock, the generated passwords, and the values remembered between runs."""

import fcntl
import json
import os
import secrets
import socket
import threading
from pathlib import Path

from carteira.embedded.errors import EmbeddedError, HomeInUse
from carteira.kit.ops.private_files import replace_private_file

HOST = "127.0.0.1"

_LOG_LIMIT_BYTES = 16 * 1024 * 1024
# Below Linux's range for outgoing connections, so that a remembered port is rarely taken. A client that calls a port of
# that range again and again while nobody listens there may be given the same port, and then is connected to itself.
_FIRST_PORT, _LAST_PORT = 15_000, 32_000


class Home:
    """A folder with all data of the embedded servers.

    Args:
        folder: Made when missing, open to its owner only.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().absolute()
        self._lock_file: int | None = None
        self._state_guard = threading.Lock()

    def acquire(self) -> None:
        """Become the one owner of the folder until ``release`` or this process's end.

        Raises:
            HomeInUse: Another living process (or another object of ours) owns it.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = self.folder.resolve()
        lock_file = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(lock_file, 32).decode("ascii", "replace").strip()
            os.close(lock_file)
            raise HomeInUse(self.folder, int(text) if text.isdigit() else None) from None
        os.ftruncate(lock_file, 0)
        os.write(lock_file, f"{os.getpid()}\n".encode("ascii"))
        self._lock_file = lock_file

    def release(self) -> None:
        """Release the folder; harmless if it is not held."""
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def subfolder(self, name: str) -> Path:
        """A folder in the home, open to its owner only."""
        folder = self.folder / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def log_path(self, name: str) -> Path:
        """The server's log file; a long one is renamed first (one generation is kept)."""
        path = self.subfolder("logs") / f"{name}.log"
        if path.exists() and path.stat().st_size > _LOG_LIMIT_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path

    def password(self, name: str) -> str:
        """The password called ``name``, made on first use and kept in ``credentials.json`` (0600)."""
        with self._state_guard:
            passwords = _read_json(self.folder / "credentials.json")
            if name not in passwords:
                passwords[name] = secrets.token_urlsafe(24)
                replace_private_file(self.folder / "credentials.json", json.dumps(passwords, indent=2).encode())
            return str(passwords[name])

    def recall(self, key: str) -> str | None:
        """The value that a former run remembered under ``key``."""
        with self._state_guard:
            value = _read_json(self.folder / "state.json").get(key)
            return None if value is None else str(value)

    def remember(self, **values: str | int) -> None:
        """Keep values for later runs, in ``state.json``."""
        with self._state_guard:
            state = _read_json(self.folder / "state.json") | values
            replace_private_file(self.folder / "state.json", json.dumps(state, indent=2).encode())

    def choose_port(self, name: str) -> int:
        """The port remembered for a server while it is free, otherwise another free one."""
        remembered = self.recall(f"{name}_port")
        if remembered and port_is_free(int(remembered)):
            return int(remembered)
        return free_port()


def free_port() -> int:
    """Return a loopback port on which a server could listen now, outside of Linux's range for outgoing connections."""
    while True:
        port = _FIRST_PORT + secrets.randbelow(_LAST_PORT - _FIRST_PORT)
        if port_is_free(port):
            return port


def port_is_free(port: int) -> bool:
    """Return whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _read_json(path: Path) -> dict[str, str | int]:
    try:
        content: dict[str, str | int] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise EmbeddedError(f"{path} não é um JSON: traga-o de volta da cópia de segurança.") from error
    if not isinstance(content, dict):
        raise EmbeddedError(f"{path} não é um objeto JSON: traga-o de volta da cópia de segurança.")
    return content
