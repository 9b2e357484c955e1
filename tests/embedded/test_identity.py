"""The other tests run as root in a user namespace; these test the other ways to run PostgreSQL."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from carteira.embedded import EmbeddedServers, placement

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="LOUD: only root can change into another user to prove this"),
]

NOBODY = 65534


@pytest.fixture
def open_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that any user may enter, which pytest's own is not."""
    folder = Path("/var/tmp", f"carteira-{tmp_path.parents[0].name}-{os.getpid()}")  # noqa: S108 - the test removes it
    folder.mkdir(mode=0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def without_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "namespace_works", lambda _program, _folder: False)


def assert_runs_as_nobody(servers: EmbeddedServers) -> None:
    status = Path(f"/proc/{servers.postgres.pid}/status").read_text(encoding="utf-8")
    assert f"\nUid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}\n" in status
    with psycopg.connect(servers.endpoints.owner_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.usefixtures("without_namespaces")
def test_root_without_namespaces_becomes_nobody_with_data_in_the_home(open_folder: Path) -> None:
    with EmbeddedServers(open_folder / "home", redis=False, aws=False) as servers:
        assert_runs_as_nobody(servers)
        assert servers.postgres.placement.data == open_folder / "home" / "postgres"


@pytest.mark.usefixtures("without_namespaces")
def test_root_without_namespaces_under_a_closed_folder_uses_a_common_one(
    open_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "COMMON_FOLDER", open_folder / "common")
    monkeypatch.setattr(placement, "_reachable", lambda _folder: False)  # neither the home nor the wheel
    for _ in ("cold", "warm"):
        with EmbeddedServers(tmp_path, redis=False, aws=False) as servers:
            assert_runs_as_nobody(servers)
            assert servers.postgres.placement.data.is_relative_to(open_folder / "common")
            assert servers.postgres.placement.programs.is_relative_to(open_folder / "common")


def test_data_made_as_nobody_is_taken_over_in_a_namespace(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not placement.namespace_works(Path("/bin/true"), open_folder):
        pytest.skip("LOUD: user namespaces are off on this machine")
    with monkeypatch.context() as patch:
        patch.setattr(placement, "namespace_works", lambda _program, _folder: False)
        with EmbeddedServers(open_folder, redis=False, aws=False) as servers:
            assert_runs_as_nobody(servers)
    with EmbeddedServers(open_folder, redis=False, aws=False) as servers:
        assert servers.postgres.placement.run_as == "namespace"


def run_as_nobody(python: str, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code with this environment's packages, as a user who does not own its Python."""
    paths = [Path(__file__).parents[2] / "src", Path(psycopg.__file__).parents[1]]
    return subprocess.run(
        [python, "-c", code, *arguments],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        check=False,
        cwd="/",
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(map(str, paths)), "PATH": os.defpath},
    )


def python_for_everyone() -> str:
    """A Python of our version that an ordinary user may run: ours, or the system's if ours is in root's home."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, shutil.which(version, path="/usr/bin:/usr/local/bin")):
        try:
            if python and run_as_nobody(python, "import carteira.embedded").returncode == 0:
                return python
        except PermissionError:
            continue
    pytest.skip("LOUD: an ordinary user can run no Python with these packages here")


def test_ordinary_user(open_folder: Path) -> None:
    os.chown(open_folder, NOBODY, NOBODY)
    code = """
import os, sys
from pathlib import Path
from carteira.embedded import EmbeddedServers
for _ in ("cold", "warm"):
    with EmbeddedServers(Path(sys.argv[1]) / "home") as servers:
        assert servers.postgres.placement.run_as == "same"
print("ok", os.getuid())
"""
    done = run_as_nobody(python_for_everyone(), code, str(open_folder))
    assert done.stdout.strip() == f"ok {NOBODY}", done.stderr
