"""Admission: how many requests may wait, and which are shed when more come than can be answered in time."""

from collections import deque
from typing import Any, Final

from carteira.ledger.lane.deferred import Waiting

MIN_BATCH: Final = 32
MAX_BATCH: Final = 128
MAX_WRITE_SECONDS: Final = 0.02
"""A batch is no larger than can be written in this time: who is decided waits for one batch or two."""
MIN_WAITING: Final = 256
MAX_WAITING: Final = 4_096
MAX_STAY_SECONDS: Final = 0.08
"""No more are let in than can be answered in this time, or `MIN_WAITING`: that many clients are no flood, however slow
the disk is for a moment."""
FLOOD_STAY_SECONDS: Final = 0.03
"""The same during a flood: who is let in then waits for a batch and is in the next."""
FLOOD_SECONDS: Final = 5.0
"""How long a flood lasts at most; then as many as ever are let in again, and either there is room or it begins anew."""
CALM_SECONDS: Final = 0.1
"""It is over sooner if nobody had to be turned away for so long."""
FIRST_PACE: Final = 10_000.0
WEIGHT: Final = 0.1
"""Of the newest reading in an average."""


class Overloaded(Exception):
    """More requests came than the process can answer in time."""


class Admission:
    """The room in a queue.

    No more requests are admitted than can be answered within `MAX_STAY_SECONDS` at the recent pace, those being
    written counted; the next are shed at once. That is a flood: while it lasts, only as many are admitted as can be
    answered within `FLOOD_STAY_SECONDS`, and at its start those that have waited longest are shed too. Neither memory
    nor the wait of those that are decided grows beyond capacity.
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
        """Return whether one more may join at this instant of `time.perf_counter`; if not, there is a flood."""
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
        """Follow the pace, in requests a second, by a batch that was written; small batches say nothing of it."""
        if size >= self.most_at_once // 2:
            pace = max(size, MAX_BATCH // 2) / max(seconds, 1e-6)
            self._adapt(self._pace + (pace - self._pace) * WEIGHT)
