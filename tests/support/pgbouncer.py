"""Debian's PgBouncer in front of a PostgreSQL server; tests that need it are skipped where it is not installed."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

import psycopg
import pytest

from carteira.embedded import free_port
from carteira.kit.db.address import DatabaseAddress
from tests.support.waiting import wait_until

PATH = "/usr/sbin:/usr/bin:/bin"
"""Debian installs it outside of an ordinary user's `PATH`."""
CONFIGURATION = """
[databases]
* = host={server.name} port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
{settings}
"""


@dataclass(frozen=True)
class Bouncer:
    """A running PgBouncer."""

    port: int
    behind: DatabaseAddress

    def url(self, host: str = "localhost", **options: object) -> str:
        """Return the database's address through the bouncer."""
        query = "&".join(f"{name}={quote(str(value))}" for name, value in options.items())
        user = f"{self.behind.user}:{self.behind.options['password']}"
        return f"postgresql://{user}@{host}:{self.port}/{self.behind.database}?{query}".rstrip("?")


@contextmanager
def running_pgbouncer(
    url: str, settings: Mapping[str, object] = MappingProxyType({}), *, files: tuple[Path, ...] = ()
) -> Iterator[Bouncer]:
    """Run a PgBouncer with these settings in front of the server of an address; it may read the files given.

    Settings name a file by its name alone, after `{folder}/`.
    """
    program = shutil.which("pgbouncer", path=PATH)
    if program is None:
        pytest.skip("NO PGBOUNCER: nothing was proven behind it (`make proxies`)")
    behind, port = DatabaseAddress.parse(url), free_port()
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    for file in files:
        shutil.copy(file, folder / file.name)
    written = "\n".join(f"{name} = {value}" for name, value in settings.items()).format(folder=folder)
    (folder / "users").write_text(f'"{behind.user}" "{behind.options["password"]}"\n')
    (folder / "configuration").write_text(
        CONFIGURATION.format(server=behind.hosts[0], port=port, folder=folder, settings=written)
    )
    as_nobody = ["--user", "nobody"] if os.geteuid() == 0 else []  # it refuses to run as root
    if as_nobody:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, "nobody")
    process = subprocess.Popen(
        [program, "--quiet", *as_nobody, str(folder / "configuration")], stderr=subprocess.DEVNULL
    )
    try:
        bouncer = Bouncer(port, behind)
        wait_until(lambda: _answers(bouncer) or process.poll() is not None, "PgBouncer answers")
        assert process.poll() is None, (folder / "pgbouncer.log").read_text()
        yield bouncer
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def _answers(bouncer: Bouncer) -> bool:
    try:
        psycopg.connect(bouncer.url("127.0.0.1")).close()
    except psycopg.OperationalError as error:
        return "refused" not in str(error)
    return True
