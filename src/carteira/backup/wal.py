"""PostgreSQL's log, received as it is written and copied into the place; a disaster loses only later records.

`pg_receivewal` receives it through a replication slot, which one worker at a time holds and in which PostgreSQL keeps
what has not been received. Each complete segment is copied into the place in the next round; the current one is copied
again in each round, as `<segment>.partial`. The same rounds copy new documents.

After a failover the slot is the new leader's. It is received from there, on its timeline, from the newest segment on
that is of its history: the former leader may have sent more than its successor had.
"""

import asyncio
import os
import re
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import structlog
from psycopg.rows import TupleRow

from carteira import documents
from carteira.backup import copying, metrics, mounts, place
from carteira.backup.config import BackupConfig
from carteira.backup.errors import BackupDamaged, BackupFailed
from carteira.kit.db import silence
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.db.silence import WatchedConnection
from carteira.kit.outbound.objects import ObjectsDown
from carteira.kit.values.clock import clock

SLOT = "carteira_backup"
PARTIAL = ".partial"
OVERLAP = timedelta(minutes=5)
"""The longest an upload's transaction may take: its row has an instant from before its commit."""
AGAIN_SECONDS = 5.0
BUSY_SECONDS = 10.0
"""The seconds between two checks whether the worker that receives the log is gone."""
END_SECONDS = 10.0
"""The longest time that the receiver may take to end."""
UNHELD_SECONDS = 30.0
"""The longest time that the leader may lack our receiver: it has just started, or another PostgreSQL leads now."""
_SEGMENT = re.compile(r"[0-9A-F]{24}(\.partial)?|[0-9A-F]{8}\.history")
_GONE = "has already been removed"

log = structlog.get_logger(__name__)


class AnotherReceives(Exception):
    """Another worker receives the log."""


@dataclass(frozen=True)
class Cluster:
    """The leader's cluster and its history.

    Attributes:
        system_id: The cluster's identifier.
        segment_bytes: The size of the segments of its log.
        timeline: The present timeline.
        forks: Where each former timeline ended, in bytes of the log.
    """

    system_id: str
    segment_bytes: int
    timeline: int
    forks: dict[int, int]

    def has(self, segment: str) -> bool:
        """Return whether all of a segment is of its history."""
        timeline, end = int(segment[:8], 16), (place.number(segment, self.segment_bytes) + 1) * self.segment_bytes
        return timeline == self.timeline or end <= self.forks.get(timeline, 0)


