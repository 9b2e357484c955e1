"""Spans at the driver: each statement as one, whoever sent it, by SQLAlchemy or on the connection itself.

Only where the process traces are connections of this kind (`kit.db.connecting`). A statement's text is the code's own,
and its values are never told.
"""

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from carteira.kit.ops import tracing

MAX_TEXT = 1_000
"""Characters of a statement that a span tells."""
_WORDS = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|BEGIN|COMMIT|ROLLBACK|SET|LOCK)\b", re.IGNORECASE)
_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE)\s+(?:ONLY\s+)?([a-z_][a-z0-9_]*)", re.IGNORECASE)


@lru_cache(maxsize=4_096)
def told(statement: str) -> tuple[str, str]:
    """Return a statement's summary (`SELECT ledger_accounts`) and its text, as a span tells them."""
    text = " ".join(statement.split())
    first, table = _WORDS.search(text), _TABLE.search(text)
    verb = first[1].split()[0].upper() if first else text.split(" ")[0].split("(")[0].strip(";")
    words = (verb, table[1] if table else "")
    return " ".join(filter(None, words)) or "ping", text[:MAX_TEXT]


def _span(statement: str) -> AbstractContextManager[tracing.AnySpan]:
    if tracing.current() is None:
        return tracing.span("")
    summary, text = told(statement)
    return tracing.span(summary, "client", {"db.system.name": "postgresql", "db.query.text": text})


class TracedConnection(asyncpg.Connection):  # type: ignore[misc] # asyncpg has no types
    """A connection whose statements are parts of the trace that they are sent in."""

    __slots__ = ()

    async def execute(self, query: str, *values: Any, **options: Any) -> Any:  # noqa: ANN401 - as asyncpg's
        """Run a statement."""
        with _span(query):
            return await super().execute(query, *values, **options)

    async def executemany(self, command: str, args: Any, **options: Any) -> Any:  # noqa: ANN401 - as asyncpg's
        """Run a statement for each of several rows of values."""
        with _span(command):
            return await super().executemany(command, args, **options)

    async def fetch(self, query: str, *values: Any, **options: Any) -> Any:  # noqa: ANN401 - as asyncpg's
        """Run a statement and return its rows."""
        with _span(query):
            return await super().fetch(query, *values, **options)

    async def fetchrow(self, query: str, *values: Any, **options: Any) -> Any:  # noqa: ANN401 - as asyncpg's
        """Run a statement and return its first row."""
        with _span(query):
            return await super().fetchrow(query, *values, **options)

    async def fetchval(self, query: str, *values: Any, **options: Any) -> Any:  # noqa: ANN401 - as asyncpg's
        """Run a statement and return a value of its first row."""
        with _span(query):
            return await super().fetchval(query, *values, **options)

    async def prepare(self, query: str, **options: Any) -> Any:  # noqa: ANN401 - as asyncpg's
        """Prepare a statement; SQLAlchemy sends its own so."""
        statement = await super().prepare(query, **options)
        statement.__class__ = _TracedStatement
        return statement


class _TracedStatement(PreparedStatement):  # type: ignore[misc] # asyncpg has no types
    """A prepared statement whose runs are spans."""

    __slots__ = ()

    async def fetch(self, *values: Any, **options: Any) -> Sequence[Any]:  # noqa: ANN401 - as asyncpg's
        """Run it and return its rows."""
        with _span(self.get_query()):
            rows: Sequence[Any] = await super().fetch(*values, **options)
            return rows
