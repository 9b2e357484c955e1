"""Conditional writes over HTTP: `If-Match` with the ETag that was read, `If-None-Match: *` to create (RFC 9110)."""

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header
from pydantic import WithJsonSchema

from carteira.credit.errors import InvalidPrecondition, PreconditionRequired, RecordChanged

_ETAG = re.compile(r'"([A-Za-z0-9-]{1,64})"')
_IfMatch = Annotated[str, WithJsonSchema({"type": "string", "pattern": r'^(?:\*|"[A-Za-z0-9-]{1,64}")$'})]
_IfNoneMatch = Annotated[str, WithJsonSchema({"type": "string", "pattern": r"^\*$"})]


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

    def check(self, present: str | None) -> None:
        """Check the condition against the present version (None: there is no record).

        Raises:
            RecordChanged: it is another one.
            PreconditionRequired: there is a record and the caller says nothing about it.
        """
        if present is None:
            if self.version is not None or self.any_version:
                raise RecordChanged
        elif self.absent or (self.version is not None and self.version != present):
            raise RecordChanged
        elif self.version is None and not self.any_version:
            raise PreconditionRequired


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
        return Precondition()
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
