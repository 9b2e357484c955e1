"""`make coverage`: the shares of lines and of branches that tests reach, and the files that lack most.

It reads what `coverage json` writes. coverage's own limit is for lines and branches together.
"""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FILE = ROOT / "dist" / "coverage" / "coverage.json"
MOST = 10


def share(reached: int, all_of_them: int) -> float:
    """Return a percentage; nothing is reached whole."""
    return 100 * reached / all_of_them if all_of_them else 100.0


def report(measured: dict[str, Any], least: float) -> tuple[list[str], bool]:
    """Return the lines to print, and whether both shares are as large as they must be."""
    totals = measured["totals"]
    lines = share(totals["covered_lines"], totals["num_statements"])
    branches = share(totals["covered_branches"], totals["num_branches"])
    files = {
        name: (one["summary"]["missing_lines"], one["summary"]["missing_branches"])
        for name, one in measured["files"].items()
    }
    worst = sorted(files, key=lambda name: (-sum(files[name]), name))[:MOST]
    said = [f"lines {lines:.1f} %, branches {branches:.1f} %; not reached, most first:"]
    said += [f"  {files[name][0]:4} lines {files[name][1]:4} branches  {name}" for name in worst if any(files[name])]
    return said, min(lines, branches) >= least


def main() -> None:
    """Print both shares and the files; exit with 1 if one share is below `fail_under`, unless any will do."""
    least = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]["report"]["fail_under"]
    said, enough = report(json.loads(FILE.read_text()), least)
    sys.stdout.write("\n".join(said) + "\n")
    if not enough and "--any" not in sys.argv:
        sys.exit(f"a share is below {least} %")


if __name__ == "__main__":
    main()