class Archiver:
    """Receives the log and copies it, for as long as it runs."""

    def __init__(self, config: BackupConfig, database: Database) -> None:
        self._config = config
        self._database = database
        self._copied: dict[str, tuple[int, int]] = {}
        """The size and time of change of each file that was copied into the place."""
        self._documents_since: datetime | None = None
        self._system_id = ""
        self._held_at = 0.0
        """When the leader last knew of our receiver, by the monotonic clock."""
        self._has_gap = False
        """Whether PostgreSQL has deleted the log that follows the newest segment in the place."""

    async def run(self, stop: asyncio.Event) -> None:
        """Archive until asked to stop, whatever fails meanwhile."""
        metrics.kept.set(1)
        metrics.log_kept.set(int(self._config.is_physical))
        while not stop.is_set():
            seconds = AGAIN_SECONDS
            try:
                if self._config.is_physical:
                    await self._receive(stop)
                else:
                    await self._turns(stop, None)
            except AnotherReceives:
                seconds = BUSY_SECONDS
            except (BackupFailed, ObjectsDown, DatabaseDown, OSError, psycopg.Error) as error:
                log.warning("log not archived", error=type(error).__name__, detail=str(error)[:500])
            except Exception:
                log.exception("log not archived")
            await _pause(stop, seconds)

    async def _receive(self, stop: asyncio.Event) -> None:
        """Run `pg_receivewal` and copy its files, until asked to stop or until it ends.

        Raises:
            AnotherReceives: another worker does.
            BackupFailed: it ended; the text is what it said.
        """
        cluster = await _see_to_slot(self._config, has_gap=self._has_gap)
        self._system_id = cluster.system_id
        folder = self._config.spool / self._system_id
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True, mode=0o700)
        await self._begin(folder, cluster)
        program = self._config.programs.find("pg_receivewal")
        receiving = await asyncio.create_subprocess_exec(
            *(program, f"--directory={folder}", f"--slot={SLOT}", "--synchronous", "--no-loop", "--no-password"),
            "--status-interval=1",  # at the interval at which it checks whether to end
            f"--dbname={self._config.address.patience}",
            env=self._config.programs.environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert receiving.stderr is not None
        said = asyncio.create_task(receiving.stderr.read(), name="pg_receivewal")
        self._held_at = time.monotonic()
        try:
            await self._turns(stop, receiving)
        finally:
            with suppress(ProcessLookupError):
                receiving.send_signal(signal.SIGINT)  # it ends the segment cleanly
            try:
                await asyncio.wait_for(receiving.wait(), END_SECONDS)
            except TimeoutError:  # it waits for the answer of a PostgreSQL that stands still
                receiving.kill()
                await receiving.wait()
            text = (await said).decode(errors="replace").strip()
        await self._copy_log(folder)
        if not stop.is_set():
            if _GONE in text:
                self._has_gap = True
                log.error("log has a gap, new backup needed", detail=text[-500:])
            raise BackupFailed(f"pg_receivewal: {text[-500:]}")

    async def _begin(self, folder: Path, cluster: Cluster) -> None:
        """Let the receiver begin after the newest segment in the place that is of the leader's history."""
        await self._copy_log(folder)
        for path in await asyncio.to_thread(lambda: [*folder.iterdir()]):
            path.unlink()
        self._copied.clear()
        there = await place.segments(self._config.place, self._system_id)
        whole = [name for name in there if re.fullmatch("[0-9A-F]{24}", name) and cluster.has(name)]
        if whole and not self._has_gap:
            newest = folder / max(whole)
            with newest.open("wb") as file:
                os.truncate(file.fileno(), cluster.segment_bytes)  # it checks the name and the size
            self._copied[newest.name] = _state(newest)

    async def _turns(self, stop: asyncio.Event, receiving: asyncio.subprocess.Process | None) -> None:
        while not stop.is_set() and (receiving is None or receiving.returncode is None):
            if receiving is not None:
                is_held = await self._is_held()
                await self._copy_log(self._config.spool / self._system_id)
                self._has_gap = False
                if is_held:
                    metrics.log_copied_at.set_to_current_time()
            await self._copy_documents()
            await self._tell_age()
            await _pause(stop, self._config.settings.backup_wal_seconds, receiving)

    async def _is_held(self) -> bool:
        """Return whether the leader sends its log to our receiver.

        A receiver may be connected to a paused machine, or to the former leader; then it gets nothing and does not end.

        Raises:
            BackupFailed: it has not for a while.
            psycopg.Error: there is no leader.
        """
        if await _holds_slot(self._config):
            self._held_at = time.monotonic()
            return True
        if time.monotonic() - self._held_at > UNHELD_SECONDS:
            raise BackupFailed("o log vem de um PostgreSQL que não é o líder")
        return False

    async def _copy_log(self, folder: Path) -> None:
        """Copy what is new; complete segments that are in the place are removed here, except the newest.

        Raises:
            BackupFailed: the place is not the known one.
            ObjectsDown: it does not answer.
        """
        await mounts.require_known(self._config)
        paths = await asyncio.to_thread(_segments_in, folder)
        whole = [path for path in paths if path.suffix == ""]
        for path in paths:
            with suppress(FileNotFoundError):  # it became complete meanwhile; the next round copies it
                await self._copy(path)
            if path in whole:
                await self._config.place.remove([place.log_name(self._system_id, f"{path.name}{PARTIAL}")])
        await mounts.require_known(self._config)  # it may have gone meanwhile
        for path in whole[:-1]:
            path.unlink()
            self._copied.pop(path.name, None)

    async def _copy(self, path: Path) -> None:
        state = _state(path)
        if self._copied.get(path.name) != state:
            content = await asyncio.to_thread(self._encrypted, path)
            await self._config.place.put(place.log_name(self._system_id, path.name), content)
            self._copied[path.name] = state

    def _encrypted(self, path: Path) -> bytes:
        content = bytearray()
        with path.open("rb") as file:
            self._config.recipients.encrypt_stream(file, content.extend)
        return bytes(content)

    async def _copy_documents(self) -> None:
        if self._config.documents is None:
            return
        await mounts.require_known(self._config)
        now = clock.now()
        if self._documents_since is None:
            await copying.copy_all(self._config.documents, self._config.place)
        else:
            async with self._database.transaction() as tx:
                versions = await documents.stored_since(tx, self._documents_since)
            await copying.copy_versions(self._config.documents, self._config.place, versions)
        self._documents_since = now - OVERLAP

    async def _tell_age(self) -> None:
        """Set the metrics of the newest backup. They stay where there is none, or a damaged one: then they age."""
        with suppress(BackupDamaged):
            newest = await place.manifest_of(self._config.place, None)
            metrics.made_at.set(newest.made_at.timestamp())
            metrics.size.set(newest.size)


def _segments_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _SEGMENT.fullmatch(path.name)) if folder.exists() else []


