"""Makes a backup: PostgreSQL first, then documents, then base B; an interrupted one is continued."""

import asyncio
import hashlib
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import IO

import orjson
import psycopg
import structlog

from carteira import __version__, credit
from carteira.backup import copying, mounts, place, signing
from carteira.backup.config import BackupConfig
from carteira.backup.errors import BackupDamaged, BackupFailed
from carteira.backup.place import MANIFEST, SETS, Manifest, Part, PieceWriter
from carteira.kit.db import silence
from carteira.kit.db.silence import WatchedConnection
from carteira.kit.ops.progress import Progress, no_progress
from carteira.kit.security.age import ByteReader
from carteira.kit.values.clock import clock

LOCK = 0x63617274_6261636B
"""The advisory lock of making a backup."""
UNFINISHED = "unfinished.json"
RESUMED_WITHIN = timedelta(hours=24)
HELD_SECONDS = 8.0
"""The seconds between two checks of the lock while a program of PostgreSQL works."""
BASE, DUMP, BASE_B = "base.tar", "dump", "base-b"
EXTENSION = "pg_trgm"
"""The extension that the tables use. Others of the server may be missing elsewhere, or require a superuser."""
ProgressOf = Callable[[str], Progress]
"""Returns the callback for a step's progress, in bytes or items."""

log = structlog.get_logger(__name__)


def report_nothing(_step: str) -> Progress:
    """Return a callback that reports no progress."""
    return no_progress


async def make(config: BackupConfig, progress_of: ProgressOf = report_nothing) -> Manifest:
    """Make a backup, or continue one that was interrupted within a day.

    Raises:
        BackupFailed: it cannot be made; the text says why.
        ObjectsDown: a store does not answer. Run it again, and it goes on.
    """
    async with _alone(config) as connection:
        await mounts.require_known(config)
        manifest = await _begun(config, connection)
        for name, program, arguments in _streams(config):
            if name not in manifest.parts:
                step = progress_of(name)
                manifest.parts[name] = await _stored(config, connection, manifest.id, name, program, arguments, step)
                if name == BASE:
                    manifest.last_wal = await _segment_now(connection)
                await _note(config, manifest)
        await _copy_documents(config, manifest, progress_of("documents"))
        if config.credit is not None and BASE_B not in manifest.parts:
            manifest.base_b_at = clock.now().isoformat()
            manifest.parts[BASE_B] = await _stored_base_b(config, config.credit, manifest.id)
        await _require_lock(connection)
        await mounts.require_known(config)
        if await _stored_parts(config, manifest) != manifest.parts:
            raise BackupFailed("o lugar dos backups perdeu pedaços deste backup enquanto era feito: execute de novo")
        manifest.ended_at = clock.now().isoformat()
        await asyncio.to_thread(signing.sign, manifest, config.settings)
        await config.place.put(f"{SETS}/{manifest.id}/{MANIFEST}", manifest.to_json())
        await config.place.remove([f"{SETS}/{manifest.id}/{UNFINISHED}"])
    log.info("backup made", id=manifest.id, bytes=manifest.size, documents=manifest.objects)
    return manifest


@asynccontextmanager
async def _alone(config: BackupConfig) -> AsyncIterator[WatchedConnection]:
    """Hold the lock of making a backup of this database.

    Raises:
        BackupFailed: another process holds it, or the connection that holds it ended: PostgreSQL is gone, or stands
            still. Another process may have continued this backup then, and replaced its pieces.
    """
    async with silence.watched(config.address) as connection:
        try:
            if await _one(connection, "SELECT pg_try_advisory_lock(%s)", LOCK) is not True:
                raise BackupFailed("outro backup deste banco de dados está em andamento")
            yield connection
        except psycopg.OperationalError as error:
            raise BackupFailed("a conexão com o PostgreSQL caiu durante o backup: execute de novo") from error


async def _require_lock(connection: WatchedConnection) -> None:
    """Require that the lock was held all the time: its connection still answers.

    Raises:
        psycopg.OperationalError: the connection ended.
    """
    await connection.execute("SELECT")


async def _one(connection: WatchedConnection, query: str, *values: object) -> object:
    row = await (await connection.execute(query.encode(), values)).fetchone()
    return None if row is None else row[0]


async def _begun(config: BackupConfig, connection: WatchedConnection) -> Manifest:
    """Return the backup that was interrupted, or a new one."""
    system_id = str(await _one(connection, "SELECT system_identifier FROM pg_control_system()"))
    async for entry in config.place.entries(f"{SETS}/"):
        if entry.name.endswith(f"/{UNFINISHED}") and clock.now() - entry.modified_at < RESUMED_WITHIN:
            try:
                manifest = await _unfinished(config, entry.name)
                manifest.parts = await _stored_parts(config, manifest)
            except BackupFailed as failed:
                log.warning("unfinished backup not continued", name=entry.name, detail=str(failed))
                continue
            if manifest.system_id == system_id and manifest.parts:
                log.info("backup continued", id=manifest.id, parts=[*manifest.parts])
                return manifest
    manifest = Manifest(
        id=place.new_id(),
        began_at=clock.now().isoformat(),
        ended_at="",
        release=__version__,
        revision=str(await _one(connection, "SELECT version_num FROM alembic_version")),
        postgresql=str(await _one(connection, "SHOW server_version")),
        database=str(await _one(connection, "SELECT current_database()")),
        owner=str(await _one(connection, _OWNER)),
        system_id=system_id,
        first_wal=await _segment_now(connection) if config.is_physical else None,
        segment_bytes=int(str(await _one(connection, _SEGMENT_BYTES))),
        heads={name: await _head(connection, query) for name, query in _HEADS.items()},
    )
    await _note(config, manifest)
    return manifest


async def _unfinished(config: BackupConfig, name: str) -> Manifest:
    """Return an interrupted backup that one of our servers began: what it names will be signed as ours.

    Raises:
        BackupFailed: it cannot be read, was begun by no server of ours, or lies in another backup's folder.
    """
    manifest = Manifest.from_json(await config.place.get(name))
    signing.require_signature(manifest, await asyncio.to_thread(signing.ring_of, config.settings))
    if manifest.ended_at or name != f"{SETS}/{manifest.id}/{UNFINISHED}":
        raise BackupDamaged(f"{name}: o manifesto é o de outro backup")
    return manifest


_OWNER = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
_SEGMENT_BYTES = "SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'"
_HEADS = {
    "ledger": "SELECT height || ':' || encode(hash, 'hex') FROM ledger_chain ORDER BY height DESC LIMIT 1",
    "audit": "SELECT height || ':' || encode(hash, 'hex') FROM audit_chain ORDER BY height DESC LIMIT 1",
}


async def _segment_now(connection: WatchedConnection) -> str | None:
    """Return the log's present segment; a replica cannot, and has the primary's log."""
    query = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_lsn()) END"
    name = await _one(connection, query)
    return None if name is None else str(name)


async def _head(connection: WatchedConnection, query: str) -> str:
    return str(await _one(connection, query) or "")


async def _note(config: BackupConfig, manifest: Manifest) -> None:
    """Store what is complete by now, signed, so that only a backup of ours is continued."""
    await asyncio.to_thread(signing.sign, manifest, config.settings)
    await config.place.put(f"{SETS}/{manifest.id}/{UNFINISHED}", manifest.to_json())


def _streams(config: BackupConfig) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield the output streams of PostgreSQL's programs: the part's name, the program, and its arguments."""
    if config.is_physical:
        yield BASE, "pg_basebackup", ("--pgdata=-", "--format=tar", "--wal-method=fetch", "--checkpoint=fast", "-w")
    if config.is_logical:
        yield DUMP, "pg_dump", ("--format=custom", "--compress=none", "--no-password", f"--extension={EXTENSION}")


async def _stored_parts(config: BackupConfig, manifest: Manifest) -> dict[str, Part]:
    """Return the parts of a backup whose pieces are all in the place, by their names and sizes."""
    there = {entry.name: entry.size async for entry in config.place.entries(f"{SETS}/{manifest.id}/")}
    return {
        name: part
        for name, part in manifest.parts.items()
        if all(there.get(piece.name) == piece.size for piece in part.pieces)
    }


async def _size_of(connection: WatchedConnection) -> int:
    return int(str(await _one(connection, "SELECT sum(pg_database_size(oid))::bigint FROM pg_database") or 0))


async def _stored(  # noqa: PLR0913, PLR0917 - one stream's facts
    config: BackupConfig,
    connection: WatchedConnection,
    set_id: str,
    name: str,
    program: str,
    arguments: tuple[str, ...],
    step: Progress,
) -> Part:
    """Store what a program says; the program is ended if the lock is lost, since it would wait without an end."""
    size, running = await _size_of(connection), list[subprocess.Popen[bytes]]()

    def store() -> Part:
        patience = f"--dbname={config.address.patience}"
        with config.programs.reading(program, *arguments, patience, started=running.append) as output:
            return _encrypted(config, set_id, name, Counted(output, lambda done: step(done, max(done, size))))

    storing = asyncio.create_task(asyncio.to_thread(store), name=name)
    try:
        while not storing.done():
            await asyncio.wait({storing}, timeout=HELD_SECONDS)
            await _require_lock(connection)
    except BaseException:
        for one in running:
            one.kill()
        await asyncio.gather(storing, return_exceptions=True)
        raise
    return await storing


def _encrypted(config: BackupConfig, set_id: str, name: str, source: "Counted") -> Part:
    writer = PieceWriter(config.place, f"{SETS}/{set_id}/{name}")
    config.recipients.encrypt_stream(source, writer.write)
    writer.end()
    return Part(writer.pieces, source.done)


class Counted:
    """A reader that reports how much was read."""

    def __init__(self, source: ByteReader | IO[bytes], report: Callable[[int], None] | None = None) -> None:
        self._source = source
        self._report = report or (lambda _done: None)
        self.done = 0

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""
        content = self._source.read(size)
        self.done += len(content)
        self._report(self.done)
        return content


async def _copy_documents(config: BackupConfig, manifest: Manifest, step: Progress) -> None:
    """Copy missing objects of documents' storage; objects that vanish meanwhile were an erased person's."""
    if config.documents is None:
        return
    names = await copying.copy_all(config.documents, config.place, step)
    manifest.objects, manifest.objects_bytes = len(names), sum(names.values())
    named = copying.to_list(names)
    manifest.objects_sha256 = hashlib.sha256(named).hexdigest()
    await config.place.put(f"{SETS}/{manifest.id}/{copying.LIST}", named)


async def _stored_base_b(config: BackupConfig, base_b: credit.CreditConfig, set_id: str) -> Part:
    """Store base B's items, a line each."""
    async with pumped(credit.export_items(base_b)) as source:
        return await asyncio.to_thread(_encrypted, config, set_id, BASE_B, Counted(source))


@asynccontextmanager
async def pumped(items: AsyncIterator[dict[str, object]]) -> AsyncIterator[IO[bytes]]:
    """Yield items, a line of JSON each, as a stream that a thread reads."""
    reading, writing = os.pipe()

    async def pump() -> None:
        with os.fdopen(writing, "wb") as pipe:
            async for item in items:
                await asyncio.to_thread(pipe.write, orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE))

    source = os.fdopen(reading, "rb")
    pumping = asyncio.create_task(pump(), name="pump")
    try:
        yield source
        await pumping
    finally:
        source.close()  # the waiting writer gets the error
        pumping.cancel()
        await asyncio.gather(pumping, return_exceptions=True)


async def newest(config: BackupConfig) -> Manifest | None:
    """Return the newest complete backup, if there is one.

    Raises:
        ObjectsDown: the place does not answer.
    """
    try:
        return await place.manifest_of(config.place, None)
    except BackupDamaged:
        return None
