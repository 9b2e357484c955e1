"""Checks a backup in its place: pieces against their hashes, documents against their list, the log for gaps."""

import asyncio
import hashlib
from typing import IO

from carteira.backup import copying, place, signing
from carteira.backup.config import BackupConfig
from carteira.backup.errors import BackupDamaged, BackupFailed
from carteira.backup.place import SETS, Manifest
from carteira.backup.restoring import decrypted_into, log_of
from carteira.kit.ops.progress import Progress, no_progress
from carteira.kit.security.age import PrivateKey

_READ_BYTES = 1 << 20


async def check(
    config: BackupConfig, manifest: Manifest, key: PrivateKey | None, progress: Progress = no_progress
) -> list[str]:
    """Return a backup's faults, one sentence each; with the private key each stream is opened, too.

    Raises:
        ObjectsDown: the place does not answer.
    """
    faults = await _own_faults(config, manifest, key, progress)
    if (await log_of(config.place, manifest)).gap:
        faults.append("falta um pedaço do log do PostgreSQL: uma restauração para antes dele")
    return faults


async def is_proven(config: BackupConfig, manifest: Manifest) -> bool:
    """Return whether a backup is one of ours and whole, apart from the log that follows it; all its pieces are read.

    Raises:
        ObjectsDown: the place does not answer.
    """
    return bool(manifest.signature) and not await _own_faults(config, manifest, None, no_progress)


async def _own_faults(
    config: BackupConfig, manifest: Manifest, key: PrivateKey | None, progress: Progress
) -> list[str]:
    faults = []
    if manifest.signature:  # older backups have none, which a restore reports
        try:
            signing.require_signature(manifest, await asyncio.to_thread(signing.ring_of, config.settings))
        except BackupFailed as failed:
            faults.append(str(failed))
    done = 0
    for name, part in manifest.parts.items():
        try:
            if key is None:
                for piece in part.pieces:
                    await asyncio.to_thread(place.checked, config.place, piece)
            else:
                await asyncio.to_thread(decrypted_into, config.place, part, key, _read_all, no_progress)
        except BackupDamaged as damaged:
            faults.append(f"{name}: {damaged}")
        done += part.size
        progress(done, manifest.size)
    if config.documents is not None:
        faults += await _missing(config, manifest)
    return faults


def _read_all(stream: IO[bytes]) -> None:
    while stream.read(_READ_BYTES):
        continue


async def _missing(config: BackupConfig, manifest: Manifest) -> list[str]:
    try:
        content = await config.place.get(f"{SETS}/{manifest.id}/{copying.LIST}")
    except FileNotFoundError:
        return ["falta a lista de documentos do backup"]
    if manifest.objects_sha256 and hashlib.sha256(content).hexdigest() != manifest.objects_sha256:
        return ["a lista de documentos do backup foi alterada"]
    try:
        named = copying.from_list(content)
    except BackupDamaged as damaged:
        return [str(damaged)]
    there = await place.stored_objects(config.place)
    missing = [name for name, size in named.items() if there.get(name) != size]
    return [f"{len(missing)} segmentos de documentos faltam, ou têm outro tamanho"] if missing else []
