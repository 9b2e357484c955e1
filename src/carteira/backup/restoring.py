"""Restores PostgreSQL from a backup: a data folder that recovers to a point in time, or an empty database."""

import io
import os
import re
import shutil
import stat
import tarfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import IO

from carteira.backup import place
from carteira.backup.config import BackupConfig
from carteira.backup.errors import BackupDamaged, BackupFailed
from carteira.backup.making import BASE, DUMP
from carteira.backup.place import Manifest, Part, PieceReader
from carteira.backup.programs import Programs
from carteira.kit.ops.progress import Progress, no_progress
from carteira.kit.outbound.objects import ObjectEntry, ObjectStore
from carteira.kit.security.age import CannotOpen, PrivateKey

LOG_FOLDER = "restore_wal"
"""The folder of the log to replay, within the data folder."""


@dataclass(frozen=True)
class Log:
    """The log that follows a backup."""

    names: list[str]
    """Its files in the place, without a gap."""
    last: str | None
    last_at: datetime | None
    gap: bool
    """Whether there is more after a missing segment."""


async def log_of(store: ObjectStore, manifest: Manifest) -> Log:
    """Return the log that follows a backup without a gap, across timelines."""
    there = await place.segments(store, manifest.system_id)
    histories = [name for name in there if name.endswith(".history")]
    if manifest.first_wal is None:
        return Log([], None, None, gap=False)
    whole = {name for name in there if re.fullmatch("[0-9A-F]{24}", name)}
    partial = {name.removesuffix(".partial") for name in there if name.endswith(".partial")}
    found: list[str] = []
    for name in _continued(whole | partial, manifest.segment_bytes):
        if name < manifest.first_wal:
            continue
        if found and not _follows(found[-1], name, manifest.segment_bytes):
            return _log(found, partial - whole, histories, there, gap=True)
        found.append(name)
    return _log(
        found,
        partial - whole,
        histories,
        there,
        gap=bool(found) and found[0] > (manifest.last_wal or manifest.first_wal),
    )


def _log(found: list[str], partial: set[str], histories: list[str], there: dict[str, ObjectEntry], *, gap: bool) -> Log:
    names = [f"{name}.partial" if name in partial else name for name in found]
    last = names[-1] if names else None
    return Log([*histories, *names], last, there[last].modified_at if last else None, gap)


def _continued(names: set[str], segment_bytes: int) -> list[str]:
    """Return the segments that the newest timeline continues, in order.

    A dead leader may have sent more than its successor had: segments past the next timeline's first one are in no
    history.
    """
    kept: list[str] = []
    last: int | None = None
    for _, segments in groupby(sorted(names, reverse=True), lambda name: name[:8]):
        kept += [name for name in segments if last is None or place.number(name, segment_bytes) <= last]
        last = place.number(kept[-1], segment_bytes)
    return sorted(kept)


def _follows(former: str, name: str, segment_bytes: int) -> bool:
    """Return whether a segment is the next one, on the same timeline or where another begins."""
    a, b = place.number(former, segment_bytes), place.number(name, segment_bytes)
    return b == a + 1 if former[:8] == name[:8] else b in {a, a + 1}


def lay_down(  # noqa: PLR0913 - a backup, its key, the target folder and options
    config: BackupConfig,
    manifest: Manifest,
    key: PrivateKey,
    folder: Path,
    log: Log,
    *,
    until: datetime | None = None,
    programs: Programs,
    base_progress: Progress = no_progress,
    log_progress: Progress = no_progress,
) -> None:
    """Make a data folder that, once PostgreSQL starts on it, recovers to the end of the log or to an instant.

    After an interruption it continues with the log, or restarts the base backup. Blocking, for use in a thread.

    Raises:
        BackupFailed: the folder is somebody's data, or the backup has no physical part.
        BackupDamaged: a part is missing, was changed, or does not open with this key.
    """
    mark = folder.with_name(f".{folder.name}.restoring")
    if folder.exists() and any(folder.iterdir()) and not mark.exists():
        raise BackupFailed(f"{folder} não está vazia: uma restauração só vai para uma pasta vazia")
    part = manifest.parts.get(BASE)
    if part is None:
        raise BackupFailed(f"o backup {manifest.id} não tem uma cópia física do PostgreSQL")
    laid = f"{manifest.id} laid"
    if not mark.exists() or mark.read_text() != laid:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text(manifest.id)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        _extract(config.place, part, key, folder, base_progress)
        with programs.reading("pg_verifybackup", "--no-parse-wal", str(folder)) as said:
            said.read()
        mark.write_text(laid)
    fetch_log(config.place, manifest.system_id, key, folder / LOG_FOLDER, log.names, log_progress)
    say_how(folder, until)
    os.sync()
    mark.unlink()


