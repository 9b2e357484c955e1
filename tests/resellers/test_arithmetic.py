"""The arithmetic of cashback, to the centavo."""

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carteira.resellers.cashback import MonthlyCashback, TierStep, of_month, parts, percent, percentage_of

TIERS = [TierStep(0, 10), TierStep(100_000, 15), TierStep(150_000, 20)]
amounts = st.integers(1, 10**12)


@pytest.mark.parametrize(
    ("total", "percentage", "cashback"),
    [
        (0, 10, 0),
        (1, 10, 0),
        (5, 10, 0),  # half a centavo, to the even 0
        (15, 10, 2),  # a centavo and a half, to the even 2
        (25, 10, 2),
        (99_999, 10, 10_000),
        (100_000, 10, 10_000),
        (100_001, 15, 15_000),
        (100_002, 15, 15_000),
        (150_000, 15, 22_500),
        (150_001, 20, 30_000),
        (150_003, 20, 30_001),
    ],
)
def test_a_tier_applies_to_the_whole_month(total: int, percentage: int, cashback: int) -> None:
    assert of_month(total, TIERS) == MonthlyCashback(total, percentage, cashback)


@given(total=st.integers(0, 10**15), percentage=st.integers(0, 100))
def test_rounding_is_half_even_to_the_centavo(total: int, percentage: int) -> None:
    exact = Decimal(total) * percentage / 100
    assert percent(total, percentage) == int(exact.quantize(Decimal(1), ROUND_HALF_EVEN))


@given(
    st.lists(amounts, max_size=60)
    | st.builds(  # around the bounds, in a few purchases
        lambda bound, off, cut: [part for part in (cut, bound + off - cut) if part > 0],
        st.sampled_from([100_000, 150_000]),
        st.integers(-3, 3),
        st.integers(1, 99_990),
    )
)
def test_the_parts_add_up_to_the_whole_and_none_is_more_than_a_centavo_off(purchases: list[int]) -> None:
    month = of_month(sum(purchases), TIERS)
    split = parts(month, purchases)
    assert sum(split) == month.amount
    for amount, part in zip(purchases, split, strict=True):
        assert abs(part * 100 - amount * month.percentage) <= 150  # each one's rounding, and the total's


@given(st.lists(amounts, min_size=1, max_size=20), amounts)
def test_another_purchase_never_lowers_the_percentage(purchases: list[int], another: int) -> None:
    assert percentage_of(sum(purchases) + another, TIERS) >= percentage_of(sum(purchases), TIERS)


@given(st.lists(st.tuples(amounts, st.integers(0, 100)), max_size=5, unique_by=lambda tier: tier[0]), amounts)
def test_any_tier_table_gives_the_step_below_the_total(steps: list[tuple[int, int]], total: int) -> None:
    tiers = [TierStep(0, 7), *(TierStep(*step) for step in steps)]
    reached = max((tier for tier in tiers if tier.above < total), key=lambda tier: tier.above)
    assert percentage_of(total, tiers[::-1]) == reached.percentage
