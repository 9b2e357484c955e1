"""Removes what is older than the retention: whole backups, and the log and documents that no other backup needs."""

from dataclasses import dataclass

from carteira.backup import copying, place
from carteira.backup.config import BackupConfig
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


async def prune(config: BackupConfig) -> Pruned:
    """Remove what is too old. The newest complete backup always stays, with everything that it needs.

    Raises:
        ObjectsDown: the place does not answer. Run it again, and it goes on.
    """
    store, days = config.place, config.settings.backup_days
    whole = await place.manifests(store)
    kept = [one for one in whole[:-1] if not place.too_old(one.id, days)] + whole[-1:]
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
    return Pruned(len({name.split("/")[1] for name in old}), segments, objects)


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
    except FileNotFoundError:  # from a time when documents were off
        return 0
    newest = place.began_at(max(ids))
    old = [
        entry.name
        async for entry in config.place.entries(f"{OBJECTS}/")
        if entry.name.removeprefix(f"{OBJECTS}/") not in needed and entry.modified_at < min(newest, clock.now())
    ]
    await config.place.remove(old)
    return len(old)
