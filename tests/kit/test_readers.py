"""One reader for each thing that people type and paste: a correct value is accepted however it is grouped."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from carteira.kit.security.codes import read_code
from carteira.kit.values.card_number import CardNumber, bare_card_number, parse_card_number
from carteira.kit.values.cnpj import Cnpj, parse_cnpj
from carteira.kit.values.cpf import Cpf, format_cpf, parse_cpf
from carteira.kit.values.days import Day, Instant, TypedDay, parse_month, read_day
from carteira.kit.values.email import Email, parse_email
from carteira.kit.values.money import MAX_AMOUNT, InvalidAmount, format_brl, read_reais
from carteira.kit.values.phone import Phone, format_phone, parse_phone
from carteira.kit.values.texts import MOST_TYPED, compact, look_alike
from tests.support.people import new_cpf

CNPJS = ("11222333000181", "12ABC34501DE35")
CARD = "9076123412341234"
UNSEEN = (
    "\u00a0", "\u2009", "\u202f", "\u3000", "\u200b", "\u200c", "\u200d", "\u200e", "\u202a", "\u2060", "\ufeff",
    "\u00ad", "\u115f", "\u3164", "\u2800", "\ufe0f", "\U000e0101", "\t", "\n", " ",
)  # fmt: skip
DASHES = ("-", "\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2212", "\uff0d", "\ufe63")
separators = st.sampled_from(["", *UNSEEN, *DASHES, ".", "/", ". ", " - "])


def sprinkled(value: str) -> st.SearchStrategy[str]:
    """Draw a value with separators at random places."""
    gaps = st.lists(separators, min_size=len(value) + 1, max_size=len(value) + 1)
    return gaps.map(lambda between: between[0] + "".join(map("".join, zip(value, between[1:], strict=True))))


@given(st.data())
def test_separators_make_no_right_number_wrong(data: st.DataObject) -> None:
    cpf, cnpj = new_cpf(), data.draw(st.sampled_from(CNPJS))
    assert parse_cpf(data.draw(sprinkled(cpf))) == cpf
    assert parse_cnpj(data.draw(sprinkled(cnpj)).lower()) == cnpj
    assert parse_card_number(data.draw(sprinkled(CARD))) == CARD
    assert read_code(data.draw(sprinkled("12345678").map(lambda text: text.replace("/", "")))) == "12345678"
    assert parse_phone(data.draw(sprinkled("11987654321"))) == "11987654321"


@pytest.mark.parametrize("digits", ["11987654321", "1133334444", "55991234567", "5533334444"])
def test_a_phone_is_read_with_and_without_the_country(digits: str) -> None:
    shown = format_phone(digits)
    for text in (
        *(
            digits,
            shown,
            f"+55{digits}",
            f"+55 {shown}",
            f"55{digits}",
            f"0055 {shown}",
            f"0{digits}",
            f"(0{shown[1:]}",
        ),
        *(f"+55 (0{shown[1:]}", shown.replace("-", ""), shown.replace("-", "."), f"[{digits[:2]}] {digits[2:]}"),
        f"\u202a+55 {shown}\u202c",
    ):
        assert parse_phone(text) == digits, text
        assert TypeAdapter(Phone).validate_python(text) == digits


@pytest.mark.parametrize(
    "text",
    ["", "1", "119876543210", "+1 212 555 0100", "+55119876543", "5", "55119876543210", "0000000000", "11-98765-432a"],
)
def test_invalid_phones_are_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="O telefone deve ter 10 ou 11 dígitos"):
        TypeAdapter(Phone).validate_python(text)


@pytest.mark.parametrize(
    ("shape", "text", "told"),
    [
        (Cpf, "529.982.247-2５", "“５” parece 5, mas é outro caractere"),
        (Cpf, "٥29.982.247-25", "“٥” parece 5"),
        (Cpf, "529.982.247-2O", "“O” parece 0, mas é uma letra"),
        (Cpf, "529.982.247-2О", "“О” parece 0, mas é outro caractere"),
        (Cpf, "l2345678909", "“l” parece 1"),
        (Cnpj, "12.АBC.345/01DE-35", "“А” parece A, mas é outro caractere"),
        (Cnpj, "12.ABC.345/01DE-3５", "“５” parece 5"),
        (Phone, "(11) 98765-432１", "“１” parece 1"),
        (CardNumber, "9076 1234 1234 123O", "“O” parece 0"),
        (Email, "mаria@exemplo.com.br", "“а” parece a"),
        (Email, "maria＠exemplo.com.br", "“＠” não pode estar em um e-mail"),
        (Email, "joão@exemplo.com.br", "“ã” não pode estar em um e-mail"),
        (TypedDay, "3O/06/2026", "“O” parece 0"),
        (Day, "2026-06-3０", "“０” parece 0"),
    ],
)
def test_lookalike_characters_are_reported(shape: Any, text: str, told: str) -> None:  # noqa: ANN401 - a wire type
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(shape).validate_python(text)
    assert told in caught.value.errors()[0]["msg"]


def test_plain_characters_are_not_reported_as_lookalikes() -> None:
    assert look_alike("529.982.247-25 ABC ç é") == ""
    assert compact("1\u00ad2.3-4/5·6") == "123456"


@pytest.mark.parametrize(
    "text", [" maria@exemplo.com.br\u200b", "maria\u200b@exemplo.com.br", "\ufeffmaria@exemplo.com.br"]
)
def test_an_address_is_read_without_invisible_characters(text: str) -> None:
    assert parse_email(text) == "maria@exemplo.com.br"


@pytest.mark.parametrize("text", ["maria @exemplo.com.br", "maria@exemplo", "", "@", "a@b.c", "maria@exemplo.com.br."])
def test_invalid_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="E-mail inválido"):
        TypeAdapter(Email).validate_python(text)


def test_paths_keep_numbers_that_are_no_card_numbers() -> None:
    assert bare_card_number("9076 1234-1234 1234") == CARD
    assert bare_card_number("x") == "x"


@given(st.dates())
def test_a_day_is_read_as_people_write_it(day: date) -> None:
    figures = f"{day.day:02d}", f"{day.month:02d}", f"{day.year:04d}"
    for text in (day.isoformat(), "/".join(figures), ".".join(figures), "-".join(figures), " / ".join(figures)):
        assert read_day(f"\u200b{text} ") == day
    assert TypeAdapter(Day).validate_python(f" {day.isoformat()}\u200b".replace("-", "\u2011")) == day
    assert TypeAdapter(Day).validate_python(day) == day
    assert parse_month(day.isoformat()[:7]) == day.replace(day=1)
    with pytest.raises(ValidationError):
        TypeAdapter(Day).validate_python("/".join(figures))


numbers = st.integers() | st.floats() | st.booleans() | st.none() | st.integers().map(str) | st.floats().map(str)


@given(numbers)
def test_a_number_is_never_a_date(value: object) -> None:
    for shape in (Day, TypedDay, Instant):
        with pytest.raises(ValidationError):
            TypeAdapter(shape).validate_python(value)


@pytest.mark.parametrize("text", ["1990-05-17T00:00:00", "1990-05-17T00:00:00Z", "19900517", "1990-5-17", "1990-W20-4"])
def test_a_day_is_no_instant_and_has_one_form(text: str) -> None:
    with pytest.raises(ValidationError, match="Data inválida"):
        TypeAdapter(Day).validate_python(text)


def test_an_instant_has_an_offset() -> None:
    read = TypeAdapter(Instant).validate_python
    noon = datetime(2026, 6, 30, 12, tzinfo=UTC)
    for text in (
        "2026-06-30T12:00:00Z",
        "2026-06-30t09:00:00-03:00",
        " 2026-06-30T12:00Z ",
        "2026-06-30 12:00:00.000+00:00",
    ):
        assert read(text) == noon
    for text in ("2026-06-30T12:00:00", "2026-06-30", "20260630T120000Z", "1782820800Z", "0001-01-01T00:00:00+12:00"):
        with pytest.raises(ValidationError):
            read(text)


@given(st.integers(1, MAX_AMOUNT))
def test_reais_are_read_as_they_are_shown(centavos: int) -> None:
    shown = format_brl(centavos)
    bare = shown.removeprefix("R$ ")
    for text in (
        shown,
        bare,
        bare.replace(".", ""),
        bare.replace(".", " "),
        bare.replace(".", "\u00a0"),
        f"r$\u00a0{bare} \u200b",
    ):
        assert read_reais(text) == centavos
    if centavos % 100 == 0:
        assert read_reais(str(centavos // 100)) == centavos


@given(st.text(alphabet="0123456789.,R$ -e", max_size=16))
def test_amounts_in_reais_are_shown_as_written(text: str) -> None:
    try:
        centavos = read_reais(text)
    except InvalidAmount:
        return
    figures = text.strip().removeprefix("R$").strip().replace(".", "").replace(" ", "")
    whole, _, fraction = figures.partition(",")
    assert (int(whole), int(fraction.ljust(2, "0") or 0)) == divmod(centavos, 100)


READERS = (
    *(parse_cpf, parse_cnpj, parse_phone, parse_email, parse_card_number),
    *(read_day, read_reais, parse_month),
)


@pytest.mark.parametrize("read", READERS)
@given(text=st.text(max_size=40))
def test_any_typed_text_is_read_or_refused_in_words(read: Callable[[str], object], text: str) -> None:
    told: Exception | None = None
    try:
        read(text)
    except ValueError as error:
        told = error
    assert told is None or (type(told) is not ValueError and str(told))


class CountingText(str):  # noqa: SLOT000 - a class that counts its uses
    """A text that counts how many of its characters are read, one by one."""

    signs = 0

    def __iter__(self) -> Iterator[str]:
        for sign in str(self):
            self.signs += 1
            yield sign

    def __getitem__(self, place: Any) -> str:  # noqa: ANN401 - an index or a slice
        self.signs += 1
        return str(self)[place]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("sign", ["1", "\u00a0", "\u200b", "５", "О", "\ufdfa"])
def test_absurdly_long_texts_are_refused_unread(read: Callable[[str], object], sign: str) -> None:
    """A body has room for a million characters: no more are read than a person could have typed."""
    text = CountingText("529" + sign * 10_000)
    with pytest.raises(ValueError, match=r"."):
        read(text)
    assert text.signs <= MOST_TYPED


def test_a_cpf_is_the_same_however_it_is_shown() -> None:
    cpf = new_cpf()
    assert parse_cpf(format_cpf(cpf)) == cpf
