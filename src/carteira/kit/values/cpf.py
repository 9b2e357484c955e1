"""CPF, the Brazilian taxpayer number that identifies a person: nine digits and two check digits."""

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError
from validate_docbr import CPF as CpfRules  # noqa: N811 - the library names a class in capitals

from carteira.kit.values.texts import compact, look_alike

_LENGTH = 11
_FEWEST_IN_A_SHEET = 8
_DIGITS = re.compile(r"[0-9]{11}", re.ASCII)
_rules = CpfRules()


class InvalidCpf(ValueError):
    """A text is not a CPF: wrong shape or wrong check digits. The message may be shown to people."""


def parse_cpf(text: str) -> str:
    """Parse a CPF, grouped or not, into its eleven digits.

    Raises:
        InvalidCpf: wrong shape, all digits alike, wrong check digits, or a character that only looks like a digit.
    """
    digits = compact(text)
    if not _DIGITS.fullmatch(digits):
        raise InvalidCpf("CPF inválido." + look_alike(digits))
    if not _rules.validate(digits):
        raise InvalidCpf("CPF inválido.")
    return digits


def restore_zeros(cell: str) -> str:
    """Return a spreadsheet's CPF with the leading zeros that it dropped, if that makes it valid."""
    digits = compact(cell)
    if not (_FEWEST_IN_A_SHEET <= len(digits) < _LENGTH and digits.isascii() and digits.isdigit()):
        return cell
    whole = digits.zfill(_LENGTH)
    return whole if _rules.validate(whole) else cell


def mask_cpf(digits: str) -> str:
    """Return a masked CPF: `***.456.789-**`."""
    return f"***.{digits[3:6]}.{digits[6:9]}-**"


def format_cpf(digits: str) -> str:
    """Return a CPF with punctuation: `123.456.789-09`."""
    return f"{digits[:3]}.{digits[3:6]}.{digits[6:9]}-{digits[9:]}"


def _validate(text: str) -> str:
    try:
        return parse_cpf(text)
    except InvalidCpf as error:
        raise PydanticCustomError("invalid_cpf", "{reason}", {"reason": str(error)}) from error


Cpf = Annotated[
    str,
    AfterValidator(_validate),
    WithJsonSchema(
        {
            "type": "string",
            "format": "cpf",
            "pattern": r"^(\d{11}|\d{3}\.\d{3}\.\d{3}-\d{2})$",
            "description": "CPF com ou sem pontos e traço; os dois últimos dígitos conferem os outros",
            "examples": ["529.982.247-25"],
        }
    ),
]
"""A wire CPF, normalised to eleven digits; wrong ones are 422."""
