"""Parses forms with models of the API's own fields, and returns the typed texts with their errors."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from starlette.datastructures import FormData

from carteira.kit.web.problems import Problem
from carteira.kit.web.validation import describe

_SECRET = ("password", "code", "token")
"""Fields with one of these in their names are never filled in again."""


def _unix(text: object) -> object:
    return text.replace("\r\n", "\n") if isinstance(text, str) else text


Lines = Annotated[str, BeforeValidator(_unix)]
"""A text of several lines, whose ends browsers send as CRLF."""


class FormBody(BaseModel):
    """A form's fields; unknown fields are ignored, and empty ones count as missing."""

    model_config = ConfigDict(extra="ignore", frozen=True)


M = TypeVar("M", bound=FormBody)


@dataclass(frozen=True, slots=True)
class Reading(Generic[M]):
    """A parsed form: its value, or each field's error."""

    value: M | None = None
    typed: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    """The error of the whole form."""

    def text(self, name: str, default: str = "") -> str:
        """Return a field's typed text; nothing of a password."""
        return "" if any(part in name for part in _SECRET) else self.typed.get(name, default)

    def failed(self, problem: Problem) -> "Reading[M]":
        """Return the form with a problem's errors at its fields, or else the problem's text above them all."""
        known = set() if self.value is None else set(type(self.value).model_fields)
        at_fields: dict[str, str] = {}
        for item in problem.errors:
            if item["field"] in known:
                at_fields[item["field"]] = " ".join(filter(None, (at_fields.get(item["field"]), item["message"])))
        return replace(self, errors={**self.errors, **at_fields}, message="" if at_fields else problem.detail)

    def saying(self, text: str) -> "Reading[M]":
        """Return the form with an error of the whole."""
        return replace(self, message=text)

    def at(self, name: str, text: str) -> "Reading[M]":
        """Return the form with an error at one field."""
        return replace(self, errors={**self.errors, name: text})


EMPTY: Reading[FormBody] = Reading()
"""An empty form."""


def read(kind: type[M], sent: FormData | Mapping[str, str]) -> Reading[M]:
    """Parse a form; files are left to the caller."""
    typed = {name: value for name, value in sent.items() if isinstance(value, str) and "\0" not in value}
    filled = {name: value for name, value in typed.items() if value.strip()}
    try:
        return Reading(kind.model_validate(filled), typed)
    except ValidationError as error:
        errors: dict[str, str] = {}
        for item in error.errors():
            described = describe(item)
            name = described["field"].partition(".")[0]
            errors.setdefault(name, "Preencha este campo." if item["type"] == "missing" else described["message"])
        return Reading(None, typed, {name: text for name, text in errors.items() if name}, errors.get("", ""))
