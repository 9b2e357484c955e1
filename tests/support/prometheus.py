"""A real Prometheus with the configuration of `deploy/monitoring/`, with its times shortened."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from carteira.embedded import free_port
from tests.support.source import ROOT
from tests.support.waiting import wait_until

MONITORING = ROOT / "deploy" / "monitoring"
WINDOWS = {"5m": "10s", "15m": "60s", "30m": "15s", "1h": "20s", "2h": "25s", "6h": "30s", "1d": "35s", "3d": "40s"}
Told = dict[str, set[str]]
"""The alerts that each receiver was notified of."""


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **params: str) -> Any:  # noqa: ANN401 - any JSON
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=params, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        alerts = self.ask("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def value(self, expression: str) -> float | None:
        """Return the first value of an expression."""
        found = self.ask("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else None


def shortened(rules: str) -> str:
    """Return rules that look back for seconds in place of minutes and wait for 1 s; the thresholds stay."""
    rules = re.sub(r"^(\s+for:) \w+$", r"\1 1s", rules, flags=re.MULTILINE)
    return re.sub(r"(\[|offset )(\d+[mhd])\b", lambda window: window[1] + WINDOWS[window[2]], rules)


def _configuration(folder: Path, targets: Mapping[str, int], token: str, alertmanager: int) -> Path:
    """Write the documented configuration with these ports, and with its optional token switched on."""
    text = (MONITORING / "prometheus.yml").read_text()
    text = re.sub(r"^    # (.*)$", r"    \1", text, flags=re.MULTILINE)
    (folder / "token").write_text(token)
    text = text.replace("/etc/prometheus/carteira-metrics-token", str(folder / "token"))
    text = re.sub(r"(_interval:) 15s", r"\1 1s", text)
    assert '"localhost:9093"' in text
    text = text.replace('"localhost:9093"', f'"127.0.0.1:{alertmanager}"')
    for job, port in targets.items():
        if f"job_name: {job}\n" not in text:
            text += f'  - job_name: {job}\n    static_configs:\n      - targets: ["localhost:0"]\n'
        before, name, after = text.partition(f"job_name: {job}\n")
        text = before + name + re.sub(r'"localhost:\d+"', f'"127.0.0.1:{port}"', after, count=1)
    (folder / "alerts.yml").write_text(shortened((MONITORING / "alerts.yml").read_text()))
    (folder / "prometheus.yml").write_text(text)
    return folder / "prometheus.yml"


def is_installed() -> bool:
    return shutil.which("prometheus") is not None


@contextmanager
def running_prometheus(
    folder: Path, targets: Mapping[str, int], *, token: str, alertmanager: int
) -> Iterator[Prometheus]:
    """Run Prometheus over these jobs' ports until the end of the block."""
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={_configuration(folder, targets, token, alertmanager)}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: _is_ready(url, process, folder), "Prometheus answers")
            yield Prometheus(url)
        finally:
            process.terminate()
            process.wait(20)


def _is_ready(url: str, process: subprocess.Popen[bytes], folder: Path) -> bool:
    assert process.poll() is None, (folder / "prometheus.log").read_text()
    try:
        return httpx.get(f"{url}/-/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def running_alertmanager(folder: Path) -> Iterator[tuple[int, Told | None]]:
    """Run Alertmanager with the documented configuration and keep its notifications; None where it is not installed."""
    port = free_port()
    if shutil.which("prometheus-alertmanager") is None:
        yield port, None
        return
    told: Told = {"page": set(), "ticket": set()}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told[self.path.removeprefix("/")] |= {alert["labels"]["alertname"] for alert in message["alerts"]}
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        text = (MONITORING / "alertmanager.yml").read_text()
        text = text.replace("http://localhost:9095", f"http://127.0.0.1:{server.server_port}")
        text = re.sub(r"(group_(?:wait|interval):) \w+", r"\1 1s", text)
        (folder / "alertmanager.yml").write_text(text)
        command = [
            "prometheus-alertmanager",
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]
        with (folder / "alertmanager.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
            try:
                yield port, told
            finally:
                process.terminate()
                process.wait(20)
                server.shutdown()
                thread.join()


@contextmanager
def recorded_metrics() -> Iterator[tuple[int, list[str]]]:
    """Serve lines of metrics that a test records, on a port of its own."""
    lines = ["# recorded"]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = ("\n".join(lines) + "\n").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port, lines
        server.shutdown()
        thread.join()
