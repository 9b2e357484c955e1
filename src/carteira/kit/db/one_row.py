"""Queries that return one row each; those of several modules can share one statement and one trip."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import FromClause, Select, select, true

from carteira.kit.db.session import Tx

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OneRow(Generic[T]):
    """A query of one row at most, and the type that its columns are read into."""

    query: Select[*tuple[Any, ...]]
    read: Callable[..., T]


async def ask(tx: Tx, question: OneRow[T]) -> T | None:
    """Return a query's answer; None: there is no row."""
    row = (await tx.execute(question.query)).one_or_none()
    return None if row is None else question.read(*row)


async def ask_together(tx: Tx, questions: Mapping[str, OneRow[Any]]) -> dict[str, Any]:
    """Return the answers of queries by their names, all from one statement; None: there is no row."""
    joined: FromClause = select(true().label("always")).subquery("always")
    columns: list[Any] = []
    spans: dict[str, slice] = {}
    for place, (name, question) in enumerate(questions.items()):
        part = question.query.add_columns(true().label("there")).subquery(f"question_{place}")
        joined = joined.outerjoin(part, true())
        spans[name] = slice(len(columns), len(columns) + len(part.c))
        columns += part.c
    if not columns:
        return {}
    row = tuple((await tx.execute(select(*columns).select_from(joined))).one())
    return {name: _answer(questions[name], *row[span]) for name, span in spans.items()}


def _answer(question: OneRow[T], *values: object) -> T | None:
    *columns, there = values
    return question.read(*columns) if there else None
