"""Files that only their owner may read: keys, passwords, codes.

Each is written under another name, synced, and then renamed: for readers and after crashes it is there whole or not at
all.
"""

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

_MODE = 0o600
_FOLDER_MODE = 0o700


def create_private_file(path: Path, content: bytes) -> bool:
    """Create a file durably unless it exists; return whether this call did. Of racing calls one creates it."""
    with _written(path, content) as fresh:
        try:
            os.link(fresh, path)  # never replaces a file, as a rename would
        except FileExistsError:
            return False
    sync_folder(path.parent)
    return True


def replace_private_file(path: Path, content: bytes) -> None:
    """Replace a file's content durably; create the file if there is none."""
    with _written(path, content) as fresh:
        fresh.replace(path)
    sync_folder(path.parent)


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which excludes only processes that take it too; wait while another holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def others_may(path: Path) -> Literal["read", "write"] | None:
    """Return the rights of others than its owner on a file.

    Its group may read, since orchestrators mount secrets so.
    """
    mode = path.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "write"
    return "read" if mode & stat.S_IROTH else None


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that its names are durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _written(path: Path, content: bytes) -> Iterator[Path]:
    """Write a temporary file beside another and remove it after the block. A new folder is its owner's only.

    Raises:
        OSError: it cannot be written; the error names the intended file.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=_FOLDER_MODE)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            error.filename = str(path)  # a full disk names no file, and nobody knows the temporary name
            raise
        yield fresh
    finally:
        fresh.unlink(missing_ok=True)
