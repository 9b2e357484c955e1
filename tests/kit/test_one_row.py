"""Questions of one row, asked together in one statement."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import column, func, literal, select, values
from sqlalchemy.types import Integer

from carteira.kit.db.one_row import OneRow, ask, ask_together
from carteira.kit.db.session import Tx


@dataclass(frozen=True)
class Extent:
    least: int | None
    greatest: int | None


NUMBERS = values(column("number", Integer), name="numbers").data([(1,), (5,), (9,)])
EXTENT = OneRow(select(func.min(NUMBERS.c.number), func.max(NUMBERS.c.number)), Extent)
COUNT = OneRow(select(func.count()).select_from(NUMBERS), int)
NOBODY = OneRow(select(NUMBERS.c.number).where(NUMBERS.c.number > 9), int)
NOTHING = OneRow(select(literal(None)), repr)


async def test_answers_of_one_statement_are_those_of_each(tx: Tx) -> None:
    questions: dict[str, OneRow[Any]] = {"extent": EXTENT, "count": COUNT, "nobody": NOBODY, "nothing": NOTHING}
    together = await ask_together(tx, questions)
    assert together == {"extent": Extent(1, 9), "count": 3, "nobody": None, "nothing": "None"}
    assert together == {name: await ask(tx, one) for name, one in questions.items()}
    assert await ask_together(tx, {}) == {}
