"""`docs/how-to/run-in-compose.md`, block by block in one shell: a purchase `00`, uploads, production with TLS.

The page is followed with a collector set, which is this test's own: traces leave the images and arrive whole. Between
its blocks the test looks at the running containers: one image is missing before `make up`, Compose's Prometheus answers
all that dashboards ask, and `make logs` prints. From outside come only ports, and what a missing registry requires:
images' names, and flags for building.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from carteira.embedded import free_port
from tests.support.containers import TOOLS, Podman
from tests.support.dashboards import Scene, happen, has_data, proofs
from tests.support.guides import Terminal, blocks_to_paste
from tests.support.otlp import Receiver, Seen, is_whole, receiving
from tests.support.prometheus import Prometheus
from tests.support.source import ROOT, files_of_the_house
from tests.support.waiting import wait_until

PAGE = ROOT / "docs" / "how-to" / "run-in-compose.md"
PORTS = ("PORT", "MAIL_PORT", "PIX_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT", "HTTP_PORT", "HTTPS_PORT")
LEFT_OUT = 4
"""Blocks of the page that no script can follow, each with the reason."""
BLOCK_SECONDS = 900.0
NOT_COUNTED = ("carteira_pending_operations", 'status=~"5..')
"""Beside those of all worlds: no limit requires a second person, and no service is down."""
WINDOW = "2m"
"""At least four of Compose's intervals."""

pytestmark = pytest.mark.timeout(1800)


@dataclass(frozen=True)
class Reader:
    """Somebody who follows the page: their folder and environment."""

    folder: Path
    environment: dict[str, str]

    def run(self, *words: str) -> str:
        """Run a command beside the page; return what it prints."""
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout.strip()

    def execute(self, service: str, *words: str) -> str:
        """Run a command in a service's container."""
        return self.run(*self.run("make", "-s", "compose").split(), "exec", "-T", service, *words)

    def url(self, port: str) -> str:
        return f"http://127.0.0.1:{self.environment[port]}"


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


