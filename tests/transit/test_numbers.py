import pytest

from carteira.kit.values.card_number import is_card_number
from carteira.transit import numbers


def test_a_drawn_number_has_sixteen_digits_and_the_check_digit() -> None:
    for _ in range(200):
        number = numbers.draw()
        assert is_card_number(number)
        assert number.startswith("9076")
        assert numbers.luhn_digit(number[:-1]) == number[-1]


@pytest.mark.parametrize("number", ["4111111111111111", "5500005555555559"])
def test_the_check_digit_is_that_of_known_numbers(number: str) -> None:
    assert numbers.luhn_digit(number[:-1]) == number[-1]


@pytest.mark.parametrize("text", ["", "907612341234123", "9076123412341234\n", "９076123412341234", "9076-1234-1234-1"])
def test_other_texts_are_no_card_numbers(text: str) -> None:
    assert not is_card_number(text)
