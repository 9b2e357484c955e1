"""Wait for a condition that nothing announces: poll it, up to a limit."""

import asyncio
import time
from collections.abc import Callable

LIMIT_SECONDS = 30.0


def wait_until(condition: Callable[[], bool], what: str, limit_seconds: float = LIMIT_SECONDS) -> None:
    """Wait in a thread or process without an event loop.

    Raises:
        AssertionError: The condition does not become true in time.
    """
    deadline = time.monotonic() + limit_seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {limit_seconds} s: {what}"
        time.sleep(0.01)


async def until(condition: Callable[[], bool], what: str, limit_seconds: float = LIMIT_SECONDS) -> None:
    """Wait while the event loop runs.

    Raises:
        AssertionError: The condition does not become true in time.
    """
    deadline = time.monotonic() + limit_seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {limit_seconds} s: {what}"
        await asyncio.sleep(0.001)
