"""Long work in pieces: the event loop serves others between one and the next.

A thread would not do. What parses and writes JSON keeps the interpreter to itself all the while, and other Python code
hands it on too seldom.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import islice
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel

T = TypeVar("T")

PIECE = 100
"""How many lines of anything are worked on before others are served: a millisecond or two."""


async def pieces(items: Iterable[T], size: int = PIECE) -> AsyncIterator[list[T]]:
    """Give the items in pieces of `size`, and let the event loop turn once before each and after the last."""
    iterator = iter(items)
    await asyncio.sleep(0)
    while piece := list(islice(iterator, size)):
        yield piece
        await asyncio.sleep(0)


async def dump_json(items: Sequence[Any], option: int = 0) -> bytes:
    """Write a list of JSON values or models as JSON, in pieces; byte for byte what orjson writes of it whole."""
    parts = [orjson.dumps(piece, dump_model, option)[1:-1] async for piece in pieces(items)]
    return b"[" + b",".join(parts) + b"]"


def dump_model(value: Any) -> Any:  # noqa: ANN401 - what orjson does not know
    """Tell orjson what a model is (its `default`)."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError
