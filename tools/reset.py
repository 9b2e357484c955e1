"""`make reset`: drop the data of the local servers, the keys and the mail under `CARTEIRA_HOME`, after asking."""

import os
import shutil
import sys
from pathlib import Path

from carteira.embedded import HomeInUse
from carteira.embedded.home import Home
from carteira.embedded.placement import COMMON_FOLDER
from carteira.settings import Settings

MARKS = ("credentials.json", "keys")
"""Marks of a home folder; a folder with neither was not made by Carteira and is not removed."""


def reset(folder: Path) -> None:
    """Drop everything under a home folder, and PostgreSQL's data where it had to stand elsewhere.

    Raises:
        HomeInUse: a living `carteira run` owns the folder.
    """
    home = Home(folder)
    home.acquire()
    try:
        elsewhere = Path(home.recall("postgres_data") or "/").parent
        if elsewhere.parent == COMMON_FOLDER:
            shutil.rmtree(elsewhere, ignore_errors=True)
        for entry in home.folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != "lock":
                entry.unlink()
    finally:
        home.release()


def main() -> None:
    """Ask, unless `YES=1`, and drop."""
    settings = Settings()
    folder = settings.carteira_home
    if settings.environment == "production":
        sys.exit("Not in production")
    if not any((folder / mark).exists() for mark in MARKS):
        sys.exit(f"Nothing to drop: {folder} is no home of Carteira")
    if os.environ.get("YES") != "1" and input(f"Drop all data under {folder}? [y/N] ").strip().lower() != "y":
        sys.exit("Nothing was dropped")
    try:
        reset(folder)
    except HomeInUse:
        sys.exit("A `make run` of this folder is up: end it first")
    print(f"Dropped. `make run` begins anew in {folder}")  # noqa: T201 - the command's output


if __name__ == "__main__":
    main()
