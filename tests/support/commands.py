"""Commands of `carteira`: each in its own process, or in this one."""

import asyncio
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner, Result

from carteira.settings import Settings
from tests.support import processes
from tests.support.server import SOURCE, clean_environment

SECONDS = 120


def run_command(
    home: Path,
    settings: Mapping[str, object],
    *words: str,
    cwd: Path | None = None,
    columns: int | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in its home or in another folder, and return its output.

    Raises:
        subprocess.TimeoutExpired: it takes more than two minutes.
    """
    environment = clean_environment(home, **settings) | ({"COLUMNS": str(columns)} if columns else {})
    with tempfile.TemporaryDirectory(prefix="carteira-command-") as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        metrics = {"PROMETHEUS_MULTIPROC_DIR": folder}  # a forked process keeps its metrics in files
        started = processes.start(words, metrics | environment, cwd or home, out, err)
        try:
            code = started.wait(SECONDS)
        finally:
            started.terminate()
        return subprocess.CompletedProcess(words, code, out.read_text("utf-8"), err.read_text("utf-8"))


def set_environment(patch: pytest.MonkeyPatch, settings: Settings, folder: Path) -> None:
    """Give commands in this process, and its children, an installation's stores; the folder has no `.env`."""
    backup_role = settings.backup_database_url
    values = {
        "CARTEIRA_HOME": str(settings.carteira_home),
        "DATABASE_URL": settings.database(),
        "REDIS_URL": settings.redis(),
        "AWS_ENDPOINT_URL": settings.aws_endpoint_url,
        "CREDIT_TABLE": settings.credit_table,
        "BACKUP_URL": settings.backup_url,
        "BACKUP_FORM": settings.backup_form,
        "BACKUP_RECIPIENTS": settings.backup_recipients,
        "BACKUP_DATABASE_URL": None if backup_role is None else backup_role.get_secret_value(),
        "ERASURE_JOURNAL_URL": settings.erasure_journal_url,
        "PYTHONPATH": SOURCE,
    }
    for name, value in values.items():
        if value is not None:
            patch.setenv(name, value)
    patch.chdir(folder)


async def typed(command: Typer, *words: str, answer: str = "") -> Result:
    """Run a command in a thread of this process, and answer what it asks."""
    return await asyncio.to_thread(CliRunner().invoke, command, words, input=answer)