def _extract(store: ObjectStore, part: Part, key: PrivateKey, folder: Path, progress: Progress) -> None:
    def unpack(stream: IO[bytes]) -> None:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if not (member.isfile() or member.isdir()) or not _is_inside(member.name):
                    raise BackupFailed(f"o backup tem {member.name}, que não é de uma pasta de dados só (tablespaces?)")
                member.mode = stat.S_IRWXU if member.isdir() else stat.S_IRUSR | stat.S_IWUSR
                member.uid, member.gid = os.getuid(), os.getgid()
                archive.extract(member, folder, numeric_owner=True)

    decrypted_into(store, part, key, unpack, progress)


def _is_inside(name: str) -> bool:
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts


def decrypted_into(
    store: ObjectStore, part: Part, key: PrivateKey, take: Callable[[IO[bytes]], None], progress: Progress
) -> None:
    """Decrypt a part in a thread while `take` reads it; for use in a thread, since it blocks.

    Raises:
        BackupDamaged: it is missing, was changed, or does not open with this key. What was taken must not be used.
    """
    reading, writing = os.pipe()
    failures: list[BaseException] = []
    done = 0

    def report(size: int) -> None:
        nonlocal done
        done += size
        progress(done, part.size)

    def decrypt() -> None:
        with os.fdopen(writing, "wb") as pipe:
            try:
                key.decrypt_stream(PieceReader(store, part.pieces, report), pipe.write)
            except BrokenPipeError:
                return  # `take` failed; its error has the reason
            except BaseException as error:  # noqa: BLE001 - raised where it is awaited
                failures.append(error)

    thread = threading.Thread(target=decrypt, name="decrypt")
    thread.start()
    taking: BaseException | None = None
    try:
        with os.fdopen(reading, "rb") as stream:
            take(stream)
            while stream.read(1 << 20):
                pass  # bytes after an archive's end
    except Exception as error:  # noqa: BLE001 - the other end's error says more
        taking = error
    thread.join()
    for failure in (*failures, taking):
        if isinstance(failure, CannotOpen):
            raise BackupDamaged("o backup não abre com esta chave privada, ou foi alterado") from failure
        if failure is not None:
            raise failure


def fetch_log(  # noqa: PLR0913, PLR0917 - a cluster's log, its store and the target folder
    store: ObjectStore, system_id: str, key: PrivateKey, folder: Path, names: Sequence[str], progress: Progress
) -> None:
    """Fetch missing files of the log; each is stored whole or not at all.

    The newest segment of an interrupted restore is fetched again: the place may have had only a part of it.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    there = sorted(path for path in folder.iterdir() if re.fullmatch("[0-9A-F]{24}", path.name))
    for path in there[-1:]:
        path.unlink()
    for number, name in enumerate(names, 1):
        target = folder / name.removesuffix(".partial")
        if not target.exists():
            fresh = target.with_suffix(".new")
            content = io.BytesIO(place.logged(store, system_id, name))
            with fresh.open("wb") as file:
                try:
                    key.decrypt_stream(content, file.write)
                except CannotOpen as error:
                    raise BackupDamaged(f"{name} não abre com esta chave privada, ou foi alterado") from error
            fresh.replace(target)
        progress(number, len(names))


def say_how(folder: Path, until: datetime | None) -> None:
    """Write the settings and the signal file of PostgreSQL's recovery."""
    settings = {"restore_command": f"cp {LOG_FOLDER}/%f %p", "recovery_target_timeline": "latest"}
    if until is not None:
        settings |= {"recovery_target_time": until.isoformat(), "recovery_target_action": "promote"}
    with (folder / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    (folder / "standby.signal").unlink(missing_ok=True)
    (folder / "recovery.signal").touch(mode=0o600)


def load_dump(
    config: BackupConfig, manifest: Manifest, key: PrivateKey, programs: Programs, progress: Progress = no_progress
) -> None:
    """Restore the dump into an empty database, in one transaction; for use in a thread, since it blocks.

    Raises:
        BackupFailed: the backup has no dump, or PostgreSQL refuses.
        BackupDamaged: a part is missing, was changed, or does not open with this key.
    """
    part = manifest.parts.get(DUMP)
    if part is None:
        raise BackupFailed(f"o backup {manifest.id} não tem uma cópia lógica do PostgreSQL")
    database = f"--dbname={programs.address.database}"

    def load(stream: IO[bytes]) -> None:
        def write(put: Callable[[bytes], object]) -> None:
            while piece := stream.read(1 << 20):
                put(piece)

        programs.feed("pg_restore", [database, "--exit-on-error", "--single-transaction", "--no-password"], write)

    decrypted_into(config.place, part, key, load, progress)
