"""Limits: what one operator may do without a second person."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """What one operator may do under a name without a second person: `alone` at once, `daily` in a day; None: any.

    In centavos, unless what is limited is no money (a percentage).
    """

    name: str
    alone: int | None = None
    daily: int | None = None
