"""The command line: `carteira run` starts everything; the other commands serve operators and containers.

Commands import what they need when they run: most need little, and the whole product takes seconds to import.
"""

import os
import sys
import time

STARTED = time.monotonic()
"""When the process began, after Python's own start."""


def main() -> None:
    """Run the command line; for `carteira run` the product is imported beside everything else."""
    os.umask(0o077)
    if sys.argv[1:] == ["run"]:
        from carteira.cli import preloading

        preloading.begin()
    from carteira.cli import commands

    commands.main()
