"""Fields of identity's bodies: each says its rule in Portuguese."""

import re
import unicodedata
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from carteira.kit.values.clock import clock
from carteira.kit.values.cpf import Cpf
from carteira.kit.values.texts import trim
from carteira.kit.web.bodies import Body

_EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]"
)
_NAME_LENGTH, _EMAIL_LENGTH, _LOCAL_LENGTH, _MAX_AGE = 120, 254, 64, 130
_INT32 = 2**31 - 1


def _name(text: str) -> str:
    if any(unicodedata.category(character).startswith("C") for character in text):
        raise PydanticCustomError("invalid_name", "O nome não pode ter caracteres de controle.")
    name = " ".join(text.split())
    if len(name) > _NAME_LENGTH:
        raise PydanticCustomError("invalid_name", "O nome deve ter no máximo 120 caracteres.")
    if len(name.split()) < 2:  # noqa: PLR2004 - the rule itself
        raise PydanticCustomError("invalid_name", "Informe nome e sobrenome.")
    return name


def _email(text: str) -> str:
    email = trim(text)
    if len(email) > _EMAIL_LENGTH or len(email.partition("@")[0]) > _LOCAL_LENGTH or not _EMAIL.fullmatch(email):
        raise PydanticCustomError("invalid_email", "E-mail inválido.")
    return email


def _born(day: date) -> date:
    today = clock.today()
    if day >= today:
        raise PydanticCustomError("invalid_birth_date", "A data de nascimento deve estar no passado.")
    if today.year - day.year - ((today.month, today.day) < (day.month, day.day)) > _MAX_AGE:
        raise PydanticCustomError("invalid_birth_date", "A idade deve ser de no máximo 130 anos.")
    return day


def _seen(text: str) -> str:
    if not trim(text):
        raise PydanticCustomError("invalid_text", "Envie um texto que se possa ver.")
    return text


def _phone(text: str) -> str:
    if not re.fullmatch(r"[0-9]{10,11}", text):
        raise PydanticCustomError("invalid_phone", "O telefone deve ter 10 ou 11 dígitos.")
    return text


FullName = Annotated[str, Field(max_length=500, examples=["Maria da Silva"]), AfterValidator(_name)]
Email = Annotated[str, Field(max_length=500, examples=["maria@exemplo.com.br"]), AfterValidator(_email)]
BirthDate = Annotated[date, Field(examples=["1990-05-17"]), AfterValidator(_born)]
Phone = Annotated[str, Field(max_length=50, examples=["11987654321"]), AfterValidator(_phone)]
Password = Annotated[str, Field(max_length=1000, json_schema_extra={"format": "password"})]
Code = Annotated[str, Field(min_length=1, max_length=80, examples=["12345678"])]
Token = Annotated[str, Field(min_length=1, max_length=200)]
Description = Annotated[
    str,
    Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$"),
    AfterValidator(_seen),
]
Id = Annotated[int, Field(strict=True, ge=1, le=_INT32)]


class Named(Body):
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
