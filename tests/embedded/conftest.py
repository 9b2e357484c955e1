import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TIMEOUT_SECONDS = 30
OWNER_PROGRAM = Path(__file__).with_name("owner.py")


def is_alive(pid: int) -> bool:
    """Return whether a process lives and is no zombie: init reaps those that an ended owner leaves, in its own time."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Owner:
    """Another process that owns a home, as `carteira run` does."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, str(OWNER_PROGRAM), *arguments]
        source = str(Path(__file__).parents[2] / "src")
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": source}
        )

    def read(self) -> dict[str, str]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the owner ended with {self.process.wait()}"
        answer: dict[str, str] = json.loads(line)
        return answer

    def read_until(self, kind: str, name: str) -> dict[str, str]:
        while (event := self.read()).get("kind") != kind or event["name"] != name:
            pass
        return event

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT_SECONDS)


@pytest.fixture
def own() -> Iterator[Callable[..., Owner]]:
    owners: list[Owner] = []

    def start(*arguments: str) -> Owner:
        owners.append(Owner(*arguments))
        return owners[-1]

    yield start
    for owner in owners:
        owner.process.kill()
        owner.process.communicate()
