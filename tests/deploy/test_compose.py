"""`docs/how-to/run-in-compose.md`, block by block in one shell: a purchase `00`, an upload, production with TLS.

The page is followed with a collector set, which is this test's own: traces leave the images and arrive whole.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.containers import Podman
from tests.support.guides import script_of
from tests.support.otlp import Receiver, is_whole, receiving
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


def test_the_page_leads_to_a_purchase_an_upload_and_to_production(podman: Podman, sources: Path) -> None:
    podman.make_standins()
    given = {name: str(free_port()) for name in PORTS} | {
        "SMTP_URL": "smtp://mail:1025",
        "SMTP_INSECURE": "true",
        "SERVICE": "prometheus alertmanager",
        "NETWORK": "172.31.243.0/24",
    }
    file = sources / "page.sh"
    file.write_text(script_of(PAGE, LEFT_OUT))
    with receiving("0.0.0.0") as receiver:  # noqa: S104 - containers reach this machine by their network
        given["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://host.containers.internal:{urlsplit(receiver.http_url).port}"
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
    assert re.search(r'"value":\[[\d.]+,"[1-9]', told), "Prometheus has read the purchase"
    assert len(re.findall(r'"status":"ready"', told)) == 2
    assert "ENVIRONMENT=production" in told
    assert "/auth/invitation?token=" in told
    assert re.search(r'"value":\[[\d.]+,"1"', told.partition("/auth/invitation?token=")[2]), (
        "with the token of /metrics"
    )
    assert podman("ps", "--quiet") == "", "what was started is stopped"
    traces_are_whole(receiver)


def traces_are_whole(receiver: Receiver) -> None:
    """Look for the page's traces: a purchase with who followed it, an upload to S3, a charge at the provider."""
    (purchase,) = receiver.named("POST /transactions/authorizer")
    assert purchase.attributes["authorizer.code"] == "00"
    (upload,) = receiver.named("POST /documents")
    (charge,) = receiver.named("POST /payments/charges")
    caused = {"batch", "follower credit.benefits"}, {"PUT segment"}, {"PUT"}
    for served, expected in zip((purchase, upload, charge), caused, strict=True):
        spans = receiver.of(served.trace)
        assert is_whole(spans), served.name
        assert expected <= {span.name for span in spans}
