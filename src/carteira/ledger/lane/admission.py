"""Admission: how many requests may wait, and which are shed under overload."""

from collections import deque
from typing import Any, Final

from carteira.ledger.lane.deferred import Waiting

MIN_BATCH: Final = 32
MAX_BATCH: Final = 128
MAX_WRITE_SECONDS: Final = 0.02
"""Upper bound on one batch's write time; a request waits for at most two batches."""
MIN_WAITING: Final = 256
MAX_WAITING: Final = 4_096
MAX_STAY_SECONDS: Final = 0.08
"""Requests are admitted only if they can be answered in this time. Up to `MIN_WAITING` are always admitted, since so
few are no overload, even if the disk is slow for a moment.
"""
FLOOD_STAY_SECONDS: Final = 0.03
"""`MAX_STAY_SECONDS` while shedding: an admitted request waits for the batch in flight and runs in the next."""
FLOOD_SECONDS: Final = 5.0
"""The longest time of shedding; then admission is normal again, and shedding restarts if there is no room."""
CALM_SECONDS: Final = 0.1
"""Shedding ends early after this long without a rejection."""
FIRST_PACE: Final = 10_000.0
WEIGHT: Final = 0.1
"""The weight of the newest value in a moving average."""


class Overloaded(Exception):
    """There are more requests than the process can answer in time."""


class Admission:
    """Admission to a queue.

    Requests are admitted as long as all, including those being written, can be answered within `MAX_STAY_SECONDS` at
    the recent pace; others are shed at once. While shedding, only as many are admitted as can be answered within
    `FLOOD_STAY_SECONDS`, and at its start the longest waiting ones are shed too. So neither memory nor waiting times
    grow beyond capacity.
    """

    def __init__(self, waiting: deque[Waiting[Any, Any]]) -> None:
        self._waiting = waiting
        self._flood_until = 0.0
        self._turned_away_at = 0.0
        self._adapt(FIRST_PACE)

    def _adapt(self, pace: float) -> None:
        self._pace = pace
        self.most_at_once = min(MAX_BATCH, max(MIN_BATCH, int(pace * MAX_WRITE_SECONDS)))
        self.room = min(MAX_WAITING, max(MIN_WAITING, int(pace * MAX_STAY_SECONDS) - self.most_at_once))
        self.flood_room = min(MAX_BATCH, max(MIN_BATCH, int(pace * FLOOD_STAY_SECONDS / 2)))

    def has_room(self, now: float) -> bool:
        """Return whether one more may join at this instant of `time.perf_counter`; if not, shedding begins."""
        waiting = self._waiting
        flood = now < self._flood_until and now < self._turned_away_at + CALM_SECONDS
        if len(waiting) < (self.flood_room if flood else self.room):
            return True
        self._turned_away_at = now
        if not flood:
            self._flood_until = now + FLOOD_SECONDS
            while len(waiting) > self.flood_room:
                waiting.popleft().done(Overloaded())
        return False

    def measure(self, size: int, seconds: float) -> None:
        """Update the pace, in requests per second, from a written batch; small batches are ignored."""
        if size >= self.most_at_once // 2:
            pace = max(size, MAX_BATCH // 2) / max(seconds, 1e-6)
            self._adapt(self._pace + (pace - self._pace) * WEIGHT)
