"""Copies documents' segments between their storage and the place: sealed, and once for all backups."""

import asyncio
import gzip
import zlib
from collections.abc import Iterable, Mapping
from uuid import UUID

import orjson

from carteira.backup.errors import BackupDamaged
from carteira.backup.place import OBJECTS, stored_objects
from carteira.kit.ops.progress import Progress, no_progress
from carteira.kit.outbound.objects import ObjectStore

LIST = "objects.json.gz"
AT_ONCE = 16


def to_list(names: Mapping[str, int]) -> bytes:
    """Return the file of a backup that names its documents' segments, with their sizes."""
    return gzip.compress(orjson.dumps(names), mtime=0)


def from_list(content: bytes) -> dict[str, int]:
    """Parse that file.

    Raises:
        BackupDamaged: it is none.
    """
    try:
        names: dict[str, int] = orjson.loads(gzip.decompress(content))
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise BackupDamaged("a lista de documentos de um backup não pode ser lida") from error
    return names


async def copy_all(documents: ObjectStore, place: ObjectStore, progress: Progress = no_progress) -> dict[str, int]:
    """Copy missing objects from documents' storage into the place; return the sizes of all objects there, by name.

    Raises:
        ObjectsDown: one of the two does not answer.
    """
    names = {entry.name: entry.size async for entry in documents.entries() if is_segment(entry.name)}
    there = await stored_objects(place)
    missing = [name for name, size in names.items() if there.get(name) != size]
    gone = await _copy(documents, place, missing, prefix=f"{OBJECTS}/", progress=progress)
    return {name: size for name, size in names.items() if name not in gone}


async def copy_versions(documents: ObjectStore, place: ObjectStore, versions: Iterable[UUID]) -> int:
    """Copy some versions' segments into the place; return how many segments there were."""
    copied = 0
    for version_id in versions:
        names = [entry.name async for entry in documents.entries(f"{version_id.hex}/")]
        await _copy(documents, place, names, prefix=f"{OBJECTS}/")
        copied += len(names)
    return copied


async def bring_back(
    place: ObjectStore, documents: ObjectStore, names: Mapping[str, int], progress: Progress = no_progress
) -> set[str]:
    """Copy segments from the place into documents' storage; return those that the place lacks.

    Raises:
        ObjectsDown: one of the two does not answer. Run it again, and it goes on.
    """
    there = {entry.name: entry.size async for entry in documents.entries()}
    missing = [name for name, size in names.items() if there.get(name) != size]
    return await _copy(place, documents, missing, source_prefix=f"{OBJECTS}/", progress=progress)


async def _copy(  # noqa: PLR0913 - a source, a target and options
    source: ObjectStore,
    target: ObjectStore,
    names: list[str],
    *,
    prefix: str = "",
    source_prefix: str = "",
    progress: Progress = no_progress,
) -> set[str]:
    """Copy objects concurrently; return the missing ones."""
    gone: set[str] = set()
    done = 0
    waiting = iter(names)

    async def work() -> None:
        nonlocal done
        for name in waiting:
            try:
                await target.put(prefix + name, await source.get(source_prefix + name))
            except FileNotFoundError:
                gone.add(name)
            done += 1
            progress(done, len(names))

    progress(0, len(names))
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(names))):
                group.create_task(work())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return gone


def is_segment(name: str) -> bool:
    """Return whether an object is a segment of a version, and not an unknown file."""
    folder, _, segment = name.partition("/")
    try:
        return UUID(hex=folder).hex == folder and segment.isdigit()
    except ValueError:
        return False
