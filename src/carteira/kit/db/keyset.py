"""Keyset pages: a query sorted by its key, from a position on; one index serves both directions."""

from typing import Any, TypeVarTuple

from sqlalchemy import Select, tuple_

Columns = TypeVarTuple("Columns")


def keyset(
    query: Select[*Columns],
    *key: Any,  # noqa: ANN401 - columns of a table, or of a subquery
    after: object,
    limit: int,
    newest_first: bool = False,
    turned: bool = False,
) -> Select[*Columns]:
    """Return a query for the rows after a position (None: from the beginning), sorted by a key of columns.

    `turned` goes the other way; the same index serves both.
    """
    is_down = newest_first != turned
    if after is not None:
        place = key[0] if len(key) == 1 else tuple_(*key)
        query = query.where(place < after if is_down else place > after)
    return query.order_by(*(column.desc() if is_down else column for column in key)).limit(limit)
