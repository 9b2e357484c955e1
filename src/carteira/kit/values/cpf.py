"""CPF, the Brazilian taxpayer number that a person is known by: eleven digits, the last two of which check the rest."""

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError
from validate_docbr import CPF as CpfRules  # noqa: N811 - the library's name is a constant to no one

from carteira.kit.values.texts import compact, look_alike

_LENGTH = 11
_FEWEST_IN_A_SHEET = 8
_DIGITS = re.compile(r"[0-9]{11}", re.ASCII)
_rules = CpfRules()


class InvalidCpf(ValueError):
    """A text is not a CPF: wrong shape, or its check digits do not fit. Its text is fit to show a person."""


def parse_cpf(text: str) -> str:
    """Read a CPF as people type and paste it, grouped or not, into its eleven digits.

    Raises:
        InvalidCpf: wrong shape, all digits alike, wrong check digits, or a sign that only looks like a digit.
    """
    digits = compact(text)
    if not _DIGITS.fullmatch(digits):
        raise InvalidCpf("CPF inválido." + look_alike(digits))
    if not _rules.validate(digits):
        raise InvalidCpf("CPF inválido.")
    return digits


def restore_zeros(cell: str) -> str:
    """Return a spreadsheet's CPF with the zeros that it dropped at the front, if it is right with them."""
    digits = compact(cell)
    if not (_FEWEST_IN_A_SHEET <= len(digits) < _LENGTH and digits.isascii() and digits.isdigit()):
        return cell
    whole = digits.zfill(_LENGTH)
    return whole if _rules.validate(whole) else cell


def mask_cpf(digits: str) -> str:
    """Hide a CPF from those who may not see it whole: `***.456.789-**`."""
    return f"***.{digits[3:6]}.{digits[6:9]}-**"


def format_cpf(digits: str) -> str:
    """Write a CPF as people do: `123.456.789-09`."""
    return f"{digits[:3]}.{digits[3:6]}.{digits[6:9]}-{digits[9:]}"


def _validate(text: str) -> str:
    try:
        return parse_cpf(text)
    except InvalidCpf as error:
        raise PydanticCustomError("invalid_cpf", "{told}", {"told": str(error)}) from error


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
