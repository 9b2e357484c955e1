"""Maintenance of stored files: rotation of the master key, and removal of orphans."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import func, select

from carteira.documents import metrics
from carteira.documents.errors import FileDamaged
from carteira.documents.keys import MasterKeyMissing, MasterKeyRing
from carteira.documents.models import DocumentVersion
from carteira.documents.sealing import FileSealer
from carteira.documents.service import REMOVE_FILES, wrapping_context
from carteira.documents.storage import Storage, segment_name
from carteira.kit.db import jobs
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.ops.progress import Progress, no_progress
from carteira.kit.values.clock import clock

BATCH = 500
ORPHAN_AGE = timedelta(hours=1)
"""The least age of an orphan: an upload under way has no row yet."""
SUSPICIOUS = 100
"""With this many orphans, and more than half of all versions orphaned, it must be the wrong database."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class MasterKeyRotation:
    """The result of a rotation."""

    active_key: str
    rewrapped: int
    unreadable: int
    """Wrapped keys that no master key of the file opens: a master key is missing, or their files are lost."""
    retired: list[str]


async def rotate_master_key(
    database: Database, ring: MasterKeyRing, progress: Progress = no_progress, *, add_key: bool = True
) -> MasterKeyRotation:
    """Add a new master key and rewrap every file's key with it; no file is touched, and files are served meanwhile.

    Without `add_key` the file's newest key is used (where somebody else writes the key file). After an interruption it
    is simply run again. A later run removes old keys from the file, a day after they were replaced.
    """
    active = ring.add() if add_key else ring.active
    async with database.transaction() as tx:
        total = (
            await tx.scalar(
                select(func.count()).select_from(DocumentVersion).where(DocumentVersion.key_id != active.id)
            )
            or 0
        )
    done = 0

    def report(rewrapped: int) -> None:
        nonlocal done
        done += rewrapped
        progress(done, max(total, done))

    while (passed := await _rewrap_all(database, ring, active.id, report)).rewrapped:
        pass  # until a pass finds none, since uploads go on meanwhile
    async with database.transaction() as tx:
        used = frozenset(await tx.scalars(select(DocumentVersion.key_id).distinct()))
    retired = ring.retire(used) if add_key else []
    log.info("master key rotated", rewrapped=done, unreadable=passed.unreadable, retired=len(retired))
    return MasterKeyRotation(active.id, done, passed.unreadable, retired)


async def count_by_key(tx: Tx) -> dict[str, int]:
    """Return how many files' keys each master key wraps, by its id."""
    rows = await tx.execute(select(DocumentVersion.key_id, func.count()).group_by(DocumentVersion.key_id))
    return dict(rows.all())


@dataclass(frozen=True)
class _Pass:
    rewrapped: int
    unreadable: int


async def _rewrap_all(database: Database, ring: MasterKeyRing, active_id: str, report: Callable[[int], None]) -> _Pass:
    """Rewrap all keys that another master key wraps, in one pass; unreadable ones are skipped."""
    after, rewrapped, unreadable = UUID(int=0), 0, 0
    while True:
        before = rewrapped
        async with database.transaction() as tx:
            rows = (
                await tx.scalars(
                    select(DocumentVersion)
                    .where(DocumentVersion.key_id != active_id, DocumentVersion.id > after)
                    .order_by(DocumentVersion.id)
                    .limit(BATCH)
                    .with_for_update()
                )
            ).all()
            for row in rows:
                context = wrapping_context(row.document_id, row.id)
                try:
                    data_key = ring.unwrap(row.key_id, row.wrapped_key, context)
                except (FileDamaged, MasterKeyMissing):
                    log.warning("data key not unwrapped", version_id=str(row.id))
                    unreadable += 1
                else:
                    row.key_id, row.wrapped_key = ring.wrap(data_key, context)
                    rewrapped += 1
        if not rows:
            return _Pass(rewrapped, unreadable)
        report(rewrapped - before)
        after = rows[-1].id


async def remove_orphans(database: Database, storage: Storage) -> int:
    """Remove stored versions without a row that are old enough; return how many.

    An upload whose server died leaves one behind. Deleted documents' bytes are removed by a job of their own. If far
    too many look orphaned, nothing is removed.
    """
    newest: dict[UUID, datetime] = {}
    async for version_id, stored_at in storage.versions():
        newest[version_id] = max(newest.get(version_id, stored_at), stored_at)
    settled = [version_id for version_id, stored_at in newest.items() if clock.now() - stored_at > ORPHAN_AGE]
    orphans: list[UUID] = []
    for start in range(0, len(settled), BATCH):
        batch = settled[start : start + BATCH]
        async with database.transaction() as tx:
            known = set(await tx.scalars(select(DocumentVersion.id).where(DocumentVersion.id.in_(batch))))
            known |= {UUID(left) for args in await jobs.waiting(tx, REMOVE_FILES) for left in args["version_ids"]}
        orphans += [version_id for version_id in batch if version_id not in known]
    if len(orphans) >= SUSPICIOUS and len(orphans) * 2 > len(newest):
        log.error("orphans kept, more than half of all versions", orphans=len(orphans), stored=len(newest))
        return 0
    for version_id in orphans:
        await storage.remove(version_id)
        metrics.removed_orphans.inc()
    return len(orphans)


async def stored_since(tx: Tx, since: datetime) -> list[UUID]:
    """Return the versions that were uploaded since an instant, oldest first."""
    query = select(DocumentVersion.id).where(DocumentVersion.uploaded_at >= since).order_by(DocumentVersion.id)
    return list(await tx.scalars(query))


async def stored_names(tx: Tx) -> set[str]:
    """Return the names in storage of every version's segments."""
    rows = await tx.execute(select(DocumentVersion.id, DocumentVersion.segments))
    return {segment_name(version_id, index) for version_id, segments in rows for index in range(segments)}


async def unreadable_among(tx: Tx, ring: MasterKeyRing, storage: Storage, newest: int) -> list[UUID]:
    """Open the newest versions, at most so many; return those that do not open.

    Raises:
        StorageDown: the store does not answer.
    """
    unreadable = []
    rows = await tx.scalars(select(DocumentVersion).order_by(DocumentVersion.id.desc()).limit(newest))
    for row in rows.all():
        try:
            data_key = ring.unwrap(row.key_id, row.wrapped_key, wrapping_context(row.document_id, row.id))
            sealer = FileSealer(row.document_id, row.id, data_key)
            for index in range(row.segments):
                sealer.open(index, await storage.get(row.id, index), last=index == row.segments - 1)
        except (FileDamaged, MasterKeyMissing):
            unreadable.append(row.id)
    return unreadable
