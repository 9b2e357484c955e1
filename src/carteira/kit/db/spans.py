"""Spans at the driver: one per statement, sent by SQLAlchemy or on the connection itself.

Connections have this class only in processes that trace (`kit.db.connecting`). A span holds the statement's text, which
is the code's own, and never its values.
"""

import re
from collections.abc import Coroutine
from functools import lru_cache
from typing import Any, TypeVar

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from carteira.kit.ops import tracing

T = TypeVar("T")
MAX_TEXT = 1_000
"""Most characters of a statement in a span."""
_WORDS = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|BEGIN|COMMIT|ROLLBACK|SET|LOCK)\b", re.IGNORECASE)
_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE)\s+(?:ONLY\s+)?([a-z_][a-z0-9_]*)", re.IGNORECASE)


@lru_cache(maxsize=4_096)
def summarise(statement: str) -> tuple[str, str]:
    """Return a statement's summary (`SELECT ledger_accounts`) and its text, for a span."""
    text = " ".join(statement.split())
    first, table = _WORDS.search(text), _TABLE.search(text)
    verb = first[1].split()[0].upper() if first else text.split(" ")[0].split("(")[0].strip(";")
    words = (verb, table[1] if table else "")
    return " ".join(filter(None, words)) or "ping", text[:MAX_TEXT]


def _traced(statement: str, run: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
    """Return a statement's run with a span around it if the present work is traced."""
    return run if tracing.current() is None else _within(statement, run)


async def _within(statement: str, run: Coroutine[Any, Any, T]) -> T:
    summary, text = summarise(statement)
    with tracing.span(summary, "client", {"db.system.name": "postgresql", "db.query.text": text}):
        return await run


class TracedConnection(asyncpg.Connection):  # type: ignore[misc] # asyncpg has no types
    """A connection whose statements are spans of the present trace."""

    __slots__ = ()

    def execute(self, query: str, *values: Any, **options: Any) -> Coroutine[Any, Any, Any]:  # noqa: ANN401 - as asyncpg's
        """Run a statement."""
        return _traced(query, super().execute(query, *values, **options))

    def executemany(self, command: str, args: Any, **options: Any) -> Coroutine[Any, Any, Any]:  # noqa: ANN401 - as asyncpg's
        """Run a statement for each of several rows of values."""
        return _traced(command, super().executemany(command, args, **options))

    def fetch(self, query: str, *values: Any, **options: Any) -> Coroutine[Any, Any, Any]:  # noqa: ANN401 - as asyncpg's
        """Run a statement and return its rows."""
        return _traced(query, super().fetch(query, *values, **options))

    def fetchrow(self, query: str, *values: Any, **options: Any) -> Coroutine[Any, Any, Any]:  # noqa: ANN401 - as asyncpg's
        """Run a statement and return its first row."""
        return _traced(query, super().fetchrow(query, *values, **options))

    def fetchval(self, query: str, *values: Any, **options: Any) -> Coroutine[Any, Any, Any]:  # noqa: ANN401 - as asyncpg's
        """Run a statement and return a value of its first row."""
        return _traced(query, super().fetchval(query, *values, **options))

    async def prepare(self, query: str, **options: Any) -> Any:  # noqa: ANN401 - as asyncpg's
        """Prepare a statement, as SQLAlchemy does."""
        statement = await super().prepare(query, **options)
        statement.__class__ = _TracedStatement
        return statement


class _TracedStatement(PreparedStatement):  # type: ignore[misc] # asyncpg has no types
    """A prepared statement whose runs are spans."""

    __slots__ = ()

    def fetch(self, *values: Any, **options: Any) -> Coroutine[Any, Any, Any]:  # noqa: ANN401 - as asyncpg's
        """Run it and return its rows."""
        return _traced(self.get_query(), super().fetch(*values, **options))
