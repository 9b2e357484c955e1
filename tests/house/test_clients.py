"""Clients generated from `/openapi.json` are complete and work: one in Python, one in TypeScript."""

import asyncio
import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from carteira import demo
from carteira.cli import tokens
from carteira.kit.values.clock import clock
from carteira.modules import OPTIONAL_MODULES
from carteira.settings import Settings
from tests.support.contract import openapi_document
from tests.support.databases import NewDatabase
from tests.support.server import Server, running_server
from tests.support.source import ROOT

pytestmark = pytest.mark.timeout(600)
SUPPORT = ROOT / "tests" / "support" / "clients"
PYTHON_GENERATOR = ROOT / ".venv" / "openapi-python-client"
TYPESCRIPT = ROOT / ".venv" / "openapi-typescript" / "node_modules" / ".bin"
HOW_TO = ROOT / "docs" / "how-to" / "generate-a-client.md"
OPERATIONS = sum(len(item) for item in openapi_document()["paths"].values())


@pytest.fixture(scope="module")
def server(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    url = new_database("clients")
    asyncio.run(demo.seed(url, OPTIONAL_MODULES))
    with running_server(tmp_path_factory.mktemp("clients"), workers=1, database_url=url, log_level="error") as running:
        yield running


@pytest.fixture(scope="module")
def token(server: Server) -> str:
    here = Settings.model_validate({"carteira_home": server.home})
    return tokens.administrator(here, ["*"], timedelta(hours=1))


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("document") / "openapi.json"
    file.write_text(json.dumps(openapi_document()))
    return file


@pytest.fixture(scope="module")
def generated(document: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Generate the Python client; return the generator's output and the package."""
    if not PYTHON_GENERATOR.is_dir():
        pytest.skip("No openapi-python-client: `make clients` installs it")
    folder = tmp_path_factory.mktemp("python") / "carteira_client"
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", str(document), "--meta", "none"]
    said = subprocess.run(
        [*command, "--config", str(SUPPORT / "config.yml"), "--output-path", str(folder)],
        env=os.environ | {"PYTHONPATH": str(PYTHON_GENERATOR)},
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    sys.path.insert(0, str(folder.parent))
    yield said.stdout + said.stderr, folder
    sys.path.remove(str(folder.parent))


def test_the_client_of_python_is_generated_whole_and_without_a_warning(generated: tuple[str, Path]) -> None:
    said, folder = generated
    assert "arning" not in said, said
    assert "Skipping" not in said
    made = [file for file in (folder / "api").rglob("*.py") if file.name != "__init__.py"]
    assert len(made) == OPERATIONS
    assert not [file.name for file in made if re.search(r"[a-z]_(get|post|put|delete|patch)_?\d*\.py$", file.name)]


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """Close what a test opens."""
    with ExitStack() as stack:
        yield stack


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"carteira_client.{name}")


def test_the_client_of_python_reads_the_statement_of_a_month(
    generated: tuple[str, Path], server: Server, token: str, opened: ExitStack
) -> None:
    assert generated
    client = opened.enter_context(_module("client").AuthenticatedClient(base_url=server.url, token=token))
    statement = _module("api.benefits.get_benefit_statement")
    month = {"from_": clock.today().replace(day=1), "to": clock.today()}
    page: Any = statement.sync("123", client=client, **month)
    assert {line.category for line in page.items} >= {"FOOD", "MEAL"}
    assert all(isinstance(line.amount, int) for line in page.items)
    before: Any = statement.sync("123", client=client, to=date(2020, 1, 31))
    assert before.items == []
    problem: Any = statement.sync("nunca-houve", client=client)
    assert (type(problem).__name__, problem.code) == ("Problem", "benefit_account_not_found")


def test_the_client_of_python_sends_a_csv(
    generated: tuple[str, Path], server: Server, token: str, opened: ExitStack
) -> None:
    assert generated
    client = opened.enter_context(_module("client").AuthenticatedClient(base_url=server.url, token=token))
    file = _module("types").File(payload=io.BytesIO(b"code,amount,date,cpf\nNF-1,100000,2026-06-30,52998224725\n"))
    done: Any = _module("api.resellers.register_purchases").sync(client=client, body=file)
    assert [line.line for line in done.results] == [1]


def test_the_client_of_typescript_is_typed_and_reads_a_statement(
    document: Path, server: Server, token: str, tmp_path: Path
) -> None:
    generator, compiler, node = TYPESCRIPT / "openapi-typescript", TYPESCRIPT / "tsc", shutil.which("node")
    if node is None or not generator.exists():
        pytest.skip("No Node.js with openapi-typescript: `make clients` installs the latter")

    def run(*command: object) -> str:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    said = run(generator, document, "-o", tmp_path / "api.d.ts")
    assert "arn" not in said, said
    shutil.copy(SUPPORT / "statement.ts", tmp_path)
    (tmp_path / "node.d.ts").write_text("declare const process: { argv: string[] };\n")
    options = ["--strict", "--target", "es2022", "--module", "commonjs", "--lib", "es2022,dom"]
    run(compiler, *options, tmp_path / "statement.ts", tmp_path / "node.d.ts", tmp_path / "api.d.ts")
    lines = run(node, tmp_path / "statement.js", server.url, token, "123").splitlines()
    assert lines[-1] == "invalid_input form"
    assert len(lines) > 2
    assert all(re.fullmatch(r"[A-Z]+ -?\d+ \S+Z", line) for line in lines[:-1])


def test_the_page_states_the_generators_options() -> None:
    page = HOW_TO.read_text()
    for line in (SUPPORT / "config.yml").read_text().splitlines():
        assert line in page
