"""CNPJ, a Brazilian company's number: twelve letters or digits and two check digits."""

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError
from validate_docbr import CNPJ as CnpjRules  # noqa: N811 - the library names a class in capitals

from carteira.kit.values.texts import compact, look_alike

_CHARACTERS = re.compile(r"[0-9A-Z]{12}[0-9]{2}", re.ASCII)
_rules = CnpjRules()


class InvalidCnpj(ValueError):
    """A text is not a CNPJ: wrong shape or wrong check digits. The message may be shown to people."""


def parse_cnpj(text: str) -> str:
    """Parse a CNPJ, numeric or alphanumeric, grouped or not, into its fourteen characters.

    Raises:
        InvalidCnpj: wrong shape, all characters alike, wrong check digits, or a character that only looks like one of
            these.
    """
    characters = compact(text)
    upper = characters.upper() if characters.isascii() else characters
    if not _CHARACTERS.fullmatch(upper):
        raise InvalidCnpj("CNPJ inválido." + look_alike(characters, letters=True))
    if not _rules.validate(upper):
        raise InvalidCnpj("CNPJ inválido.")
    return upper


def _validate(text: str) -> str:
    try:
        return parse_cnpj(text)
    except InvalidCnpj as error:
        raise PydanticCustomError("invalid_cnpj", "{reason}", {"reason": str(error)}) from error


Cnpj = Annotated[
    str,
    AfterValidator(_validate),
    WithJsonSchema(
        {
            "type": "string",
            "format": "cnpj",
            "pattern": r"^([0-9A-Za-z]{12}\d{2}|[0-9A-Za-z]{2}(\.[0-9A-Za-z]{3}){2}/[0-9A-Za-z]{4}-\d{2})$",
            "description": "CNPJ, numérico ou alfanumérico, com ou sem pontos, barra e traço",
            "examples": ["11.222.333/0001-81", "12.ABC.345/01DE-35"],
        }
    ),
]
"""A wire CNPJ, normalised to fourteen characters; wrong ones are 422."""
