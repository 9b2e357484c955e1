"""Conditional changes (RFC 9110): a caller names the version that they saw, and a later one is not overwritten.

A route takes `PreconditionDep` (`If-Match`, `If-None-Match`), a page a hidden field (`Precondition.of_form`). A verb
compares it under its lock: `require` where a change must name a version, `hold` where it may. The version of a record
without a version number is `version_of` the values that it shows.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, Final

import orjson
from fastapi import Depends, Header
from pydantic import WithJsonSchema

from carteira.kit.web.problems import InvalidInput, Problem

_ETAG = re.compile(r'"([A-Za-z0-9-]{1,64})"')
_IfMatch = Annotated[str, WithJsonSchema({"type": "string", "pattern": r'^(?:\*|"[A-Za-z0-9-]{1,64}")$'})]
_IfNoneMatch = Annotated[str, WithJsonSchema({"type": "string", "pattern": r"^\*$"})]
NEW: Final = "new"
"""The value of a form's field in place of a version if its record did not exist."""


class RecordChanged(Problem):
    """The record has another version than the one that the caller saw (RFC 9110, section 13.1.1)."""

    status = 412
    code = "record_changed"
    title = "Registro mudou"
    detail = "O registro mudou desde a sua leitura. Leia de novo e repita com o novo ETag em If-Match."


class PreconditionRequired(Problem):
    """A change of an existing record must name the version that the caller saw (RFC 6585, section 3)."""

    status = 428
    code = "precondition_required"
    title = "Falta If-Match"
    detail = "O registro já existe: envie If-Match com o ETag da sua última leitura."


class InvalidPrecondition(InvalidInput):
    """`If-Match` or `If-None-Match` is invalid for this resource."""

    code = "invalid_precondition"
    detail = "Envie If-Match com um ETag entre aspas ou *, ou If-None-Match: *."


@dataclass(frozen=True)
class Precondition:
    """The caller's condition on the record's present version.

    Attributes:
        version: The version that the caller saw; None: they named none.
        any_version: `If-Match: *`: any version, as long as there is a record.
        absent: `If-None-Match: *`: there is no record yet.
    """

    version: str | None = None
    any_version: bool = False
    absent: bool = False

    @classmethod
    def of_form(cls, text: str) -> "Precondition":
        """Return the precondition of a form's hidden field; an empty field matches no record."""
        return cls(absent=True) if text == NEW else cls(version=text)

    @property
    def is_named(self) -> bool:
        """Whether the caller named what they saw."""
        return self.version is not None or self.any_version or self.absent

    def require(self, present: str | None) -> None:
        """Compare the precondition, which an existing record demands, with the present version (None: no record).

        Raises:
            RecordChanged: it is another one.
            PreconditionRequired: there is a record, and the caller names no version.
        """
        self.hold(present)
        if present is not None and not self.is_named:
            raise PreconditionRequired

    def hold(self, present: str | None) -> None:
        """Compare the precondition, if there is one, with the present version (None: no record).

        Raises:
            RecordChanged: it is another one.
        """
        if present is None:
            if self.version is not None or self.any_version:
                raise RecordChanged
        elif self.absent or (self.version is not None and self.version != present):
            raise RecordChanged


UNCONDITIONAL = Precondition()
"""The precondition of a caller who names no version."""


async def _read(
    if_match: Annotated[_IfMatch | None, Header(description='ETag da sua última leitura, ou `*`: `"…"`')] = None,
    if_none_match: Annotated[_IfNoneMatch | None, Header(description="`*` para só criar")] = None,
) -> Precondition:
    if if_match is not None and if_none_match is not None:
        raise InvalidPrecondition
    if if_none_match is not None:
        if if_none_match.strip() != "*":
            raise InvalidPrecondition
        return Precondition(absent=True)
    if if_match is None:
        return UNCONDITIONAL
    if if_match.strip() == "*":
        return Precondition(any_version=True)
    match = _ETAG.fullmatch(if_match.strip())
    if match is None:
        raise InvalidPrecondition
    return Precondition(version=match[1])


PreconditionDep = Annotated[Precondition, Depends(_read)]
"""A route parameter: the caller's `If-Match` or `If-None-Match`."""


def etag(version: str) -> str:
    """Write a version as a strong ETag."""
    return f'"{version}"'


def version_of(*facts: object) -> str:
    """Return the version of a record without a version number: a digest of the values that it shows."""
    return hashlib.sha256(orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
