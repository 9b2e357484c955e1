"""`carteira worker` from outside: its state, its metrics and its log."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from carteira.embedded import Endpoints
from tests.support.databases import NewDatabase
from tests.support.server import clean_environment
from tests.support.waiting import wait_until
from tests.support.worker import Worker, running_worker

pytestmark = pytest.mark.integration


@pytest.fixture
def worker(tmp_path: Path, endpoints: Endpoints, new_database: NewDatabase) -> Iterator[Worker]:
    """A worker that has done its first round."""
    with running_worker(
        tmp_path,
        database_url=new_database("worker"),
        redis_url=endpoints.redis_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
        smtp_url=endpoints.smtp_url,
        metrics_token="a-token-of-prometheus",
    ) as worker:
        yield worker


def test_a_worker_reports_its_state_and_stops_cleanly(worker: Worker) -> None:
    bearer = {"authorization": "Bearer a-token-of-prometheus"}
    wait_until(lambda: "carteira_follower_lag_rows{" in worker.text("/metrics", **bearer), "the worker's first round")

    health, ready = worker.get("/health"), worker.get("/health/ready")
    assert health is not None
    assert ready is not None
    assert (health.json(), ready.json()) == (
        {"status": "ok"},
        {"status": "ready", "checks": {"database": True, "rounds": True}, "reasons": {}},
    )
    closed, unknown, scraped = worker.get("/metrics"), worker.get("/users"), worker.get("/metrics", **bearer)
    assert closed is not None
    assert unknown is not None
    assert scraped is not None
    assert (closed.status_code, unknown.status_code) == (401, 404)
    for name in ("\ncarteira_jobs_waiting ", "\ncarteira_jobs_failed 0.0", "carteira_follower_lag_rows{"):
        assert name in scraped.text

    assert worker.stop() == 0
    events = [line["event"] for line in worker.lines()]
    assert (events[0], events[-1]) == ("worker started", "worker stopped")


def test_a_taken_address_of_a_worker_is_reported_in_one_line(worker: Worker, tmp_path: Path) -> None:
    wait_until(lambda: worker.text("/health") != "", "the worker listens")
    env = clean_environment(tmp_path, worker_port=worker.port, database_url="postgresql://nobody@127.0.0.1:1/nowhere")
    second = subprocess.run([sys.executable, "-m", "carteira", "worker"], env=env, capture_output=True, check=False)
    assert second.returncode == 1
    assert second.stderr.decode().strip() == (
        f"Erro: não dá para escutar em 127.0.0.1:{worker.port} (o endereço já está em uso). "
        "Escolha outra porta com WORKER_PORT=8123."
    )
