"""SMTP into a Maildir: aiosmtpd, so that every e-mail of development can be read as a file."""

import socket
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from carteira.embedded import process
from carteira.embedded.errors import BinaryMissing
from carteira.embedded.home import HOST
from carteira.embedded.server import Server

_PROBE_TIMEOUT_SECONDS = 1.0
_GREETING = b"220 "


class MailServer(Server):
    """aiosmtpd on loopback; it delivers nothing and stores every e-mail."""

    name: ClassVar[str] = "mail"
    title: ClassVar[str] = "SMTP (aiosmtpd)"

    @property
    def url(self) -> str:
        """The address that accepts e-mails."""
        return f"smtp://{HOST}:{self.port}"

    @property
    def maildir(self) -> Path:
        """The folder that receives the e-mails (in `new/`)."""
        return self._home.folder / "mail" / "Maildir"

    @property
    def proof(self) -> str:
        """The Maildir."""
        return str(self.maildir)

    def prepare(self) -> None:
        """Make the folder; the server makes the Maildir itself."""
        self._home.subfolder("mail")

    def launch(self, port: int) -> subprocess.Popen[bytes]:
        """Spawn with the Maildir as mailbox."""
        if find_spec("aiosmtpd") is None:
            raise BinaryMissing("aiosmtpd")
        return process.spawn(
            [
                *(sys.executable, "-m", "aiosmtpd", "-n", "-l", f"{HOST}:{port}"),
                *("-c", "carteira.embedded.readable_mailbox.ReadableMailbox", str(self.maildir)),
            ],
            cwd=self.maildir.parent,
            env=process.server_environment(),
            log=self.log,
        )

    def probe(self, port: int) -> str | None:
        """Wait for the greeting."""
        try:
            with socket.create_connection((HOST, port), _PROBE_TIMEOUT_SECONDS) as client:
                greeting = client.recv(512)
                client.sendall(b"QUIT\r\n")
        except OSError:
            return None
        return metadata.version("aiosmtpd") if greeting.startswith(_GREETING) else None
