"""The source stays small, imports go down only, and it contains nothing of the machine on which it was written."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from carteira import schema
from tests.support.source import ROOT, SOURCE, files_of_the_house, functions_of

LONGEST_FUNCTION, LONGEST_FILE = 70, 600
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder / "src"), "COLUMNS": "200"},
        check=False,
        capture_output=True,
        text=True,
    )


def test_imports_go_down_only() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("kit/values/money.py", "from carteira import ledger"),
        ("kit/db/engine.py", "from carteira.kit.web import problems"),
        ("kit/shelf.py", "from carteira.kit.values import ids"),
        ("ledger/book.py", "from carteira import benefits"),
        ("ledger/book.py", "from carteira import settings"),
        ("benefits/errors.py", "from carteira.ledger.models import LedgerEntry"),
        ("app.py", "from carteira.ledger import service"),
        ("app.py", "from carteira import embedded"),
        ("stranger.py", "from carteira import ledger"),
    ],
)
def test_the_contract_detects_forbidden_imports(tmp_path: Path, file: str, line: str) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(SOURCE, tmp_path / "src" / "carteira", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "src" / "carteira" / file).open("a") as target:
        target.write(f"\n{line}\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr


def test_functions_fit_a_screen_and_files_a_sitting() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {lines} lines"
        for path in SOURCE.rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > LONGEST_FILE
    ]
    long += [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}: {lines} lines"
        for path in SOURCE.rglob("*.py")
        for function in functions_of(path)
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > LONGEST_FUNCTION
    ]
    assert not long


def test_only_the_edge_commits() -> None:
    committing = {
        path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py") if ".commit(" in path.read_text()
    }
    assert committing <= {"kit/db/engine.py"}


# Written in parts, so that the search does not find this file.
FOREIGN = {
    "a registry's address": r"pypi\.(org|python)|pythonhosted\.(org|com)|registry\.(npmjs|yarnpkg)\.",
    "a path of this machine": r"(?<![\w.])/(work|root|home/\w+|Users/\w+)/",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a cloud key": r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
    "a service's token": r"\b(gh[pousr]_[A-Za-z0-9]{36}|xox[abprs]-[\w-]{10,}|sk-[A-Za-z0-9]{40,})\b",
    "a signed token": r"\beyJ[\w-]{20,}\.eyJ[\w-]{20,}\.",
    "a conflict": r"^(<{7}|>{7}) ",
}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_no_file_holds_the_content_of_another() -> None:
    found = []
    for path in files_of_the_house():
        try:
            content = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}:{number}: {what}"
            for number, line in enumerate(content.splitlines(), 1)
            for what, pattern in FOREIGN.items()
            if path != Path(__file__) and re.search(pattern, line)
        ]
    assert not found


SUPPRESSED = re.compile(r"# (?:noqa: |type: ignore\[).*")
REASON = re.compile(
    r"# (?:noqa: [A-Z]+[0-9]+(?:, [A-Z]+[0-9]+)* - (?P<why>.+)|type: ignore\[[a-z-]+(?:, ?[a-z-]+)*\] # (?P<what>.+))"
)


def test_each_ignored_lint_has_its_own_reason() -> None:
    unsaid = []
    for folder in ("src", "tests", "benchmarks", "tools", "migrations", "deploy"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                suppressed = SUPPRESSED.search(line)
                reason = REASON.search(line)
                why = (reason["why"] or reason["what"]).strip() if reason else ""
                if suppressed and path != Path(__file__) and why in {"", "the same", "as above"}:
                    unsaid.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not unsaid


def test_migrations_state_the_needs_of_the_former_release() -> None:
    said, silent = re.compile(r"^Former release: \S.*\.$", re.MULTILINE), []
    for path in sorted((ROOT / "migrations" / "versions").glob("[0-9]*.py")):
        told = ast.get_docstring(ast.parse(path.read_text())) or ""
        if path.name[:4] > schema.SERVES_SINCE and not said.search(told):
            silent.append(path.name)
    assert not silent
