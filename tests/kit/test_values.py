"""CPF, ids, actors and the clock."""

import time
from datetime import UTC, date, datetime, timedelta, timezone
from uuid import RFC_4122, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import Clock, business_day, business_month
from carteira.kit.values.cpf import Cpf, InvalidCpf, format_cpf, mask_cpf, parse_cpf
from carteira.kit.values.ids import first_uuid7, uuid7
from carteira.kit.values.texts import counted
from carteira.kit.web.access import Principal
from carteira.kit.web.validation import describe


@pytest.mark.parametrize("text", ["52998224725", "529.982.247-25", " 529.982.247-25 ", "153.509.460-56"])
def test_a_cpf_is_read_with_or_without_dots(text: str) -> None:
    assert parse_cpf(text) in {"52998224725", "15350946056"}


@pytest.mark.parametrize(
    "text",
    [
        *("", "529.982.247-24", "52998224724", "5299822472", "529982247255", "52998224725+"),
        *("00000000000", "11111111111", "999.999.999-99", "5299822472５", "٥٢٩٩٨٢٢٤٧٢٥", "a" * 11),
    ],
)
def test_invalid_cpfs_are_refused(text: str) -> None:
    with pytest.raises(InvalidCpf):
        parse_cpf(text)
    with pytest.raises(ValidationError, match="CPF inválido"):
        TypeAdapter(Cpf).validate_python(text)


@given(st.integers(0, 999_999_999), st.integers(0, 99))
def test_check_digits_are_those_of_the_rule(stem: int, check: int) -> None:
    digits = [int(digit) for digit in f"{stem:09d}"]
    for _ in range(2):
        total = sum(digit * weight for digit, weight in zip(digits, range(len(digits) + 1, 1, -1), strict=True))
        digits.append(total * 10 % 11 % 10)
    text, right = f"{stem:09d}{check:02d}", "".join(map(str, digits))
    if text == right and len(set(text)) > 1:
        assert parse_cpf(text) == parse_cpf(format_cpf(text)) == text
    else:
        with pytest.raises(InvalidCpf):
            parse_cpf(text)


def test_a_cpf_is_shown_masked_or_whole() -> None:
    assert mask_cpf("52998224725") == "***.982.247-**"
    assert format_cpf("52998224725") == "529.982.247-25"


def test_ids_are_uuid_version_7_of_the_rfc() -> None:
    before = time.time_ns() // 1_000_000
    made = [uuid7() for _ in range(1_000)]
    after = time.time_ns() // 1_000_000
    assert {(one.version, one.variant) for one in made} == {(7, RFC_4122)}
    assert len(set(made)) == len(made)
    assert all(before <= one.int >> 80 <= after for one in made)


@given(st.integers(0, 2**63 - 1), st.integers(1, 10**9))
def test_ids_sort_by_the_time_they_were_made(instant: int, later_by: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: instant)
        early = uuid7()
        patch.setattr(time, "time_ns", lambda: instant + later_by + 245)  # a step of the 12 bits, in nanoseconds
        assert early < uuid7()


def test_actors_that_are_people_have_users() -> None:
    user_id = uuid4()
    assert Principal(user_id).actor == Actor("person", str(user_id))
    assert Actor.person(user_id).user_id == user_id
    assert Actor("client", str(user_id)).user_id is None
    assert Actor("job", "ledger.expire_holds").user_id is None


def test_the_clock_runs_stops_and_moves_on() -> None:
    clock = Clock()
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)
    clock.set(datetime(2027, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2))))
    assert clock.now() == datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
    assert clock.now().tzinfo is UTC
    clock.advance(timedelta(hours=3, minutes=30))
    assert (clock.now(), clock.today()) == (datetime(2027, 1, 1, 3, tzinfo=UTC), date(2027, 1, 1))
    clock.run()
    assert clock.now().year < 2100
    with pytest.raises(ValueError, match="aware"):
        clock.set(datetime(2027, 1, 1))  # noqa: DTZ001 - the test is about naive instants


def test_a_business_day_is_that_of_sao_paulo() -> None:
    late_evening = datetime(2027, 3, 1, 2, 59, 59, tzinfo=UTC)
    assert (business_day(late_evening), business_month(late_evening)) == (date(2027, 2, 28), date(2027, 2, 1))
    midnight = late_evening + timedelta(seconds=1)
    assert (business_day(midnight), business_month(midnight)) == (date(2027, 3, 1), date(2027, 3, 1))
    summer_time = datetime(2018, 12, 1, 2, 0, tzinfo=UTC)  # UTC-2 in those days
    assert business_day(summer_time) == date(2018, 12, 1)


def test_the_first_id_of_an_instant_is_below_those_made_since() -> None:
    now = time.time()
    made = uuid7()
    assert first_uuid7(now - 1) < first_uuid7(now - 0.001) < made < first_uuid7(time.time() + 1)
    assert first_uuid7(-62_135_596_800) < made < first_uuid7(253_402_300_799)


def test_choices_are_named_in_portuguese() -> None:
    error = {"type": "literal_error", "loc": ("query", "status"), "ctx": {"expected": "'a', 'b' or 'c'"}}
    assert describe(error) == {"field": "status", "message": "Valor fora da lista: 'a', 'b' ou 'c'."}


def test_a_number_agrees_with_its_noun() -> None:
    assert [counted(number, "linha") for number in (0, 1, 2)] == ["0 linhas", "1 linha", "2 linhas"]
