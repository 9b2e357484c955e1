"""Trained matrices on disk: processes with the same knowledge train once, and a restart not at all.

Training solves a linear system of some thousand phrases in five seconds of a processor; the result is one matrix. A
file is named by the digest of all its inputs, so that an outdated one is never used.
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
"""Most files: with and without vectors, for the present and the previous knowledge."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class MatrixStore:
    """A folder of matrices, named by the digests of their inputs. It may be deleted at any time."""

    folder: Path

    def get(self, digest: str, learn: Callable[[], Matrix]) -> Matrix:
        """Return the matrix that the first process stored; train it if the folder cannot be used."""
        path = self.folder / f"{digest}.npy"
        known = _read(path)
        if known is not None:
            return known
        try:
            with self._locked():
                known = _read(path)  # another process may have stored it meanwhile
                if known is None:
                    known = learn()
                    self._write(path, known)
                return known
        except OSError as error:
            log.warning(
                "assistant vectors not stored", folder=str(self.folder), error=type(error).__name__, detail=str(error)
            )
        return known if known is not None else learn()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the lock ends with the file or the process
            yield

    def _write(self, path: Path, matrix: Matrix) -> None:
        written = path.with_suffix(".new")
        with written.open("wb") as out:
            np.save(out, matrix, allow_pickle=False)
        written.replace(path)
        for old in sorted(self.folder.glob("*.npy"), key=os.path.getmtime)[:-MOST]:
            old.unlink(missing_ok=True)


def _read(path: Path) -> Matrix | None:
    """Return a stored matrix; None: it is missing or incomplete."""
    try:
        with path.open("rb") as data:
            matrix: Matrix = np.load(data, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        log.warning("assistant vectors not read, computed again", error=type(error).__name__, detail=str(error))
        return None
    return matrix
