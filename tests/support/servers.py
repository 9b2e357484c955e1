"""The embedded servers of one test run: started by the first test that needs them, shared by all workers.

The servers belong to a process of their own (`server_owner`), since a pytest-xdist worker may end before the others do.
The process that runs pytest holds a lock for as long as it lives; the owner waits for that lock and stops the servers
when it gets it, so that they end with the run however it ends: normally, by Ctrl-C or by `kill -9`.
"""

import fcntl
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from carteira.embedded import Endpoints

ROOT = Path(__file__).parents[2]
TEMPLATE = "carteira_template"
"""The migrated database that the tests' databases are copies of."""


@contextmanager
def locked(path: Path) -> Iterator[IO[str]]:
    """Hold a file's lock until the end of the block."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def run_lock(folder: Path) -> Path:
    return folder / "run.lock"


def owner_lock(folder: Path) -> Path:
    return folder / "owner.lock"


def endpoints_file(folder: Path) -> Path:
    return folder / "endpoints.json"


@contextmanager
def servers_folder() -> Iterator[Path]:
    """Make the folder of a run's servers; when the block ends, the servers stop and the folder is removed."""
    folder = Path(tempfile.mkdtemp(prefix="carteira-tests-"))
    owner_lock(folder).touch()
    with locked(run_lock(folder)):
        yield folder
    with locked(owner_lock(folder)):  # the owner holds it until the servers are stopped
        shutil.rmtree(folder, ignore_errors=True)


def shared_endpoints(folder: Path) -> Endpoints:
    """Return the addresses of the run's servers; the first caller among all processes starts them."""
    with locked(folder / "start.lock"):
        if not endpoints_file(folder).exists():
            _start(folder)
    return Endpoints(**json.loads(endpoints_file(folder).read_text()))


def _start(folder: Path) -> None:
    """Start the owner and wait until it is ready. It is not waited for as a child, since it outlives this process."""
    log = folder / "owner.log"
    reading, writing = os.pipe()
    with log.open("a") as errors:
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "tests.support.server_owner", str(folder)],
            os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
            file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1), (os.POSIX_SPAWN_DUP2, errors.fileno(), 2)],
            setsid=True,  # Ctrl-C is for pytest: the servers stop after the tests, not under them
        )
    os.close(writing)
    with os.fdopen(reading) as answer:
        is_ready = answer.readline() != ""
    if not is_ready:
        raise RuntimeError(f"the test servers did not start:\n{log.read_text()}")
