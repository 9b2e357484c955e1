"""Long work in pieces: everything in order, other work of the loop in between, and the same JSON as in one piece."""

import asyncio
from uuid import uuid4

import orjson
import pytest
from pydantic import BaseModel

from carteira.kit.ops.cooperative import PIECE, dump_json, pieces


class Item(BaseModel):
    """An item that is written."""

    id: object
    name: str | None = None


async def test_pieces_hold_all_items_in_their_order() -> None:
    assert [piece async for piece in pieces(range(7), 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [piece async for piece in pieces(range(0))] == []


async def test_other_tasks_run_before_between_and_after_pieces() -> None:
    turns: list[str] = []

    async def other() -> None:
        while True:
            turns.append("other")
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    async for piece in pieces("ab", 1):
        turns.extend(piece)
    task.cancel()
    assert turns == ["other", "a", "other", "b", "other"]


@pytest.mark.parametrize("count", [0, 1, PIECE, PIECE + 1, 3 * PIECE])
async def test_a_list_is_written_as_if_it_were_written_whole(count: int) -> None:
    values: list[object] = [{"name": f"ç\u2028\x00{number}", "b": [], "a": None, "n": 1.5} for number in range(count)]
    assert await dump_json(values, orjson.OPT_SORT_KEYS) == orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
    models = [Item(id=uuid4(), name="[,]") for _ in range(count)]
    assert await dump_json(models) == orjson.dumps([model.model_dump(mode="json") for model in models])


async def test_values_outside_json_are_not_written() -> None:
    with pytest.raises(TypeError):
        await dump_json([object()])
