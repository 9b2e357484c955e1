"""Work that an operator has done from the command line: keys rotated, people exported."""

from collections.abc import Callable
from pathlib import Path

from carteira import documents, identity
from carteira.app import access_key_file
from carteira.kit.db.engine import Database
from carteira.kit.ops import log
from carteira.kit.security import tokens
from carteira.settings import Settings

Progress = Callable[[int, int], None]
"""Told how many are done, and of how many."""


def rotate_access_key(settings: Settings) -> str:
    """Sign people's tokens with a new key from now on and give its `kid`; the old one verifies for a while."""
    return tokens.rotate(access_key_file(settings))


async def rotate_documents_key(
    url: str, settings: Settings, progress: Progress, *, add_key: bool
) -> documents.Rotation:
    """Wrap every document's key with a new master key, or with the newest of the file; no file is touched.

    Raises:
        OSError, ValueError: the file of master keys cannot be read or written.
    """
    log.configure(level=settings.log_level, form=settings.log_format)
    path = settings.documents_key_file or documents.key_file_in(settings.carteira_home)
    ring = documents.KeyRing(path, create=settings.environment == "development")
    database = Database(url, pool_size=2)
    try:
        return await documents.rotate_master_key(database, ring, progress, add_key=add_key)
    finally:
        await database.close()


async def export_users(url: str, path: Path, form: identity.ExportFormat, progress: Progress) -> int:
    """Write everybody to a file, CPFs masked, and the fact to the audit; give how many there were.

    Raises:
        OSError: the file cannot be written.
    """
    database = Database(url, pool_size=2)
    try:
        written = await identity.export_users(database, path, form=form, progress=progress)
        async with database.transaction() as tx:
            await identity.record_audit(tx, "users_exported", actor=None, format=form, scheduled=False)
        return written
    finally:
        await database.close()
