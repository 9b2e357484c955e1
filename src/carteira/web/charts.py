"""Charts: geometry for a template's SVG; the finding is in words beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

WIDTH, HEIGHT = 320, 150
_FLOOR, _TALLEST = 120, 96
_LEAST = 2


@dataclass(frozen=True, slots=True)
class Bar:
    """A month's bar in the box of `WIDTH` by `HEIGHT`; the amount in centavos."""

    month: date
    amount: int
    x: int
    width: int
    height: int

    @property
    def y(self) -> int:
        """Its top, from above."""
        return _FLOOR - self.height

    @property
    def middle(self) -> int:
        """The label's position."""
        return self.x + self.width // 2


def bars(amounts: Sequence[tuple[date, int]]) -> list[Bar]:
    """Return a bar for each month; the largest amount fills the height."""
    most = max((amount for _, amount in amounts), default=0) or 1
    step = WIDTH // max(1, len(amounts))
    width = step * 3 // 4
    return [
        Bar(
            month,
            amount,
            place * step + (step - width) // 2,
            width,
            max(_LEAST if amount else 0, amount * _TALLEST // most),
        )
        for place, (month, amount) in enumerate(amounts)
    ]