def test_the_page_leads_to_a_purchase_uploads_and_to_production(podman: Podman, sources: Path) -> None:
    podman.make_standins()
    podman("untag", "localhost/carteira")
    given = {name: str(free_port()) for name in PORTS} | {
        "PATH": f"{TOOLS}:{os.environ['PATH']}",
        "SMTP_URL": "smtp://mail:1025",
        "SMTP_INSECURE": "true",
        "SERVICE": "prometheus alertmanager",
        "NETWORK": "172.31.243.0/24",
    }
    with receiving("0.0.0.0") as receiver:  # noqa: S104 - containers reach this machine by their network
        given["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://host.containers.internal:{urlsplit(receiver.http_url).port}"
        reader = Reader(sources, podman.environment | given)
        told = followed(podman, reader)
    assert '{"code":"00"}' in told
    assert re.search(r'"file_name":"cnh.png".*"version":1', told)
    assert re.search(r'"opened":1', told), "the worker opened the file's account"
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


def followed(podman: Podman, reader: Reader) -> str:
    """Paste the page's blocks, and look at the containers in between; return what the shell printed."""
    terminal = Terminal(reader.folder, reader.environment)
    looked = 0
    try:
        for block in blocks_to_paste(PAGE, LEFT_OUT):
            terminal.paste(block, BLOCK_SECONDS)
            if "\nmake up\n" in block:
                assert podman.has("localhost/carteira"), "`make up` built the missing image"
            if block.startswith("make monitoring\n"):
                look_at_logs(reader)
                look_at_dashboards(reader)
                looked += 1
    except AssertionError:
        print(podman("ps", "--all"))  # noqa: T201 - pytest shows it where the test fails
        raise
    finally:
        terminal.close()
    assert looked == 1
    return terminal.told


def look_at_logs(reader: Reader) -> None:
    """`make logs` prints the API's lines, and follows them until it is ended."""
    file = reader.folder / "logs"
    with file.open("wb") as output:
        logs = subprocess.Popen(
            ["make", "-s", "logs", "SERVICE=api"],
            cwd=reader.folder,
            env=reader.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(lambda: '"event":"request"' in file.read_text(), "a line of the API", 60)
        httpx.get(reader.url("PORT") + "/not-there-before")
        wait_until(lambda: '"status":404' in file.read_text(), "the line of a later request", 60)
        assert logs.poll() is None, "it follows"
    finally:
        os.killpg(logs.pid, signal.SIGINT)
        logs.wait(30)


def look_at_dashboards(reader: Reader) -> None:
    """Compose's own Prometheus has its targets, rules and Alertmanager, and data for each query of each dashboard."""
    prometheus = Prometheus(reader.url("PROMETHEUS_PORT"))
    targets = {one["labels"]["job"]: one["health"] for one in prometheus.ask("targets")["activeTargets"]}
    assert targets.keys() == {"carteira", "carteira-worker"}
    alerts = (reader.folder / "deploy" / "monitoring" / "alerts.yml").read_text()
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == len(re.findall(r"^      - (?:alert|record): ", alerts, re.MULTILINE))
    assert [one["url"] for one in prometheus.ask("alertmanagers")["activeAlertmanagers"]] == [
        "http://alertmanager:9093/api/v2/alerts"
    ]
    with httpx.Client(base_url=reader.url("PORT"), timeout=60) as client:
        scene = Scene(
            client,
            {"Authorization": f"Bearer {reader.execute('api', 'carteira', 'token', '--claims', '*')}"},
            {"Authorization": f"Bearer {reader.execute('api', 'carteira', 'token', '--processor')}"},
            reader.url("PIX_PORT"),
            lambda task: run_job(reader, task),
        )
        happen(scene)
        wait_until(lambda: has_data(prometheus, "carteira_cpf_proofs_total"), "the first round is read", 60)
        happen(scene)
    lacking = proofs(NOT_COUNTED)

    def is_complete() -> bool:
        lacking[:] = [one for one in lacking if not has_data(prometheus, one, WINDOW)]
        time.sleep(1)
        return not lacking

    try:
        wait_until(is_complete, "all that dashboards ask has data", 150)
    except AssertionError as error:
        raise AssertionError("\n".join(["no data:", *lacking])) from error
    assert prometheus.value("min(up)") == 1


def run_job(reader: Reader, task: str) -> None:
    """Order a job of the worker, as the owner of the machine can."""
    order = f"""INSERT INTO procrastinate_jobs (queue_name, task_name, args)
                VALUES ('default', '{task}', '{{"timestamp": {int(time.time())}}}')"""
    shell = ("psql", "--quiet", "--host=/var/run/postgresql", "--username=postgres", "--dbname=carteira")
    reader.execute("database", *shell, f"--command={order}")


def traces_are_whole(receiver: Receiver) -> None:
    """Look for the page's traces: a purchase, a file and its job, a document in S3, a charge at the provider."""
    caused = {
        "POST /transactions/authorizer": {"batch", "follower credit.benefits"},
        "POST /benefits/accounts/bulk": {"job benefits:import_accounts"},
        "POST /documents": {"PUT segment"},
        "POST /payments/charges": {"PUT"},
    }
    for name, expected in caused.items():
        served = min(receiver.named(name), key=lambda one: one.started)
        spans = receiver.of(served.trace)
        assert is_whole(spans), name
        assert expected <= {span.name for span in spans}, name
    first = min(receiver.named("POST /transactions/authorizer"), key=lambda one: one.started)
    assert first.attributes["authorizer.code"] == "00"
    (job,) = [one for one in receiver.of(upload_of(receiver).trace) if one.name.startswith("job ")]
    assert job.kind == "consumer", "another container's process"


def upload_of(receiver: Receiver) -> Seen:
    (served,) = receiver.named("POST /benefits/accounts/bulk")
    return served
