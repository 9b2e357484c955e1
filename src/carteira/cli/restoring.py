"""A whole installation from a backup, on local servers in a folder of its own (`carteira restore home`, drills).

It is a file of its own because it runs the embedded servers, which only the command line may.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import psycopg
from psycopg import sql
from pydantic import SecretStr

from carteira import schema
from carteira.backup import restoring
from carteira.backup.config import BackupConfig
from carteira.backup.errors import BackupFailed
from carteira.backup.place import Manifest
from carteira.backup.programs import Programs
from carteira.backup.restoring import LOG_FOLDER, Log
from carteira.embedded import EmbeddedServers, process
from carteira.embedded.home import HOST, Home
from carteira.embedded.postgres import BACKUP, DATABASE, OWNER, SERVICE, SUPERUSER, PostgresServer
from carteira.kit.db.address import DatabaseAddress
from carteira.kit.ops.progress import Progress
from carteira.kit.security.age import PrivateKey
from carteira.settings import Settings

DRILL = "carteira-drill-"
_NEW_SECONDS = 60
"""The seconds in which a drill has surely taken the lock of its new folder."""
RECOVERY_SECONDS = 6 * 3600
_POLL_SECONDS = 0.1
_FLOORS = {
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_xacts",
    "max_locks_per_xact",
}
"""As `pg_controldata` calls them."""
_CALLED = {"max_prepared_xacts": "max_prepared_transactions", "max_locks_per_xact": "max_locks_per_transaction"}
_CONFIGURATION = {
    "postgresql.conf": "# carteira run says its settings as it starts PostgreSQL.\n",
    "postgresql.auto.conf": "",
    "pg_hba.conf": "".join(f"host {database} all {HOST}/32 scram-sha-256\n" for database in ("all", "replication")),
    "pg_ident.conf": "",
}
ProgressOf = Callable[[str], Progress]


def restore_home(  # noqa: PLR0913 - a backup, its key, the target folder and options
    config: BackupConfig,
    manifest: Manifest,
    key: PrivateKey,
    folder: Path,
    log: Log,
    *,
    until: datetime | None,
    logical: bool,
    progress_of: ProgressOf,
) -> None:
    """Restore PostgreSQL into a home folder with passwords of its own; its servers are stopped before and after.

    Raises:
        BackupFailed: the folder is somebody's home, or PostgreSQL does not recover.
        BackupDamaged: as `restoring.lay_down`.
    """
    if logical:
        _load_dump(config, manifest, key, folder, progress_of)
        return
    home = Home(folder)
    home.acquire()
    try:
        server = PostgresServer(home, {})
        _require_version(manifest, server)
        programs = Programs(DatabaseAddress.parse("postgresql://localhost/none"), server.placement.programs)
        data, laid = server.placement.data, folder / "restored"
        if not laid.exists():
            restoring.lay_down(
                config,
                manifest,
                key,
                data,
                log,
                until=until,
                programs=programs,
                base_progress=progress_of("base.tar"),
                log_progress=progress_of("log"),
            )
            _configure(data, until)
            laid.write_text(manifest.id)
        if (data / LOG_FOLDER).exists():  # it is removed last, once all of it is replayed
            _recover(home, server, manifest)
    finally:
        home.release()


def _configure(data: Path, until: datetime | None) -> None:
    """Write a home's configuration into a data folder, whose own was another machine's or lies outside of it."""
    for name, text in _CONFIGURATION.items():
        (data / name).write_text(text, encoding="utf-8")
    restoring.say_how(data, until)


def _require_version(manifest: Manifest, server: PostgresServer) -> None:
    said = subprocess.run(  # noqa: S603 - our own arguments
        [str(server.placement.programs / "postgres"), "--version"], capture_output=True, text=True, check=True
    ).stdout.split()[-1]
    if said.partition(".")[0] != manifest.postgresql.partition(".")[0]:
        raise BackupFailed(
            f"o backup é do PostgreSQL {manifest.postgresql}, e o desta máquina é o {said}: use --form logical"
        )


def _recover(home: Home, server: PostgresServer, manifest: Manifest) -> None:
    """Replay the log behind a socket that only we reach, then set the home's passwords and names."""
    place = server.placement
    place.own(place.data)
    folder = Path(tempfile.mkdtemp(prefix="carteira-restore-"))
    try:
        access = folder / "pg_hba.conf"
        access.write_text("local all all trust\n")
        place.own(folder)
        place.own(access)
        settings = {
            "hba_file": str(access),
            "unix_socket_directories": str(folder),
            "listen_addresses": "",
            **_floors(place.programs, place.data),
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log = home.log_path("recovery")
        running = process.spawn(
            [str(place.programs / "postgres"), "-D", str(place.data), *arguments],
            death_signal=server.stop_signal,
            run_as=place.run_as,
            cwd=place.data,
            env=process.server_environment(),
            log=log,
        )
        try:
            with _recovered(folder, running, log) as connection:
                _settle(connection, folder, home, manifest)
        finally:
            running.send_signal(server.stop_signal)
            running.wait()
    finally:
        shutil.rmtree(folder)
    shutil.rmtree(place.data / LOG_FOLDER)


def _floors(programs: Path, data: Path) -> dict[str, str]:
    """Return the settings that a recovery requires at least as high as on the server that was backed up."""
    output = subprocess.run(  # noqa: S603 - our own arguments
        [str(programs / "pg_controldata"), str(data)],
        capture_output=True,
        text=True,
        check=True,
        env=process.server_environment(),
    ).stdout
    lines = (line.partition(" setting:") for line in output.splitlines())
    return {_CALLED.get(name, name): value.strip() for name, mark, value in lines if mark and name in _FLOORS}


@contextmanager
def _recovered(folder: Path, running: "subprocess.Popen[bytes]", log: Path) -> Iterator[psycopg.Connection]:
    """Wait until the log is replayed and PostgreSQL takes writes.

    Raises:
        BackupFailed: it ends before that; the text is the end of its log.
    """
    deadline = time.monotonic() + RECOVERY_SECONDS
    while time.monotonic() < deadline:
        if running.poll() is not None:
            break
        try:
            with psycopg.connect(host=str(folder), user=SUPERUSER, dbname="postgres", autocommit=True) as connection:
                row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
                if row == (False,):
                    yield connection
                    return
        except psycopg.OperationalError:
            pass  # it starts
        time.sleep(_POLL_SECONDS)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
    raise BackupFailed(f"o PostgreSQL não se recuperou:\n{tail}")


def _settle(connection: psycopg.Connection, folder: Path, home: Home, manifest: Manifest) -> None:
    """Set a home's names and passwords in the cluster, and remove the recovery's settings."""
    for setting in ("restore_command", "recovery_target_timeline", "recovery_target_time", "recovery_target_action"):
        connection.execute(sql.SQL("ALTER SYSTEM RESET {}").format(sql.Identifier(setting)))
    for name in (SUPERUSER, OWNER, SERVICE, BACKUP):
        role, password = sql.Identifier(name), sql.Literal(home.password(name))
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (name,)).fetchone() is None:
            connection.execute(sql.SQL("CREATE ROLE {}").format(role))
        connection.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(role, password))
    database = sql.Identifier(manifest.database)
    if manifest.owner != OWNER:
        with psycopg.connect(host=str(folder), user=SUPERUSER, dbname=manifest.database, autocommit=True) as inside:
            inside.execute(
                sql.SQL("REASSIGN OWNED BY {} TO {}").format(sql.Identifier(manifest.owner), sql.Identifier(OWNER))
            )
    if manifest.database != DATABASE:
        connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(database, sql.Identifier(DATABASE)))


