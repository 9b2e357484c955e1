"""Recognises the folder of the backups: without its disk the mount point is an empty folder, which takes anything.

A mark in the place says that it is one. This machine remembers for which address it has seen the mark; where it is
missing from then on, the disk is away. A bucket needs no mark: without it nothing is stored.
"""

from carteira.backup.config import BackupConfig
from carteira.backup.errors import BackupFailed

MARK = "carteira-backups"
"""The object whose presence says that this is the place of backups."""


async def require_known(config: BackupConfig) -> None:
    """Require that the place is still there; mark a new one.

    Raises:
        BackupFailed: its disk is away.
        ObjectsDown: the place does not answer.
    """
    folder = config.place.folder
    if folder is None:
        return
    file = config.settings.carteira_home / "backup" / "place"
    try:
        await config.place.get(MARK)
    except FileNotFoundError:
        if file.exists() and file.read_text(encoding="utf-8") == str(folder):
            raise BackupFailed(
                f"{folder} não é mais o lugar dos backups: falta o arquivo {MARK}. O disco foi desmontado? Monte-o. "
                f"Se é um disco novo, apague {file}"
            ) from None
        await config.place.put(MARK, b"")
    if not file.exists() or file.read_text(encoding="utf-8") != str(folder):
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_text(str(folder), encoding="utf-8")
