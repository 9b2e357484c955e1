"""Commands of `carteira`, each in its own process, forked from one that has imported the product.

`carteira run` starts its processes the same way; a command started plainly imports for more than a second.
"""

import atexit
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from carteira.embedded.forks import ForkServer
from tests.support.server import clean_environment

SECONDS = 120


@cache
def _importer() -> ForkServer:
    """Start the process that this process's commands are forked from."""
    server = ForkServer([sys.executable, "-m", "tests.support.preloaded_command"])
    atexit.register(server.close)
    return server


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
        started = _importer().start([str(cwd or home), str(out), str(err), *words], environment)
        try:
            code = started.wait(SECONDS)
        finally:
            started.terminate()
        return subprocess.CompletedProcess(words, code, out.read_text("utf-8"), err.read_text("utf-8"))
