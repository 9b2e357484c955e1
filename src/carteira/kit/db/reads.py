"""Reads in one trip: a query is compiled once and run on the driver, without a transaction around it.

A session adds a trip at each end of its transaction, and several times the query's processor time. A single statement
sees one state of the database by itself. Verbs that need several statements in one state, locks or writes need a `Tx`.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import CompoundSelect, Select, TextClause
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from carteira.kit.db.session import Tx, fetch


class Query:
    """A select with a `bindparam` for each variable value, compiled for the driver.

    Its columns have types that the driver itself reads: texts, numbers, instants, ids, arrays of them.
    """

    def __init__(self, select: Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]] | TextClause) -> None:
        compiled = select.compile(dialect=dialect())  # type: ignore[no-untyped-call] # the library's own gap
        assert compiled.positiontup is not None, "the driver's parameters are numbered"
        self.sql = str(compiled)
        self._names = compiled.positiontup
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}

    def arguments(self, values: dict[str, object]) -> list[object]:
        """Return the parameters' values in the order of their numbers.

        Raises:
            KeyError: one is missing.
        """
        return [values[name] if name in values else self._fixed[name] for name in self._names]


class Reads:
    """Runs queries, each in one trip and a transaction of its own."""

    def __init__(self, fetch: Callable[[str, Sequence[object]], Awaitable[list[Any]]]) -> None:
        self.fetch = fetch


async def rows(via: Reads | Tx, query: Query, /, **values: object) -> Sequence[Any]:
    """Run a query, by itself or within a transaction, and return its rows as tuples.

    Raises:
        DatabaseDown: PostgreSQL is unreachable.
        TextNotStorable: a text holds a character that PostgreSQL does not take (U+0000).
    """
    arguments = query.arguments(values)
    if isinstance(via, Reads):
        return await via.fetch(query.sql, arguments)
    return await fetch(via, query.sql, *arguments)


async def first(via: Reads | Tx, query: Query, /, **values: object) -> Any:  # noqa: ANN401 - a row, of any columns
    """Return the first of `rows`; None if there is none."""
    found = await rows(via, query, **values)
    return found[0] if found else None
