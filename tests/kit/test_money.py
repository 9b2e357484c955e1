from fractions import Fraction

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from carteira.kit.values.money import MAX_AMOUNT, Amount, InvalidAmount, allocate, format_brl, parse_reais


@pytest.mark.parametrize(
    ("text", "centavos"),
    [
        ("100", 10_000),
        ("100.0", 10_000),
        ("100.00", 10_000),
        ("0.01", 1),
        ("0.1", 10),
        ("1.1", 110),
        ("10000000000.00", MAX_AMOUNT),
        ("33.33", 3333),
    ],
)
def test_reais_are_read_exactly(text: str, centavos: int) -> None:
    assert parse_reais(text) == centavos


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "0", "0.0", "0.00", "-0", "-1", "-0.01", "+1", "0.001", "0.009", "1.005", "100.000"),
        *(
            "1e2",
            "1E+2",
            "1.5e0",
            "100e-2",
            "1e-2",
            "1e10",
            "1e01",
            "1e400",
            "1e-400",
            "1e99",
            "1e-3",
            "1e",
            "e2",
            "NaN",
            "nan",
            "Infinity",
            "-Infinity",
            "inf",
            "null",
        ),
        *("10000000000.01", "1e11", "9" * 14, "9" * 5_000, "1" + "0" * 400, "1." + "0" * 5_000),
        *(
            "01",
            "00.5",
            ".5",
            "5.",
            "1,50",
            "1_000",
            "1 000",
            " 1",
            "1 ",
            "1\n",
            "0x10",
            "１００",
            "١٠٠",
            '"1"',
            "true",
        ),
    ],
)
def test_amounts_that_are_not_positive_whole_centavos_are_refused(text: str) -> None:
    with pytest.raises(InvalidAmount):
        parse_reais(text)


@given(st.integers(1, MAX_AMOUNT))
def test_every_amount_survives_its_text(centavos: int) -> None:
    assert parse_reais(f"{centavos // 100}.{centavos % 100:02d}") == centavos


@given(st.text(alphabet="0123456789.eE+-", max_size=20))
@example("1e01")
@example("0e5")
def test_read_amounts_equal_their_texts(text: str) -> None:
    try:
        centavos = parse_reais(text)
    except InvalidAmount:
        return
    assert Fraction(text) * 100 == centavos


@pytest.mark.parametrize("value", [0, -1, MAX_AMOUNT + 1, True, "100", 100.0, None, 1e400])
def test_a_wire_amount_is_strictly_a_positive_integer(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Amount).validate_python(value)


@given(st.integers(0, MAX_AMOUNT), st.lists(st.integers(0, 10**9), min_size=1, max_size=30))
@example(100, [1, 1, 1])
@example(1, [0, 5, 5])
def test_parts_add_up_and_are_within_a_centavo_of_their_share(total: int, weights: list[int]) -> None:
    assume(sum(weights))
    parts = allocate(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total * weight, sum(weights))) < 1
        assert weight or not part


def test_the_odd_centavos_go_to_the_largest_remainders_and_ties_to_the_first() -> None:
    assert allocate(100, [1, 1, 1]) == [34, 33, 33]
    assert allocate(10, [15, 10, 75]) == [2, 1, 7]
    assert allocate(0, [3, 4]) == [0, 0]
    assert allocate(0, [0, 0]) == [0, 0]
    assert allocate(0, []) == []


@pytest.mark.parametrize(("total", "weights"), [(1, []), (1, [0]), (5, [2, -1])])
def test_invalid_weights_are_refused(total: int, weights: list[int]) -> None:
    with pytest.raises(ValueError, match=r"weights|nothing"):
        allocate(total, weights)


def test_money_reads_as_people_write_it() -> None:
    assert format_brl(123_456) == "R$ 1.234,56"
    assert format_brl(5) == "R$ 0,05"
    assert format_brl(-990) == "-R$ 9,90"
    assert format_brl(MAX_AMOUNT) == "R$ 10.000.000.000,00"
