"""The ledger's statements that include tables of other modules. Each is built once, at import."""

from collections.abc import Sequence
from typing import NamedTuple

from carteira.kit.db.insert import Insert

_PARAMETERS = 5
WRITE = """WITH written AS MATERIALIZED (
    SELECT ledger_post($1::ledger_move[], $2::ledger_posted_entry[], $3::ledger_line[], $4, $5))"""
"""Writes a book; its parameters are moves, entries, lines, `follow` and the approver.

It is written when `written`, a row of one column, is read.
"""
WRITE_ALONE = WRITE + " SELECT FROM written"
COLUMNS = "id, balance, held, version, may_go_negative, holder_id, kind"
"""The columns of an `Account`, in its order."""


class Records(NamedTuple):
    """Rows from `Recorder.record` for `write`: the whole statement, and its parameters after the book's."""

    statement: str
    values: tuple[object, ...]


class Recorder:
    """Appends rows to a module's tables in the statement that writes a book, so that all are written or none.

    A module makes one at import and passes `record(…)` to `write`: one trip and one prepared statement for all.

    Args:
        inserts: The inserts of the rows.
        guard: The call of a function in the database, with its parameters as `{0}`, `{1}` …, which come before those of
            the inserts. It is called once the book's accounts are locked; if it raises, nothing is written.
        guarded: The number of its parameters.
    """

    def __init__(self, *inserts: Insert, guard: str = "", guarded: int = 0) -> None:
        first = _PARAMETERS + 1
        steps, then = [WRITE], "written"
        if guard:
            call = guard.format(*(f"${first + place}" for place in range(guarded)))
            steps.append(f"checked AS MATERIALIZED (SELECT {call} FROM written)")  # noqa: S608 - constants
            then, first = "checked", first + guarded
        for insert in inserts:
            done = f"(SELECT count(*) FROM {then}) = 1"  # noqa: S608 - one of two names
            for statement in insert.statements(first, done):
                steps.append(f"rows_{len(steps)} AS ({statement})")
            first += insert.parameters
        self._statement = ",\n".join(steps) + f"\nSELECT FROM {then}"

    def record(self, *values: object) -> Records:
        """Return the rows for `write`: the guard's parameters, then those of each insert."""
        return Records(self._statement, values)


class Holders:
    """A module's table of holders of accounts, for `accounts_held`.

    Args:
        table: The table, aliased as `holder_row` in the other parameters.
        name: The column with the module's own name of a holder.
        holder_id: The column with the ledger's id of a holder.
        more: Expressions of the module's further columns; their own parameters begin with `$2`.
    """

    def __init__(self, table: str, *, name: str, holder_id: str = "id", more: Sequence[str] = ()) -> None:
        self.width = 1 + len(more)
        """Columns of a holder: its id, and `more`."""
        named = "".join(f", {expression} AS more_{place}" for place, expression in enumerate(more))
        columns = "".join(f", more_{place}" for place in range(len(more)))
        self.read_accounts = f"""
    WITH holder AS (
        SELECT {name} AS name, {holder_id} AS holder_id{named} FROM {table} holder_row WHERE {name} = ANY($1)
    )
    SELECT name, holder.holder_id{columns}, {COLUMNS.replace("holder_id", "account.holder_id")}
    FROM holder LEFT JOIN ledger_accounts account ON account.holder_id = holder.holder_id
"""  # noqa: S608 - names from constants of the modules
