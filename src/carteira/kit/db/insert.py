"""Rows that are appended within another statement, for example the one that moves money."""

from collections.abc import Iterator


class Insert:
    """An insert of rows from a statement's parameters.

    Args:
        rows: Each table with its columns in brackets, and the query that yields its rows; parameters are `{0}`, `{1}` …
        parameters: The number of parameters.
    """

    def __init__(self, *rows: tuple[str, str], parameters: int) -> None:
        self._rows = rows
        self.parameters = parameters

    def statements(self, first: int, condition: str) -> Iterator[str]:
        """Return an `INSERT` for each table; parameters count from `first`.

        Rows are appended only if `condition` holds.

        The condition is evaluated before the rows' query.
        """
        numbered = [f"${first + place}" for place in range(self.parameters)]
        for table, query in self._rows:
            wanted = query.format(*numbered)
            yield f"INSERT INTO {table} SELECT made.* FROM ({wanted}) AS made WHERE {condition}"  # noqa: S608 - constants


def insert_only(insert: Insert) -> str:
    """Return the statement that only appends rows to one table."""
    (statement,) = insert.statements(1, "true")
    return statement
