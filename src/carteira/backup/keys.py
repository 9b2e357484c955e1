"""Packs the key files of an installation into one encrypted file, which is never stored in the place of the backups."""

import io
import tarfile
from pathlib import Path

from carteira.backup.errors import BackupDamaged, BackupFailed
from carteira.key_rings import RINGS, Ring, rings_on
from carteira.kit.ops.private_files import create_private_file
from carteira.kit.security import tokens
from carteira.kit.security.age import CannotOpen, PrivateKey, Recipients
from carteira.settings import Settings


def pack(settings: Settings, recipients: Recipients) -> bytes:
    """Return all key files, including waiting and retired keys, encrypted and under their usual names.

    Raises:
        BackupFailed: one is missing.
    """
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for ring in rings_on(settings):
            path = ring.path(settings)
            if not path.is_file():
                raise BackupFailed(f"{path} não existe")
            archive.add(path, f"{ring.name}/{ring.file_name}", recursive=False)
            for beside in (*tokens.waiting_keys(path), *tokens.retired_keys(path)):
                archive.add(beside, f"{ring.name}/{_renamed(beside.name, path.stem, ring.stem)}", recursive=False)
    return recipients.encrypt(content.getvalue())


def _renamed(name: str, stem: str, other: str) -> str:
    """Return the name of a waiting or retired key's file beside a ring's file with another name."""
    return f"{other}-{name.removeprefix(f'{stem}-')}"


def _target(ring: Ring, name: str, path: Path) -> Path:
    """Return where a file of the archive belongs, if the ring's file is to be at a path.

    Releases before this one kept the names that the files had.
    """
    if name in {ring.file_name, path.name}:
        return path
    return path.with_name(_renamed(name, ring.stem, path.stem) if name.startswith(f"{ring.stem}-") else name)


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
            target = _target(RINGS[ring], file, RINGS[ring].path(settings))
            if create_private_file(target, clear_key):
                written.append(target)
            elif target.read_bytes() != clear_key:
                raise BackupFailed(f"{target} já existe, e é outra chave")
    return written
