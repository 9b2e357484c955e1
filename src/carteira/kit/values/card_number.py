"""Transport card numbers: sixteen digits (ISO/IEC 7812-1), however people type and paste them."""

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from carteira.kit.values.texts import compact, look_alike

_DIGITS = re.compile(r"[0-9]{16}", re.ASCII)


class InvalidCardNumber(ValueError):
    """A text is not shaped like a card number. The message may be shown to people."""


def parse_card_number(text: str) -> str:
    """Parse a card number, grouped or not, into its sixteen digits.

    Raises:
        InvalidCardNumber: another number of digits, or a character that only looks like a digit.
    """
    digits = compact(text)
    if not _DIGITS.fullmatch(digits):
        raise InvalidCardNumber("O número do cartão tem 16 dígitos." + look_alike(digits))
    return digits


def is_card_number(text: str) -> bool:
    """Return whether a text is a normalised card number."""
    return _DIGITS.fullmatch(text) is not None


def bare_card_number(text: str) -> str:
    """Return a card number as its sixteen digits, and any other text unchanged (it matches no card)."""
    try:
        return parse_card_number(text)
    except InvalidCardNumber:
        return text


def _validate(text: str) -> str:
    try:
        return parse_card_number(text)
    except InvalidCardNumber as error:
        raise PydanticCustomError("invalid_card_number", "{reason}", {"reason": str(error)}) from error


CardNumber = Annotated[
    str,
    AfterValidator(_validate),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{16}$", "examples": ["9076123412341234"]}),
]
"""A wire card number, normalised to sixteen digits; others are 422."""
