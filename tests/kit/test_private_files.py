"""Files that only their owner may read: written whole or not at all, and never over an existing one."""

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carteira.kit.ops.private_files import create_private_file, replace_private_file
from carteira.kit.security import tokens
from carteira.kit.security.sealing import Sealer

RACE = """
import sys
from pathlib import Path
from carteira.kit.ops.private_files import create_private_file
name = sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
print(create_private_file(Path(sys.argv[1]), name.encode() * 100_000), name)
"""
DEATH = """
import os, signal, sys
from pathlib import Path
from carteira.kit.ops import private_files
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
getattr(private_files, sys.argv[1])(Path(sys.argv[2]), b"new")
"""


@pytest.fixture
def _open_umask() -> Iterator[None]:
    former = os.umask(0)
    yield
    os.umask(former)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("_open_umask")
@pytest.mark.parametrize("write", [create_private_file, replace_private_file])
def test_only_its_owner_reads_a_file_and_enters_its_folder(
    write: Callable[[Path, bytes], object], tmp_path: Path
) -> None:
    path = tmp_path / "keys" / "key"
    write(path, b"secret")
    assert path.read_bytes() == b"secret"
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert names_in(path.parent) == ["key"], "no file is left beside it"


def test_a_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "key"
    assert create_private_file(path, b"first")
    assert not create_private_file(path, b"second")
    assert path.read_bytes() == b"first"
    assert names_in(tmp_path) == ["key"]


def test_replacing_takes_another_file_so_that_a_reader_keeps_the_whole_old_one(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"old and readable by all")
    path.chmod(0o644)
    with path.open("rb") as reader:
        replace_private_file(path, b"new")
        assert reader.read() == b"old and readable by all"
    assert path.read_bytes() == b"new"
    assert mode(path) == 0o600


def test_of_many_processes_that_race_one_creates_the_file_and_nothing_is_mixed(tmp_path: Path) -> None:
    path = tmp_path / "key"
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(path), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in "abcd"
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    said = [racer.communicate()[0].split() for racer in racers]
    (winner,) = [name for won, name in said if won == "True"]
    assert path.read_text() == winner * 100_000
    assert names_in(tmp_path) == ["key"]


@pytest.mark.parametrize("verb", ["create_private_file", "replace_private_file"])
def test_a_process_that_dies_while_it_writes_leaves_no_half_file(verb: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    if verb == "replace_private_file":
        path.write_bytes(b"old")
    died = subprocess.run([sys.executable, "-c", DEATH, verb, str(path)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert (path.read_bytes() if path.exists() else None) == (None if verb == "create_private_file" else b"old")
    assert all(mode(left) == 0o600 for left in tmp_path.iterdir() if left != path)
    replace_private_file(path, b"again")
    assert path.read_bytes() == b"again"


def test_a_disk_that_is_full_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        create_private_file(tmp_path / "key", b"secret")
    assert names_in(tmp_path) == []


def test_a_key_on_a_disk_that_cannot_be_written_is_only_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when an orchestrator mounts it."""
    signing = tokens.load_or_create_key(tmp_path / "access-token.pem")
    Sealer(tmp_path / "sealing.key").make()

    def read_only(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    for name in ("open", "link", "mkdir"):
        monkeypatch.setattr(os, name, read_only)
    again = tokens.load_or_create_key(tmp_path / "access-token.pem")
    assert again.thumbprint() == signing.thumbprint()
    assert Sealer(tmp_path / "sealing.key", create=True).active.key
