"""Amounts, days and names as people read and type them."""

from datetime import UTC, date, datetime

import pytest

from carteira.benefits import merchant_name
from carteira.kit.values.clock import clock
from carteira.kit.values.money import read_reais
from carteira.web import formats


@pytest.mark.parametrize(
    ("typed", "centavos"),
    [("20", 2000), ("20,5", 2050), ("20,50", 2050), ("1.200,50", 120050), (" R$ 3 ", 300), ("0,01", 1)],
)
def test_amounts_are_read_as_people_type_them(typed: str, centavos: int) -> None:
    assert read_reais(typed) == centavos


@pytest.mark.parametrize("typed", ["", "0", "0,00", "-5", "20.50", "1.20", "dez", "1,234", "12345678901,00", "²"])
def test_invalid_amounts_are_refused(typed: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_reais(typed)


def test_figures_carry_their_value_and_hostile_text_stays_text() -> None:
    assert formats.plain_money(123456) == "R$\N{NO-BREAK SPACE}1.234,56"
    assert formats.plain_money(-470) == "−\N{NO-BREAK SPACE}R$\N{NO-BREAK SPACE}4,70"
    assert 'value="-470"' in formats.money(-470)
    assert "<script>" not in formats.money(1, "<script>")


def test_days_are_written_as_people_say_them() -> None:
    clock.set(datetime(2026, 11, 27, 2, 30, tzinfo=UTC))  # in São Paulo still the 26th
    assert formats.relative_day(date(2026, 11, 26)) == "hoje"
    assert formats.relative_day(date(2026, 11, 25)) == "ontem"
    assert formats.relative_day(date(2026, 11, 1)) == "domingo, 1º de novembro"
    assert formats.long_day(date(2025, 12, 1)) == "1º de dezembro de 2025"
    assert formats.hour(clock.now()) == "23h30"
    assert formats.moment(clock.now()) == "hoje às 23h30"
    assert formats.greeting(clock.now()) == "Boa noite"


def test_names_are_short_where_they_must_be() -> None:
    assert formats.initials("Maria Açucena da Silva") == "MS"
    assert formats.initials("") == "?"
    assert formats.first_name("  ") == ""


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("PADARIA DO ZE               SAO PAULO BR", "Padaria do Ze"),
        ("UBER EATS                   SAO PAULO BR", "Uber Eats"),
        ("iFood*Lanches", "iFood*Lanches"),
        ("<B>X</B>", "<b>x</b>"),
    ],
)
def test_a_merchant_is_read_without_its_padding(sent: str, read: str) -> None:
    assert merchant_name(sent) == read
