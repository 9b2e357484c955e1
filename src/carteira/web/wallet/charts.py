"""Charts: geometry made here, drawn as SVG by a template; the finding stands in words beside it."""

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
        """Where it begins, from above."""
        return _FLOOR - self.height

    @property
    def middle(self) -> int:
        """Where its label stands."""
        return self.x + self.width // 2


def bars(amounts: Sequence[tuple[date, int]]) -> list[Bar]:
    """Draw a bar for each month, the largest amount as tall as there is room."""
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
