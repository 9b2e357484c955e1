"""JSON of which money is read: numbers keep their text, and what a lenient reader lets pass is refused."""

import json
from typing import Any, NoReturn


class JsonNumber(str):
    """A JSON number as it was written; money is read from its text."""

    __slots__ = ()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a name stands twice")
    return content


_decoder = json.JSONDecoder(
    parse_float=JsonNumber, parse_int=JsonNumber, parse_constant=_refuse_constant, object_pairs_hook=_unique
)


def parse_exact_json(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value, with every number as a `JsonNumber`.

    Raises:
        ValueError: it is not JSON, holds NaN or Infinity, or an object in it has a name twice.
        RecursionError: it is nested too deeply.
    """
    return _decoder.decode(text)
