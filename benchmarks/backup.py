"""`make bench-backup`: how long a backup and a restore take, and how large a backup is, by the number of entries.

Entries are filled in by SQL through the ledger's own checks. Both forms are made; the restore is the physical one, into
another folder, with all that `carteira restore home` proves at its end. Entries are spread over `--partitions` months
(36). `--home PATH` backs up what a kept home of `benchmarks.scale` has, and fills nothing in. `--fast` fills in with
the triggers off that check each row: the rows are the same.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.scale import grow
from benchmarks.stage import as_superuser, stage
from carteira.kit.security.age import PrivateKey

GB = 1_000_000_000
ACCOUNTS = 10_000


def _run(env: dict[str, str], *arguments: str) -> float:
    """Run a command; return the seconds that it took."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "carteira", *arguments],
        env=os.environ | env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return time.perf_counter() - began


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--partitions", type=int, default=36, help="months that the entries are spread over")
    parser.add_argument("--fast", action="store_true", help="fill in with the ledger's own checks off")
    parser.add_argument("--home", type=Path, default=None, help="a home that benchmarks.scale kept")
    options = parser.parse_args()
    table = Table(title="A backup (both forms) and a restore that is proven")
    for title in ("entries", "database GB", "backup GB", "backup min", "min/GB", "restore min", "min/GB"):
        table.add_column(title, justify="right")
    with tempfile.TemporaryDirectory(prefix="carteira-bench-") as name, Progress(transient=True) as progress:
        folder = Path(name)
        key = PrivateKey.make()
        (folder / "key").write_text(key.text())
        home = options.home or folder / "home"
        months = options.partitions
        with stage(home, 0 if options.home else ACCOUNTS, months=0 if options.home else months) as endpoints:
            for entries in [0] if options.home else options.entries:
                if entries:
                    owner = as_superuser(endpoints) if options.fast else endpoints.owner_url
                    grow(owner, ACCOUNTS, entries, progress, months=months, unchecked=options.fast)
                with psycopg.connect(endpoints.owner_url) as connection:
                    row = connection.execute(
                        "SELECT pg_database_size(current_database()), (SELECT count(*) FROM ledger_entries)"
                    ).fetchone()
                assert row is not None
                place, target = folder / f"place-{entries}", folder / f"restored-{entries}"
                env = {
                    "CARTEIRA_HOME": str(home),
                    "CARTEIRA_MODULES": "benefits",
                    "DATABASE_URL": endpoints.database_url,
                    "BACKUP_DATABASE_URL": endpoints.backup_url,
                    "BACKUP_URL": place.as_uri(),
                    "BACKUP_RECIPIENTS": key.public,
                }
                made = _run(env, "backup", "create")
                restored = _run(env, "restore", "home", str(target), "--identity", str(folder / "key"), "--yes")
                size, backup = row[0] / GB, _size_of(place) / GB
                figures = (made / 60, made / 60 / size, restored / 60, restored / 60 / size)
                table.add_row(f"{row[1]:,}", f"{size:.2f}", f"{backup:.2f}", *(f"{figure:.2f}" for figure in figures))
                shutil.rmtree(target)
    Console().print(table)


if __name__ == "__main__":
    main()
