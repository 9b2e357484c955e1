"""Packs the key files of an installation into one encrypted file, which is never stored in the place of the backups."""

import io
import tarfile
from pathlib import Path

from carteira.backup.errors import BackupDamaged, BackupFailed
from carteira.key_rings import RINGS, Ring, rings_on
from carteira.kit.ops.private_files import create_private_file
from carteira.kit.security.age import CannotOpen, PrivateKey, Recipients
from carteira.settings import Settings


def pack(settings: Settings, recipients: Recipients) -> bytes:
    """Return all key files, including waiting and retired keys, encrypted.

    Raises:
        BackupFailed: one is missing.
    """
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for ring in rings_on(settings):
            files = _files_of(ring, settings)
            if not files:
                raise BackupFailed(f"{ring.path(settings)} não existe")
            for path in files:
                archive.add(path, f"{ring.name}/{path.name}", recursive=False)
    return recipients.encrypt(content.getvalue())


def _files_of(ring: Ring, settings: Settings) -> list[Path]:
    path = ring.path(settings)
    return sorted(found for found in path.parent.glob(f"{path.stem}*") if found.is_file())


def unpack(content: bytes, key: PrivateKey, settings: Settings) -> list[Path]:
    """Write key files to the settings' paths; return the written ones. Existing equal files are kept.

    Raises:
        BackupDamaged: it does not open with this key.
        BackupFailed: another key lies where one is to be written.
    """
    try:
        clear = io.BytesIO(key.decrypt(content))
        with tarfile.open(fileobj=clear) as archive:
            files = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
            contents = {name: file.read() for name, file in files.items() if file is not None}
    except (CannotOpen, tarfile.TarError) as error:
        raise BackupDamaged("o arquivo de chaves não abre com esta chave privada, ou foi alterado") from error
    written = []
    for name, clear_key in contents.items():
        ring, _, file = name.partition("/")
        if ring in RINGS and Path(file).name == file:
            path = RINGS[ring].path(settings)
            target = path.with_name(file) if file != RINGS[ring].file_name else path
            if create_private_file(target, clear_key):
                written.append(target)
            elif target.read_bytes() != clear_key:
                raise BackupFailed(f"{target} já existe, e é outra chave")
    return written
