"""The processor time of the product while no requests come, and the seconds until it answers.

`make bench-idle` starts `carteira run` in a home of its own, twice: the first start creates the data, the second one is
measured. Processor time is what the kernel counts for each process and its children (`utime` and `stime`).
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped] # it has no types

from benchmarks.stage import await_health
from carteira.embedded import free_port

SETTLED_SECONDS = 30.0
"""Seconds to wait after a start, for work that is done once."""
STOP_SECONDS = 60.0
_SERVERS = {
    "carteira serve": "server",
    "carteira worker": "worker",
    "carteira sandbo": "cashback service's stand-in",
    "postgres": "PostgreSQL",
    "valkey-server": "Valkey",
    "roto-server": "roto-aws",
}


@contextmanager
def running(home: Path) -> Iterator[tuple[psutil.Process, float]]:
    """Run the product; yield its supervisor, and the seconds until the server answered."""
    port = free_port()
    environment = {**os.environ, "CARTEIRA_HOME": str(home), "PORT": str(port), "PYTHONDONTWRITEBYTECODE": ""}
    began = time.monotonic()
    with (home / "run.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "carteira", "run"], env=environment, stdout=log, stderr=log)
    try:
        await_health(f"http://127.0.0.1:{port}/health", 300)
        yield psutil.Process(process.pid), time.monotonic() - began
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)


def times(supervisor: psutil.Process) -> dict[str, float]:
    """Return the processor time that each part has taken so far; PostgreSQL's with its backends."""
    taken: dict[str, float] = {}
    for process in [supervisor, *supervisor.children(recursive=True)]:
        name = _name(process, supervisor)
        used = process.cpu_times()
        # The time of a backend that has ended counts with the process that waited for it.
        taken[name] = taken.get(name, 0.0) + used.user + used.system
        if name == "PostgreSQL":
            taken[name] += used.children_user + used.children_system
    return taken


def _name(process: psutil.Process, supervisor: psutil.Process) -> str:
    if process == supervisor:
        return "supervisor"
    name = process.name()
    if name in _SERVERS:
        return _SERVERS[name]
    return "mail" if "aiosmtpd" in process.cmdline() else "fork server"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--settled", type=float, default=SETTLED_SECONDS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="carteira-idle-") as folder:
        home = Path(folder)
        with running(home):
            pass
        with running(home) as (supervisor, seconds):
            time.sleep(arguments.settled)
            before, began = times(supervisor), time.monotonic()
            time.sleep(arguments.seconds)
            after, lasted = times(supervisor), time.monotonic() - began
        print(f"answered after {seconds:.1f} s; load {os.getloadavg()[0]:.1f}\n")
        print("| part | % of a processor |\n| --- | --: |")
        for name in sorted(after, key=lambda name: before.get(name, 0.0) - after[name]):
            print(f"| {name} | {(after[name] - before.get(name, 0.0)) / lasted * 100:.2f} |")


if __name__ == "__main__":
    main()
