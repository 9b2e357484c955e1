"""`docs/how-to/run-in-compose.md`, block by block in one shell: a purchase `00`, an upload, production with TLS."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.containers import Podman
from tests.support.server import free_port
from tests.support.source import ROOT, files_of_the_house

PAGE = ROOT / "docs" / "how-to" / "run-in-compose.md"
PORTS = ("PORT", "MAIL_PORT", "PIX_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT", "HTTP_PORT", "HTTPS_PORT")
LEFT_OUT = 3
"""Blocks of the page that no script can follow, each with the reason."""

pytestmark = pytest.mark.timeout(1500)


@pytest.fixture
def sources() -> Iterator[Path]:
    """A copy of the sources that may hold secrets and settings."""
    folder = Path(tempfile.mkdtemp(prefix="carteira-compose-"))
    try:
        for file in files_of_the_house():
            copy = folder / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copy)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def script() -> str:
    """Return the page's blocks as one script that ends at the first command that fails."""
    text = PAGE.read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(re.findall(r"^```console$", text, re.MULTILINE)) == len(re.findall(r"\(Left out: ", text)) == LEFT_OUT
    return "set -euo pipefail\n" + "\n".join(f"echo '== block {at}'\n{block}" for at, block in enumerate(blocks, 1))


def test_the_page_leads_to_a_purchase_an_upload_and_to_production(podman: Podman, sources: Path) -> None:
    podman.make_standins()
    given = {name: str(free_port()) for name in PORTS} | {
        "SMTP_URL": "smtp://mail:1025",
        "SMTP_INSECURE": "true",
        "SERVICE": "prometheus alertmanager",
        "NETWORK": "172.31.243.0/24",
    }
    file = sources / "page.sh"
    file.write_text(script())
    done = subprocess.run(
        ["bash", str(file)],
        cwd=sources,
        env=podman.environment | given,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    told = done.stdout
    assert done.returncode == 0, f"{told[-3000:]}\n{done.stderr[-2000:]}\n{podman('ps', '--all')}"
    assert '{"code":"00"}' in told
    assert re.search(r'"file_name":"cnh.png".*"version":1', told)
    assert re.search(r'"state":"paid"', told), "the stand-in's payment was found"
    assert "Prometheus Server is Ready" in told
    assert len(re.findall(r'"status":"ready"', told)) == 2
    assert "ENVIRONMENT=production" in told
    assert "/auth/invitation?token=" in told
    assert podman("ps", "--quiet") == "", "what was started is stopped"
