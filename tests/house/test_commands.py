"""The commands that the README shows exist, and the checks run them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from carteira.cli.commands import app
from tests.support.source import ROOT

TARGETS = set(re.findall(r"^([a-z0-9-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))
TEXTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def commands() -> set[str]:
    """Return every command of `carteira`."""
    return {name for name, command in vars(typer.main.get_command(app))["commands"].items() if not command.hidden}


def code_spans(text: str) -> str:
    """Return what a text sets in code."""
    blocks = re.findall(r"^```.*?$(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return "\n".join(blocks + re.findall(r"`([^`\n]+)`", text))


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_documented_command_exists(path: Path) -> None:
    code = code_spans(path.read_text())
    assert set(re.findall(r"(?:^|\s)make ([a-z][a-z0-9-]*)", code, re.MULTILINE)) <= TARGETS
    assert set(re.findall(r"(?:^|[\s/])carteira ([a-z][a-z-]*)", code, re.MULTILINE)) <= commands()


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_are_found_as_they_are_pasted(path: Path) -> None:
    shells = r"^```(?:sh|console|bash)\b[^\n]*$(.*?)^```"
    blocks = "\n".join(re.findall(shells, path.read_text(), re.MULTILINE | re.DOTALL))
    bare = re.search(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*carteira ", blocks, re.MULTILINE)
    assert bare is None or re.search(r"\.venv/bin:\$PATH|^carteira\(\) \{", blocks[: bare.start()], re.MULTILINE)


def test_the_readme_starts_and_tests_with_make() -> None:
    told = set(re.findall(r"\bmake ([a-z-]+)", (ROOT / "README.md").read_text()))
    assert {"run", "test"} <= told


def test_the_checks_run_the_developers_commands() -> None:
    run = re.findall(r"\bmake ([a-z -]+)", (ROOT / ".ci" / "run").read_text())
    called = {target for line in run for target in line.split()}
    assert {"check", "test"} <= called <= TARGETS


def test_every_target_explains_itself() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*(?:\\\n.*)*)", makefile, re.MULTILINE)
    assert phony
    declared = set(phony[1].replace("\\\n", " ").split())
    explained = set(re.findall(r"^([a-z0-9-]+):.*## \S", makefile, re.MULTILINE))
    assert declared == explained


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make on our Makefile with a clean environment: `make test` may have started this process."""
    makefile = str(ROOT / "Makefile")
    shell = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    return subprocess.run(
        ["make", "-f", makefile, *arguments],
        cwd=folder,
        env=shell,
        check=False,
        capture_output=True,
        text=True,
    )


def test_a_python_that_is_too_old_is_reported_in_one_sentence(tmp_path: Path) -> None:
    done = make(tmp_path, "install", "PYTHON=/bin/false")
    assert done.returncode != 0
    assert done.stdout == "Carteira needs Python 3.11 or newer, and /bin/false is not: set PYTHON=/path/to/python3.11\n"


def test_a_broken_environment_is_reported_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to("/nonexistent")
    done = make(tmp_path, "install", f"PYTHON={sys.executable}")
    assert done.returncode != 0
    assert done.stdout == ".venv is broken, or its Python older than 3.11: remove it by `make clean` and try again\n"


def test_cleaning_up_leaves_data_and_keys_alone(tmp_path: Path) -> None:
    for name in (".carteira/keys", ".venv", ".mypy_cache"):
        (tmp_path / name).mkdir(parents=True)
    assert make(tmp_path, "clean").returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == [".carteira"]


def test_the_command_line_starts_without_its_commands_imports() -> None:
    late = {"alembic", "fastapi", "sqlalchemy", "carteira.app"}
    code = f"import sys, carteira.cli.commands; print(*({late} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