_HELD = "SELECT FROM pg_replication_slots WHERE slot_name = %s AND active"
_DROP = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s AND NOT active"
_CREATE = (
    "SELECT pg_create_physical_replication_slot(%s, true)"
    " WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %s)"
)
_IDENTITY = (
    "SELECT system_identifier, setting::bigint FROM pg_control_system(), pg_settings WHERE name = 'wal_segment_size'"
)


async def _holds_slot(config: BackupConfig) -> bool:
    async with silence.watched(config.address) as connection:
        return await _row(connection, _HELD, SLOT) is not None


async def _row(connection: WatchedConnection, query: str, *values: object) -> TupleRow | None:
    return await (await connection.execute(query.encode(), values or None)).fetchone()


async def _see_to_slot(config: BackupConfig, *, has_gap: bool) -> Cluster:
    """Create the slot unless it exists; return the leader's cluster.

    After a gap the slot is created again: a receiver that asked for a deleted segment may have moved it back.

    Raises:
        AnotherReceives: somebody holds the slot.
    """
    async with silence.watched(config.address) as connection:
        if has_gap:
            await connection.execute(_DROP, (SLOT,))
        await connection.execute(_CREATE, (SLOT, SLOT))
        if await _row(connection, _HELD, SLOT) is not None:
            raise AnotherReceives
        row = await _row(connection, _IDENTITY)
    assert row is not None
    async with silence.watched(config.address, replication="true") as connection:
        identified = await _row(connection, "IDENTIFY_SYSTEM")
        assert identified is not None
        timeline, history = int(identified[1]), b""  # its texts are bytes of unknown encoding
        if timeline > 1:
            answer = await _row(connection, f"TIMELINE_HISTORY {timeline}")
            assert answer is not None
            history = bytes(answer[1])
    return Cluster(str(row[0]), int(row[1]), timeline, forks_in(history.decode()))


def forks_in(history: str) -> dict[int, int]:
    """Return where each former timeline ended, from a history file with lines `<timeline> <place> <reason>`."""
    forks = {}
    for line in history.splitlines():
        if line.strip() and not line.startswith("#"):
            timeline, end, *_ = line.split()
            high, low = end.split("/")
            forks[int(timeline)] = (int(high, 16) << 32) + int(low, 16)
    return forks


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


async def _pause(stop: asyncio.Event, seconds: float, receiving: asyncio.subprocess.Process | None = None) -> None:
    """Wait, at most so many seconds, until asked to stop or until the receiver ends."""
    waits = [asyncio.create_task(stop.wait())]
    if receiving is not None:
        waits.append(asyncio.create_task(receiving.wait()))  # type: ignore[arg-type] # its result is not used
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