def _load_dump(
    config: BackupConfig, manifest: Manifest, key: PrivateKey, folder: Path, progress_of: ProgressOf
) -> None:
    with EmbeddedServers(folder, redis=False, aws=False) as servers:
        address = DatabaseAddress.parse(servers.endpoints.superuser_url.rpartition("/")[0] + f"/{DATABASE}")
        with psycopg.connect(address.conninfo, autocommit=True) as connection:
            if connection.execute("SELECT FROM pg_class WHERE relname = 'alembic_version'").fetchone() is not None:
                raise BackupFailed(f"{folder} não está vazia: uma restauração só vai para uma pasta vazia")
            if manifest.owner != OWNER:
                connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(manifest.owner)))
        restoring.load_dump(config, manifest, key, Programs(address), progress_of("dump"))
        if manifest.owner != OWNER:
            with psycopg.connect(address.conninfo, autocommit=True) as connection:
                connection.execute(
                    sql.SQL("REASSIGN OWNED BY {} TO {}").format(sql.Identifier(manifest.owner), sql.Identifier(OWNER))
                )


@contextmanager
def running_home(settings: Settings, folder: Path) -> Iterator[Settings]:
    """Run the servers of a restored home, migrated to this release; yield the settings that name them."""
    with EmbeddedServers(folder) as servers:
        ends = servers.endpoints
        schema.migrate(ends.owner_url)
        schema.grant(ends.owner_url, SERVICE)
        yield settings.model_copy(
            update={
                "carteira_home": folder,
                "database_url": SecretStr(ends.database_url),
                "migration_database_url": SecretStr(ends.owner_url),
                "redis_url": SecretStr(ends.redis_url),
                "aws_endpoint_url": ends.aws_endpoint_url,
                "documents_url": (folder / "documents").as_uri(),
                "erasure_journal_url": None,  # they are logged elsewhere
            }
        )


def remove_home(folder: Path) -> None:
    """Remove a home, including PostgreSQL's data elsewhere."""
    data = Home(folder).recall("postgres_data")
    if data is not None:
        shutil.rmtree(Path(data).parent, ignore_errors=True)
    shutil.rmtree(folder)


@contextmanager
def drill_home(parent: Path | None) -> Iterator[Path]:
    """Yield a new folder for a drill, removed at its end, also at SIGTERM and SIGHUP: it holds everybody's data.

    Folders that killed drills left beside it are removed first; a living one holds its folder's lock.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in parent.glob(f"{DRILL}*"):
        if left.is_dir() and not left.is_symlink() and left.stat().st_uid == os.getuid():
            with _held(left) as is_free:
                if is_free and time.time() - left.stat().st_mtime > _NEW_SECONDS:
                    remove_home(left)
    folder = Path(tempfile.mkdtemp(prefix=DRILL, dir=parent))
    with _held(folder):
        try:
            yield folder
        finally:
            remove_home(folder)


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Hold a folder's lock, if it is free; yield whether it is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def is_home(folder: Path) -> bool:
    """Return whether a folder contains anything but keys."""
    return folder.exists() and any(path.name not in {"keys", "lock"} for path in folder.iterdir())
