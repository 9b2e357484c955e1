"""Removes what is older than the retention: whole backups, and the log and documents that no other backup needs.

The newest backup that is proven to be whole always stays: an older one is removed in favour of nothing unread.
"""

from dataclasses import dataclass, field

from carteira.backup import checking, copying, place
from carteira.backup.config import BackupConfig
from carteira.backup.errors import BackupDamaged
from carteira.backup.making import UNFINISHED
from carteira.backup.place import OBJECTS, SETS, WAL, Manifest
from carteira.kit.values.clock import clock

_SEGMENT_DIGITS = 24


@dataclass(frozen=True, slots=True)
class Pruned:
    """Counts of what was removed."""

    backups: int
    segments: int
    objects: int
    damaged: list[str] = field(default_factory=list)
    """The newer backups that are not whole, or not ours: for want of them older ones stayed."""


async def prune(config: BackupConfig) -> Pruned:
    """Remove what is too old. The newest backup always stays, and the newest proven one, with all that they need.

    The newest is read before an older one is removed; if it is damaged, the one before, and so on.

    Raises:
        ObjectsDown: the place does not answer. Run it again, and it goes on.
        BackupDamaged: a manifest cannot be read.
    """
    store, days = config.place, config.settings.backup_days
    whole = await place.manifests(store)
    kept = [one for one in whole[:-1] if not place.too_old(one.id, days)] + whole[-1:]
    damaged: list[str] = []
    if len(kept) < len(whole):
        for one in reversed(whole):
            if await checking.is_proven(config, one):
                kept += [] if one in kept else [one]
                break
            damaged.append(one.id)
        else:
            kept = whole
    ids = {one.id for one in kept}
    names = [entry.name async for entry in store.entries(f"{SETS}/") if place.is_set(entry.name)]
    unfinished = {name.split("/")[1] for name in names if name.endswith(f"/{UNFINISHED}")}
    ids |= {set_id for set_id in unfinished if not place.too_old(set_id, 1)}
    old = [name for name in names if name.split("/")[1] not in ids]
    # The manifest first: an incomplete backup counts as none.
    await store.remove([name for name in old if name.endswith(place.MANIFEST)])
    await store.remove(old)
    segments = await _prune_log(config, kept)
    objects = await _prune_objects(config, [one.id for one in kept])
    return Pruned(len({name.split("/")[1] for name in old}), segments, objects, damaged)


async def _prune_log(config: BackupConfig, kept: list[Manifest]) -> int:
    """Remove the log before the first segment at which a kept backup of its cluster begins."""
    firsts: dict[str, str] = {}
    for one in kept:
        if one.first_wal is not None:
            firsts[one.system_id] = min(firsts.get(one.system_id, one.first_wal), one.first_wal)
    old = []
    async for entry in config.place.entries(f"{WAL}/"):
        _, system_id, name = entry.name.split("/")
        first = firsts.get(system_id)
        if first is None:  # of a cluster that is gone, or whose first backup is still to come
            is_old = not place.is_recent(entry.modified_at, config.settings.backup_days)
        else:
            is_old = name[:_SEGMENT_DIGITS] < first and not name.endswith(".history")
        if is_old:
            old.append(entry.name)
    await config.place.remove(old)
    return len(old)


async def _prune_objects(config: BackupConfig, ids: list[str]) -> int:
    """Remove documents' segments that no kept backup names; those newer than the newest backup stay."""
    if not ids:
        return 0
    needed: set[str] = set()
    try:
        for set_id in ids:
            needed |= copying.from_list(await config.place.get(f"{SETS}/{set_id}/{copying.LIST}")).keys()
    except (BackupDamaged, FileNotFoundError):  # or from a time when documents were off
        return 0
    newest = place.began_at(max(ids))
    old = [
        entry.name
        async for entry in config.place.entries(f"{OBJECTS}/")
        if entry.name.removeprefix(f"{OBJECTS}/") not in needed and entry.modified_at < min(newest, clock.now())
    ]
    await config.place.remove(old)
    return len(old)
