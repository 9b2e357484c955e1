"""Fields of identity's bodies: each says its rule in Portuguese."""

import re
import unicodedata
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from carteira.identity.users.passwords import MAX_LENGTH, MIN_LENGTH
from carteira.kit.values.clock import clock
from carteira.kit.values.cpf import Cpf
from carteira.kit.values.days import Day, TypedDay, schema_of_days
from carteira.kit.values.email import Email
from carteira.kit.values.texts import SEEN, SEEN_TEXT, trim
from carteira.kit.web.bodies import Body, exactly_one

_NAME_LENGTH, _MAX_AGE = 120, 130
_UNSEEN = dict.fromkeys([0xAD, 0x200B, 0x2060, 0xFEFF])
"""Invisible characters in pasted text that do not affect how the rest is read."""
_INT32 = 2**31 - 1
_DIGITS = re.compile(r"([0-9]{2})([0-9]{2})([0-9]{4})", re.ASCII)


def _name(text: str) -> str:
    text = unicodedata.normalize("NFC", text.translate(_UNSEEN))
    if any(unicodedata.category(character).startswith("C") for character in text):
        raise PydanticCustomError("invalid_name", "O nome não pode ter caracteres de controle.")
    name = " ".join(text.split())
    if len(name) > _NAME_LENGTH:
        raise PydanticCustomError("invalid_name", "O nome deve ter no máximo 120 caracteres.")
    if len(name.split()) < 2:  # noqa: PLR2004 - the rule itself
        raise PydanticCustomError("invalid_name", "Informe nome e sobrenome.")
    return name


def _born(day: date) -> date:
    today = clock.today()
    if day >= today:
        raise PydanticCustomError("invalid_birth_date", "A data de nascimento deve estar no passado.")
    if today.year - day.year - ((today.month, today.day) < (day.month, day.day)) > _MAX_AGE:
        raise PydanticCustomError("invalid_birth_date", "A idade deve ser de no máximo 130 anos.")
    return day


def _with_slashes(value: object) -> object:
    """Parse `12031950`, as typed on a numeric keyboard; people type the year last."""
    match = _DIGITS.fullmatch(trim(value)) if isinstance(value, str) else None
    return "/".join(match.groups()) if match else value


def _visible(text: str) -> str:
    if not trim(text):
        raise PydanticCustomError("invalid_text", "Envie um texto que se possa ver.")
    return text


FullName = Annotated[
    str,
    Field(max_length=500),
    AfterValidator(_name),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": _NAME_LENGTH,
            "pattern": f"^[{SEEN}]+(?: +[{SEEN}]+)+$",
            "description": "Nome e sobrenome",
            "examples": ["Maria da Silva"],
        }
    ),
]
_THIS_YEAR = clock.today().year
BirthDate = Annotated[
    Day,
    AfterValidator(_born),
    WithJsonSchema(schema_of_days(_THIS_YEAR - _MAX_AGE, _THIS_YEAR, "1990-05-17")),
]
"""A wire birth date: in the past, and of somebody who may be alive. Its schema has the years of the process's start."""
TypedBirthDate = Annotated[TypedDay, BeforeValidator(_with_slashes), AfterValidator(_born)]
"""A birth date from a page."""
Password = Annotated[str, Field(max_length=1000, json_schema_extra={"format": "password"})]
NewPassword = Annotated[
    str,
    Field(max_length=1000),
    WithJsonSchema(
        {
            "type": "string",
            "format": "password",
            "minLength": MIN_LENGTH,
            "maxLength": MAX_LENGTH,
            "pattern": "[A-Z].*[0-9]|[0-9].*[A-Z]",
            "description": "Uma letra maiúscula e um número ao menos; uma senha conhecida de vazamentos é recusada",
            "examples": ["Girassol7amarelo"],
        }
    ),
]
"""A new password: its rules are checked later, where all broken ones are reported together."""
Code = Annotated[str, Field(min_length=1, max_length=80, examples=["12345678"])]
Token = Annotated[str, Field(min_length=1, max_length=200)]
Description = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$",
        json_schema_extra={"pattern": SEEN_TEXT},
    ),
    AfterValidator(_visible),
]
Id = Annotated[int, Field(strict=True, ge=1, le=_INT32)]


NAMED_ONCE = exactly_one(email="string", cpf="string")
"""The part of a schema that `Named` bodies add."""


class Named(Body, json_schema_extra=NAMED_ONCE):
    """Names a person by e-mail or by CPF."""

    email: Email | None = None
    cpf: Cpf | None = None

    @model_validator(mode="after")
    def _one_name(self) -> "Named":
        if (self.email is None) == (self.cpf is None):
            raise PydanticCustomError("invalid_name", "Informe o e-mail ou o CPF.")
        return self

    @property
    def name(self) -> str:
        """The e-mail or the CPF."""
        return self.email or self.cpf or ""
