"""The base of all JSON bodies, and additions to their schemas."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """A request's JSON object; a field that it does not name is an error (422)."""

    model_config = ConfigDict(extra="forbid")


_NULL = {"type": "null"}


def exactly_one(**kinds: str) -> dict[str, Any]:
    """Return an addition to a body's schema: exactly one of some optional fields is required.

    `kinds` are the fields' names, with their types in JSON Schema. It stands in an `allOf`, so that generators of
    clients make one class of the body, and not one for each case.
    """
    return _cases(
        *(
            {
                "required": [name],
                "properties": {other: {"type": kinds[name]} if other == name else _NULL for other in kinds},
            }
            for name in kinds
        )
    )


def at_most_one(*names: str) -> dict[str, Any]:
    """Return an addition to a body's schema: at most one of some optional fields is allowed."""
    return _cases(*({"properties": {other: _NULL for other in names if other != name}} for name in names))


def cases_of(field: str, kinds: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return an addition to a body's schema: the other fields depend on one field's value.

    For each value it has their schemas. A field whose schema takes no null is required.
    """
    return _cases(
        *(
            {
                "required": [field, *(name for name, schema in others.items() if schema != _NULL)],
                "properties": {field: {"const": value}, **others},
            }
            for value, others in kinds.items()
        )
    )


def _cases(*cases: dict[str, Any]) -> dict[str, Any]:
    return {"allOf": [{"anyOf": list(cases)}]}
