"""rsyslog, configured as `docs/how-to/run-several-machines.md` says, sends lines to a collector over TLS.

The lines come from a file in the place of systemd's journal, and the collector is this test's own.
"""

import re
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.guides import replaced
from tests.support.source import ROOT

PAGE = ROOT / "docs" / "how-to" / "run-several-machines.md"
RSYSLOG = shutil.which("rsyslogd", path="/usr/bin:/usr/sbin")
MODULE = 'module(load="imjournal" StateFile="imjournal.state")'
LINE = '{"event": "request", "route": "/health"}'

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        RSYSLOG is None or not any(Path("/usr/lib").glob("*/rsyslog/lmnsd_gtls.so")),
        reason="NO rsyslog: its configuration was not tried (`make proxies`)",
    ),
]


def configuration(folder: Path, port: int) -> str:
    """Return the page's, with this test's folder, authority, collector, and file of lines."""
    (found,) = re.findall(r"^```\n(global\(.*?)```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    given = {
        "/var/spool/rsyslog": str(folder),
        "/etc/ssl/certs/ca-certificates.crt": str(folder / "root.crt"),
        MODULE: f'module(load="imfile")\ninput(type="imfile" File="{folder}/lines" Tag="carteira")',
        "logs.exemplo.com.br": "localhost",
        "6514": str(port),
    }
    return replaced(str(found), given)


def received(collector: socket.socket, folder: Path) -> bytes:
    """Accept one connection as the collector; return what it sends, up to the end of a line that this test wrote."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "collector.crt", folder / "collector.key")
    with context.wrap_socket(collector.accept()[0], server_side=True) as connection:
        connection.settimeout(60)
        brought = b""
        while LINE.encode() not in brought and (more := connection.recv(65_536)):
            brought += more
        return brought


def test_a_line_reaches_the_collector_over_tls(tmp_path: Path) -> None:
    Authority(tmp_path).issue("collector", "localhost")
    (tmp_path / "lines").write_text(f"{LINE}\n")
    file = tmp_path / "rsyslog.conf"
    assert RSYSLOG is not None
    with socket.create_server(("127.0.0.1", 0)) as collector, (tmp_path / "told").open("w") as told:
        collector.settimeout(60)
        file.write_text(configuration(tmp_path, collector.getsockname()[1]))
        rsyslog = subprocess.Popen([RSYSLOG, "-n", "-f", str(file), "-i", str(tmp_path / "pid")], stderr=told)
        try:
            assert LINE.encode() in received(collector, tmp_path)
        finally:
            rsyslog.terminate()
            rsyslog.wait(60)
    assert "disk queue" not in (tmp_path / "told").read_text()
