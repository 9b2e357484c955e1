"""The product's import, begun before anything else of `carteira run`; its processes are then forked from it."""

import sys

from carteira.embedded.forks import ForkServer
from carteira.embedded.process import has_death_signal

PREPARE = "prepare"
"""The argument of the process that brings the database up to date; the others have those of `carteira`."""

_begun: list[ForkServer] = []


def begin() -> None:
    """Have another process import the product, where its processes can be forked from it."""
    if has_death_signal():
        _begun.append(ForkServer([sys.executable, "-m", "carteira.cli.preloaded"]))


def take() -> ForkServer | None:
    """Return what was begun, to whoever closes it; None if nothing was."""
    return _begun.pop() if _begun else None
