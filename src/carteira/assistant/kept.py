"""What rankers have learnt, kept on disk: processes of one knowledge learn it once, and a restart not at all.

Learning is one linear system of some thousand phrases, five seconds of a processor; what comes of it is one matrix. A
file is named by the digest of all that it follows from, so that no older one is ever taken for it.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from carteira.assistant.embedding import Matrix

MOST = 4
"""Files that are kept: with and without vectors, as it is now and as it was before."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """A folder of matrices, each by the digest of what it follows from. It may be deleted at any time."""

    folder: Path

    def get(self, digest: str, learn: Callable[[], Matrix]) -> Matrix:
        """Return what was learnt, by whichever process was first; where the folder cannot be used, learn it anew."""
        path = self.folder / f"{digest}.npy"
        known = _read(path)
        if known is not None:
            return known
        try:
            with self._alone():
                known = _read(path)  # another process may have learnt it meanwhile
                if known is None:
                    known = learn()
                    self._write(path, known)
                return known
        except OSError as error:
            log.warning("what the assistant learns cannot be kept", folder=str(self.folder), error=str(error))
        return known if known is not None else learn()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the file, and with the process
            yield

    def _write(self, path: Path, matrix: Matrix) -> None:
        written = path.with_suffix(".new")
        with written.open("wb") as out:
            np.save(out, matrix, allow_pickle=False)
        written.replace(path)
        for old in sorted(self.folder.glob("*.npy"), key=os.path.getmtime)[:-MOST]:
            old.unlink(missing_ok=True)


def _read(path: Path) -> Matrix | None:
    """Read a matrix; None: it is not there, or not whole."""
    try:
        with path.open("rb") as data:
            matrix: Matrix = np.load(data, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        log.warning("what the assistant learnt cannot be read and is learnt anew", error=str(error))
        return None
    return matrix
