"""Reading forms: what was typed goes through a model of the API's own fields, and comes back with its errors."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.datastructures import FormData

from carteira.kit.web.problems import Problem
from carteira.kit.web.validation import describe

_SECRET = ("password", "code", "token")
"""Fields whose names hold one of these are never drawn again."""


class FormBody(BaseModel):
    """A form's fields; others that came are left aside, and what was left empty counts as missing."""

    model_config = ConfigDict(extra="ignore", frozen=True)


M = TypeVar("M", bound=FormBody)


@dataclass(frozen=True, slots=True)
class Reading(Generic[M]):
    """A form as it was sent: its value, or what is wrong with each field."""

    value: M | None = None
    typed: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    """What is wrong with the whole."""

    def text(self, name: str, default: str = "") -> str:
        """Give what was typed into a field; of a password nothing."""
        return "" if any(part in name for part in _SECRET) else self.typed.get(name, default)

    def failed(self, problem: Problem) -> "Reading[M]":
        """Give the form as a problem leaves it: errors at the fields that it names, else its text above them all."""
        known = set() if self.value is None else set(type(self.value).model_fields)
        at_fields: dict[str, str] = {}
        for item in problem.errors:
            if item["field"] in known:
                at_fields[item["field"]] = " ".join(filter(None, (at_fields.get(item["field"]), item["message"])))
        return replace(self, errors={**self.errors, **at_fields}, message="" if at_fields else problem.detail)

    def saying(self, text: str) -> "Reading[M]":
        """Give the form with a sentence about the whole."""
        return replace(self, message=text)

    def at(self, name: str, text: str) -> "Reading[M]":
        """Give the form with an error at one field."""
        return replace(self, errors={**self.errors, name: text})


EMPTY: Reading[FormBody] = Reading()
"""A form that nobody has filled in yet."""


def read(kind: type[M], sent: FormData | Mapping[str, str]) -> Reading[M]:
    """Read a form; files are left to who asks for them."""
    typed = {name: value for name, value in sent.items() if isinstance(value, str) and "\0" not in value}
    filled = {name: value for name, value in typed.items() if value.strip()}
    try:
        return Reading(kind.model_validate(filled), typed)
    except ValidationError as error:
        errors: dict[str, str] = {}
        for item in error.errors():
            told = describe(item)
            name = told["field"].partition(".")[0]
            errors.setdefault(name, "Preencha este campo." if item["type"] == "missing" else told["message"])
        return Reading(None, typed, {name: text for name, text in errors.items() if name}, errors.get("", ""))
