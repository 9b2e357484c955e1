"""Long work in pieces, between which the event loop serves other requests.

A thread would not help: parsing and writing JSON holds the interpreter's lock throughout, and other Python code
releases it too seldom.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import islice
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel

T = TypeVar("T")

PIECE = 100
"""The number of items per piece: one or two milliseconds of work."""


async def pieces(items: Iterable[T], size: int = PIECE) -> AsyncIterator[list[T]]:
    """Yield the items in pieces of `size`; the event loop runs once before each and after the last."""
    iterator = iter(items)
    await asyncio.sleep(0)
    while piece := list(islice(iterator, size)):
        yield piece
        await asyncio.sleep(0)


async def dump_json(items: Sequence[Any], option: int = 0) -> bytes:
    """Write a list of JSON values or models as JSON, in pieces; the bytes equal orjson's for the whole list."""
    parts = [orjson.dumps(piece, dump_model, option)[1:-1] async for piece in pieces(items)]
    return b"[" + b",".join(parts) + b"]"


def dump_model(value: Any) -> Any:  # noqa: ANN401 - orjson passes any value that it cannot write
    """Return a model as orjson can write it (its `default`)."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError
