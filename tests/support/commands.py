"""Commands of `carteira`, each in its own process."""

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.support import processes
from tests.support.server import clean_environment

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
