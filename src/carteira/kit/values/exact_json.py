"""Strict JSON parsers: they refuse repeated names, NaN and Infinity, and lone surrogates.

One returns plain values, for the bodies of routes; the other keeps the text of numbers, from which money is parsed.
"""

import json
import math
import re
from typing import Any, NoReturn

MOST_NAMES = 1_000
"""Most names of one object; ours have fewer than fifty, and each unknown name would be an error of its own."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class JsonNumber(str):
    """A JSON number as it was written; money is parsed from its text."""

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
        ValueError: it is not JSON, holds NaN or Infinity, or an object in it repeats a name.
        RecursionError: it is nested too deeply.
    """
    return _exact.decode(text)


def parse_strict_json(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a JSON text in UTF-8 (RFC 8259); a byte order mark before it is ignored.

    Raises:
        ValueError: it is not JSON; it holds NaN, Infinity, a number beyond a float or a lone surrogate; an object in it
            repeats a name or has more than `MOST_NAMES`; or it is nested too deeply.
    """
    text = body.decode("utf-8-sig")
    content = _parsed(text)
    if _SURROGATE.search(text):
        json.dumps(content, ensure_ascii=False).encode()  # this refuses lone surrogates; few texts reach it
    return content


def parse_lenient_json(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value as `parse_strict_json` does, but accept lone surrogates.

    A service that forwards typed text may have cut a character in two; the rest of its answer is still usable.

    Raises:
        ValueError: as `parse_strict_json`, lone surrogates aside.
    """
    return _parsed(body.decode("utf-8-sig"))


def _parsed(text: str) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return _strict.decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
