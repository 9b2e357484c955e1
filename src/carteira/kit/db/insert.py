"""Rows that are appended by a statement of others: what a write of money takes with it."""

from collections.abc import Iterator


class Insert:
    """How rows of some tables are appended out of a statement's parameters.

    Args:
        rows: For each table, the table with its columns in brackets, and the query that gives the rows, with the
            parameters as `{0}`, `{1}` …
        parameters: How many there are.
    """

    def __init__(self, *rows: tuple[str, str], parameters: int) -> None:
        self._rows = rows
        self.parameters = parameters

    def statements(self, first: int, condition: str) -> Iterator[str]:
        """Return an `INSERT` for each table; parameters count from `first`, and `condition` holds or none is appended.

        The condition is evaluated before the rows are made.
        """
        numbered = [f"${first + place}" for place in range(self.parameters)]
        for table, query in self._rows:
            wanted = query.format(*numbered)
            yield f"INSERT INTO {table} SELECT made.* FROM ({wanted}) AS made WHERE {condition}"  # noqa: S608 - constants


def alone(insert: Insert) -> str:
    """Return the statement that appends rows to one table and does nothing else."""
    (statement,) = insert.statements(1, "true")
    return statement
