"""Parses e-mail addresses as people type and paste them."""

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from carteira.kit.values.texts import MOST_TYPED, look_alike, trim, without_unseen

EMAIL_PATTERN = (
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]"
)
_EMAIL = re.compile(EMAIL_PATTERN)
_LENGTH, _LOCAL_LENGTH = 254, 64


class InvalidEmail(ValueError):
    """A text is not an e-mail address. The message may be shown to people."""


def parse_email(text: str) -> str:
    """Parse an e-mail address; surrounding blanks and invisible characters are removed.

    Raises:
        InvalidEmail: it is not an address, or has a character that only looks like an allowed one.
    """
    email = without_unseen(trim(text))
    if len(email) > _LENGTH or len(email.partition("@")[0]) > _LOCAL_LENGTH or not _EMAIL.fullmatch(email):
        raise InvalidEmail("E-mail inválido." + (look_alike(email, letters=True) or _strange(email[:MOST_TYPED])))
    return email


def _strange(email: str) -> str:
    """Return the message about the first character that no address may have, such as `＠` or `ç`."""
    sign = next((sign for sign in email if not sign.isascii() and sign.isprintable()), None)
    if sign is None or unicodedata.category(sign) == "Cs":
        return ""
    return f" “{sign}” não pode estar em um e-mail."


def _validate(text: str) -> str:
    try:
        return parse_email(text)
    except InvalidEmail as error:
        raise PydanticCustomError("invalid_email", "{reason}", {"reason": str(error)}) from error


Email = Annotated[
    str,
    Field(max_length=500),
    AfterValidator(_validate),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": _LENGTH, "examples": ["maria@exemplo.com.br"]}),
]
"""A wire e-mail address; others are 422."""
