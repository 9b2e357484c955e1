"""Processes of `carteira`, forked from one that has imported the product, as `carteira run` starts its own.

A process that is started plainly imports for seconds.
"""

import atexit
import os
import signal
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from carteira.embedded.forks import ForkedProcess, ForkServer


class Process(ForkedProcess):
    """A started process, with what tests do to one."""

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@cache
def _importer() -> ForkServer:
    """Start the process that this process's commands are forked from."""
    server = ForkServer([sys.executable, "-m", "tests.support.preloaded_command"])
    atexit.register(server.close)
    return server


def start(words: tuple[str, ...], environment: Mapping[str, str], folder: Path, out: Path, err: Path) -> Process:
    """Start a command in a folder, with its output added to files."""
    importer = _importer()
    return Process(importer, importer.start([str(folder), str(out), str(err), *words], environment).pid)
