"""What every JSON body has in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """A request's JSON object; a field that it does not name is an error (422)."""

    model_config = ConfigDict(extra="forbid")


_NULL = {"type": "null"}


def exactly_one(**kinds: str) -> dict[str, Any]:
    """Return what a body's schema adds where exactly one of some optional fields is to be given.

    `kinds` are the fields' names, with their types in JSON Schema. It stands in an `allOf`: generators of clients make
    one class of the body, and not one for each case.
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
    """Return what a body's schema adds where one of some optional fields at most is to be given."""
    return _cases(*({"properties": {other: _NULL for other in names if other != name}} for name in names))


def cases_of(field: str, kinds: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what a body's schema adds where the others of its fields go by one: of each of its values, their schemas.

    A field whose schema takes no null is demanded.
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
