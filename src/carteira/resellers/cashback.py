"""The arithmetic of cashback: tier, percentage of a month, and the purchases' parts. Plain integers, no I/O.

Source: rules.md, resellers: the tier is found by the whole month's total and applies to all of it; the month's
cashback is rounded half-even to the centavo; parts are allotted by largest remainder, so that they add up to it
exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from carteira.kit.values.money import allocate

_HALF = 50


@dataclass(frozen=True, slots=True)
class TierStep:
    """Totals above `above` centavos earn `percentage` per cent."""

    above: int
    percentage: int


@dataclass(frozen=True, slots=True)
class MonthlyCashback:
    """The cashback of a month's total."""

    total: int
    percentage: int
    amount: int


def percentage_of(total: int, tiers: Sequence[TierStep]) -> int:
    """Return the percentage of a month's total in centavos: that of the highest tier that it exceeds.

    A total of exactly a tier's bound is still in the tier below. A total of zero is in the lowest one.
    """
    lowest = min(tiers, key=lambda tier: tier.above)
    reached = [tier for tier in tiers if total > tier.above]
    return max(reached, key=lambda tier: tier.above, default=lowest).percentage


def percent(total: int, percentage: int) -> int:
    """Return a percentage of centavos, rounded half-even to the centavo."""
    whole, rest = divmod(total * percentage, 100)
    return whole + (rest > _HALF or (rest == _HALF and whole % 2 == 1))


def of_month(total: int, tiers: Sequence[TierStep]) -> MonthlyCashback:
    """Return the cashback of a month's total, both in centavos."""
    percentage = percentage_of(total, tiers)
    return MonthlyCashback(total, percentage, percent(total, percentage))


def parts(month: MonthlyCashback, amounts: Sequence[int]) -> list[int]:
    """Allot a month's cashback to its purchases, in the order of their registration."""
    assert sum(amounts) == month.total, "the parts belong to the month"
    return allocate(month.amount, amounts)
