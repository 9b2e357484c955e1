"""Parses written days, months and instants. A number is never one of them."""

import re
import unicodedata
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from carteira.kit.values.texts import MOST_TYPED, look_alike, trim, without_unseen

_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", re.ASCII)
_TYPED_DAY = re.compile(r"([0-9]{1,2}) ?([/.-]) ?([0-9]{1,2}) ?\2 ?([0-9]{4})", re.ASCII)
_MONTH = re.compile(r"([0-9]{4})-([0-9]{2})", re.ASCII)
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})?",
    re.ASCII,
)


class InvalidDay(ValueError):
    """A text is not a calendar day. The message may be shown to people."""


def _plain(text: str) -> str:
    """Return a text without invisible characters, and with one kind of dash and of blank."""
    if len(text) > MOST_TYPED:
        return text
    signs = without_unseen(trim(text))
    return "".join("-" if unicodedata.category(sign) == "Pd" else " " if sign.isspace() else sign for sign in signs)


def parse_day(text: str) -> date:
    """Parse a day as the API writes it, `AAAA-MM-DD`.

    Raises:
        InvalidDay: it is written otherwise, or the month has no such day.
    """
    plain = _plain(text)
    match = _DAY.fullmatch(plain)
    if match is None:
        raise InvalidDay("Data inválida: use AAAA-MM-DD." + look_alike(plain))
    return _day(int(match[1]), int(match[2]), int(match[3]))


def read_day(text: str) -> date:
    """Parse a day as people in Brazil write it, `31/12/2026`, or as the API does.

    Raises:
        InvalidDay: it is neither, its year does not have four digits, or the month has no such day.
    """
    plain = _plain(text)
    if match := _TYPED_DAY.fullmatch(plain):
        return _day(int(match[4]), int(match[3]), int(match[1]))
    if match := _DAY.fullmatch(plain):
        return _day(int(match[1]), int(match[2]), int(match[3]))
    raise InvalidDay("Data inválida: escreva como 31/12/2026." + look_alike(plain))


def _day(year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError as error:
        raise InvalidDay(f"Data inválida: não existe o dia {day:02d}/{month:02d}/{year:04d}.") from error


def parse_month(text: str) -> date:
    """Parse a month as the API writes it, `AAAA-MM`, into its first day.

    Raises:
        InvalidDay: it is written otherwise, or there is no such month.
    """
    match = _MONTH.fullmatch(_plain(text))
    if match is None:
        raise InvalidDay("Mês inválido: use AAAA-MM.")
    try:
        return date(int(match[1]), int(match[2]), 1)
    except ValueError as error:
        raise InvalidDay("Mês inválido: use AAAA-MM.") from error


def _validate(value: object) -> date:
    return _wire(value, typed=False)


def _validate_typed(value: object) -> date:
    return _wire(value, typed=True)


def _wire(value: object, *, typed: bool) -> date:
    if type(value) is date:
        return value  # our own code passes days; JSON has none
    if not isinstance(value, str):
        raise PydanticCustomError("invalid_date", "Data inválida: use AAAA-MM-DD.")
    try:
        return read_day(value) if typed else parse_day(value)
    except InvalidDay as error:
        raise PydanticCustomError("invalid_date", "{reason}", {"reason": str(error)}) from error


def _instant_text(value: object) -> object:
    """Accept RFC 3339 only; pydantic alone also takes numbers of seconds and milliseconds."""
    if isinstance(value, datetime):
        return value
    text = trim(value) if isinstance(value, str) else ""
    if not _INSTANT.fullmatch(text):
        raise PydanticCustomError("invalid_instant", "Instante inválido: use RFC 3339, com fuso.")
    return text


def _in_utc(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("out of the calendar in UTC") from error


def _years(first: int, last: int) -> str:
    """Return a pattern of the years from one to another, in thousands, hundreds and tens where these are whole."""
    found = []
    while first <= last:
        zeros = next(zeros for zeros in (3, 2, 1, 0) if first % 10**zeros == 0 and first + 10**zeros - 1 <= last)
        found.append(f"{first // 10**zeros}" + "[0-9]" * zeros)
        first += 10**zeros
    return f"(?:{'|'.join(found)})"


_MONTH_AND_DAY = "-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-](?:0[0-9]|1[0-9]|2[0-3]):[0-5][0-9])"


def schema_of_days(first: int, last: int, example: str = "2026-06-30") -> dict[str, Any]:
    """Return the JSON Schema of a day from one year to another; `format` has no bounds, so a pattern says them."""
    return {
        "type": "string",
        "format": "date",
        "pattern": f"^{_years(first, last)}{_MONTH_AND_DAY}$",
        "examples": [example],
    }


def schema_of_instants(first: int, last: int, example: str = "2026-10-31T15:00:00Z") -> dict[str, Any]:
    """Return the JSON Schema of an instant from one year to another."""
    return {
        "type": "string",
        "format": "date-time",
        "pattern": f"^{_years(first, last)}{_MONTH_AND_DAY}T{_TIME}$",
        "examples": [example],
    }


_DAY_SCHEMA = WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-06-30"]})

Day = Annotated[date, BeforeValidator(_validate), _DAY_SCHEMA]
"""A wire day, `AAAA-MM-DD` and nothing else; others, numbers among them, are 422."""
TypedDay = Annotated[date, BeforeValidator(_validate_typed), _DAY_SCHEMA]
"""A day from a page or a spreadsheet: `31/12/2026` is accepted too."""
Instant = Annotated[AwareDatetime, BeforeValidator(_instant_text), AfterValidator(_in_utc)]
"""A wire instant, RFC 3339, converted to UTC; without an offset, outside the calendar, or as a number it is 422."""
