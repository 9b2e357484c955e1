"""JSON without what a lenient reader lets pass: names that stand twice, NaN and Infinity, halves of surrogate pairs.

One reader gives plain values, for the bodies of routes; the other keeps the text of numbers, of which money is read.
"""

import json
import math
import re
from typing import Any, NoReturn

MOST_NAMES = 1_000
"""Of one object; none of ours has fifty. Each one too many would be an error of its own."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


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


def _unique_and_few(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_NAMES:
        raise ValueError("too many names")
    return _unique(pairs)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


_exact = json.JSONDecoder(
    parse_float=JsonNumber, parse_int=JsonNumber, parse_constant=_refuse_constant, object_pairs_hook=_unique
)
_strict = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant, object_pairs_hook=_unique_and_few)


def parse_exact_json(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value, with every number as a `JsonNumber`.

    Raises:
        ValueError: it is not JSON, holds NaN or Infinity, or an object in it has a name twice.
        RecursionError: it is nested too deeply.
    """
    return _exact.decode(text)


def parse_strict_json(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a JSON text in UTF-8 (RFC 8259); a byte order mark before it is no matter.

    Raises:
        ValueError: it is not that; it holds NaN, Infinity, a number beyond a float or half of a surrogate pair; an
            object in it has a name twice, or more than `MOST_NAMES`; or it is nested too deeply.
    """
    text = body.decode("utf-8-sig")
    content = _parsed(text)
    if _SURROGATE.search(text):
        json.dumps(content, ensure_ascii=False).encode()  # refuses halves, and is needed by hardly any text
    return content


def parse_told_json(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value as `parse_strict_json` does, halves of surrogate pairs as they are.

    A service that hands on what somebody typed may have cut a sign in two; a reader that wants none of that text goes
    on with the rest.

    Raises:
        ValueError: as `parse_strict_json`, halves aside.
    """
    return _parsed(body.decode("utf-8-sig"))


def _parsed(text: str) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return _strict.decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
