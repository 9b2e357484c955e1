"""Starts importing the product before anything else of `carteira run`, whose processes are forked from it."""

import sys

from carteira.embedded.forks import ForkServer
from carteira.embedded.process import has_death_signal

PREPARE = "prepare"
"""The argument of the process that brings the database up to date; the others have those of `carteira`."""

_begun: list[ForkServer] = []


def begin() -> None:
    """Start a process that imports the product, if processes can be forked from it."""
    if has_death_signal():
        _begun.append(ForkServer([sys.executable, "-m", "carteira.cli.preloaded"]))


def take() -> ForkServer | None:
    """Return the started process to the caller, who closes it; None if there is none."""
    return _begun.pop() if _begun else None
