"""Brazilian telephone numbers: ten or eleven digits, the first two of which are the area code (DDD)."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from carteira.kit.values.texts import compact, look_alike

_NUMBER = re.compile(r"[1-9][0-9]{9,10}", re.ASCII)
_WITH_COUNTRY = re.compile(r"(?:\+|00)?55([1-9][0-9]{9,10})", re.ASCII)
_WITH_TRUNK = re.compile(r"(?:(?:\+|00)?55)?0([1-9][0-9]{9,10})", re.ASCII)
_MARKS = "./·()[]"
PHONE_PATTERN = r"(?:\+?55 ?)?(?:\([1-9][0-9]\)|[1-9][0-9]) ?9?[0-9]{4}-?[0-9]{4}"
"""The pattern, in schemas, of a number: with or without the country's code and the signs that people write."""


class InvalidPhone(ValueError):
    """A text is not a Brazilian telephone number. The message may be shown to people."""


def parse_phone(text: str) -> str:
    """Parse a number as people type and paste it into its ten or eleven digits.

    Blanks, dots, dashes, parentheses, the country code (`+55`, `0055`, `55`) and a zero before the area code are
    removed. Ten or eleven digits are a whole number even if they begin with 55, which is also an area code.

    Raises:
        InvalidPhone: another number of digits, no area code, or a character that only looks like a digit.
    """
    bare = compact(text, _MARKS)
    if _NUMBER.fullmatch(bare):
        return bare
    longer = _WITH_COUNTRY.fullmatch(bare) or _WITH_TRUNK.fullmatch(bare)
    if longer is None:
        raise InvalidPhone("O telefone deve ter 10 ou 11 dígitos, com o DDD." + look_alike(bare))
    return longer[1]


def format_phone(digits: str) -> str:
    """Return a number as people write it: `(11) 98765-4321`."""
    return f"({digits[:2]}) {digits[2:-4]}-{digits[-4:]}"


def _validate(text: str) -> str:
    try:
        return parse_phone(text)
    except InvalidPhone as error:
        raise PydanticCustomError("invalid_phone", "{reason}", {"reason": str(error)}) from error


Phone = Annotated[
    str,
    Field(max_length=50),
    AfterValidator(_validate),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": 50,
            "pattern": f"^{PHONE_PATTERN}$",
            "description": "Telefone com DDD; sinais e +55 não importam",
            "examples": ["11987654321"],
        }
    ),
]
"""A wire telephone number, normalised to its ten or eleven digits; others are 422."""
