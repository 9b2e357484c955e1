"""Limits: what one operator may do without a second person."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that one operator may do without a second person: `alone` at once, `daily` in a day; None: unlimited.

    In centavos, unless the limited value is not money (a percentage).
    """

    name: str
    alone: int | None = None
    daily: int | None = None
