"""The ledger's statements in which a table of another module takes part. Each is put together once, at import."""

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

Row = TypeVar("Row", bound=tuple[Any, ...])

WRITE = "WITH written AS MATERIALIZED (SELECT ledger_post($1, $2, $3, $4, $5, $6, $7)) "
"""Write a book: moves, entries, lines, follow, the actor's kind and id, who approved it.

It is written when `written`, a row of one column, is read.
"""
WRITE_ALONE = WRITE + "SELECT FROM written"
COLUMNS = "id, balance, held, version, may_go_negative, holder_id, kind"
"""The columns of an `Account`, in its order."""


class Records(NamedTuple):
    """Rows that `Recorder.record` made ready for `write`: the whole statement, and its parameters from `$8` on."""

    statement: str
    values: tuple[object, ...]


class Recorder(Generic[Row]):
    """Append rows to a module's own table in the statement that writes a book, so that both are written or neither.

    A module makes one at import and hands `record(rows)` to `write`: one round trip and one prepared statement for
    both.

    Args:
        table: The table that takes the rows; its `xid` takes the position of the transaction, asked for once.
        columns: Its other columns, in the order of a row's fields.
        row_type: The composite type in the database with the same fields.
        guard: A function in the database that is called once with the `known` of `record`. It returns true, or raises
            so that neither the book nor the rows are written.
    """

    def __init__(self, table: str, columns: Sequence[str], *, row_type: str, guard: str | None = None) -> None:
        self._guard = guard
        guarded = f"(SELECT {guard}($9)) AND " if guard else ""
        self._statement = f"""{WRITE}
    INSERT INTO {table} (xid, {", ".join(columns)})
    SELECT (SELECT position_now()), new.* FROM unnest($8::{row_type}[]) AS new
WHERE {guarded}(SELECT count(*) FROM written) = 1"""  # noqa: S608 - names from constants of the modules

    def record(self, rows: Sequence[Row], known: object = None) -> Records:
        """Return the rows as `write` takes them; `known` is what the guard is asked about."""
        return Records(self._statement, (rows,) if self._guard is None else (rows, known))


class Holders:
    """A module's table of holders of accounts, for `accounts_held`.

    Args:
        table: The table.
        name: The column with the module's own name of a holder.
        holder_id: The column with the id that the ledger knows.
    """

    def __init__(self, table: str, *, name: str, holder_id: str = "id") -> None:
        self.read_accounts = f"""
    WITH holder (name, holder_id) AS (SELECT {name}, {holder_id} FROM {table} WHERE {name} = ANY($1))
    SELECT name, holder.holder_id, {COLUMNS.replace("holder_id", "account.holder_id")}
    FROM holder LEFT JOIN ledger_accounts account ON account.holder_id = holder.holder_id
"""  # noqa: S608 - names from constants of the modules
