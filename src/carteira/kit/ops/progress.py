"""Progress of long-running work."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with the done and the total amount of work."""


def no_progress(_done: int, _total: int) -> None:
    """Report to nobody."""
