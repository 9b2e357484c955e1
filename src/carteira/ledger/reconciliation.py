"""The reconciliation: balances against postings and holds, entries against zero, unique values against their tables.

It reads the whole ledger, or only what follows a point up to which it was reconciled. A point is a position in the
order of transactions (`kit.db.positions`), so that an entry that commits late, with an earlier id, still follows it.
New rows are read by id, beginning with the least id of the entries after the point, so that only the partitions of
these ids are read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, TextClause, select, text

from carteira.kit.db.positions import HORIZON
from carteira.kit.db.session import Tx
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import first_uuid7


@dataclass(frozen=True, slots=True)
class ReconciledPoint:
    """A point up to which the ledger was reconciled.

    Attributes:
        position: All entries of transactions below it were read.
        at: When that was.
        sums: The sum of each system account's postings below the position.
    """

    position: int
    at: datetime
    sums: Mapping[UUID, int]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The result of comparing balances with postings and holds.

    `entries` is how many were read: all, or those since `since`. `point` is where the next one may begin, if there are
    no differences.
    """

    accounts: int
    entries: int
    point: ReconciledPoint
    since: datetime | None = None
    differences: list[dict[str, Any]] = field(default_factory=list)


class Narrow(NamedTuple):
    """A narrow table of permanently unique values, and the wide table that it refers to, by their names in SQL.

    `column` is the unique value, in both; `row_id` refers to the wide row, or is null if there is none. Wide rows may
    be deleted after `years_kept`; narrow ones stay.
    """

    table: str
    column: str
    row_id: str
    wide: str
    years_kept: int | None = None


_narrow = [
    Narrow("ledger_keys", "key", "entry_id", "ledger_entries"),
    Narrow("ledger_reversals", "reverses_id", "entry_id", "ledger_entries"),
]


def register_narrow(narrow: Narrow) -> None:
    """Add a module's narrow table to the reconciliation."""
    if narrow not in _narrow:
        _narrow.append(narrow)


# System accounts' lines of the entries from a position on. Accounts are joined afterwards: the planner assumes that a
# system account has as few lines as any other, and would read all of them.
_LINES = """
    SELECT entry.xid, posting.account_id, posting.amount
    FROM ledger_entries entry JOIN ledger_postings posting ON posting.entry_id = entry.id
    WHERE entry.xid >= :first AND entry.id >= :first_id AND posting.entry_id >= :first_id AND posting.seq IS NULL
"""
_TAIL = """
    SELECT line.account_id, sum(line.amount) AS amount
    FROM line JOIN ledger_accounts account ON account.id = line.account_id
    WHERE account.is_system AND line.xid >= account.rolled_up_to
    GROUP BY line.account_id
"""
"""The amounts of system accounts that are not rolled up yet."""


def _differences(*, among: bool) -> TextClause:
    """Return the query for accounts that differ; with `among`, only for accounts whose id is in `ids`."""
    lines, accounts = ("WHERE account_id = ANY(:ids)", "AND account.id = ANY(:ids)") if among else ("", "")
    return text(f"""
    WITH posted AS (
        SELECT account_id, sum(amount) AS amount,
               count(*) FILTER (WHERE balance_after <> expected) AS wrong
        FROM (
            SELECT account_id, amount, seq, balance_after,
                   sum(amount) OVER (PARTITION BY account_id ORDER BY seq) AS expected
            FROM ledger_postings {lines}
        ) line
        GROUP BY account_id
    ),
    held AS (SELECT account_id, sum(amount) AS amount FROM ledger_holds WHERE status = 'active' GROUP BY account_id),
    line AS MATERIALIZED ({_LINES}), tail AS ({_TAIL})
    SELECT account.id, account.kind, account.balance + coalesce(tail.amount, 0) AS balance,
           coalesce(posted.amount, 0) AS postings, account.held, coalesce(held.amount, 0) AS holds,
           coalesce(posted.wrong, 0) AS wrong_lines
    FROM ledger_accounts account
    LEFT JOIN posted ON posted.account_id = account.id
    LEFT JOIN held ON held.account_id = account.id
    LEFT JOIN tail ON tail.account_id = account.id
    WHERE (account.balance + coalesce(tail.amount, 0) <> coalesce(posted.amount, 0)
       OR account.held <> coalesce(held.amount, 0)
       OR posted.wrong > 0
       OR (NOT account.may_go_negative AND account.balance - account.held < 0)) {accounts}
    ORDER BY account.id
    LIMIT 1000
    """)  # noqa: S608 - constants


def _unbalanced(*, recent: bool) -> TextClause:
    entries, lines = ("WHERE entry.id >= :least", "AND posting.entry_id >= :least") if recent else ("", "")
    return text(f"""
    SELECT entry.id, coalesce(sum(posting.amount), 0) AS amount, count(posting.line) AS lines
    FROM ledger_entries entry
    LEFT JOIN ledger_postings posting ON posting.entry_id = entry.id {lines}
    {entries}
    GROUP BY entry.id
    HAVING coalesce(sum(posting.amount), 0) <> 0 OR count(posting.line) < 2
    ORDER BY entry.id
    LIMIT 1000
    """)  # noqa: S608 - constants


def _orphans(*, recent: bool) -> TextClause:
    entries, lines = ("AND entry.id >= :least", "AND posting.entry_id >= :least") if recent else ("", "")
    return text(f"""
    SELECT DISTINCT posting.entry_id, posting.account_id
    FROM ledger_postings posting
    LEFT JOIN ledger_entries entry ON entry.id = posting.entry_id {entries}
    LEFT JOIN ledger_accounts account ON account.id = posting.account_id
    WHERE (entry.id IS NULL OR account.id IS NULL) {lines}
    LIMIT 1000
    """)  # noqa: S608 - constants


async def reconcile(tx: Tx, since: ReconciledPoint | None = None) -> Reconciliation:
    """Compare every account with its postings and holds, every entry with zero, and every id with its narrow table.

    It reads one snapshot, so it may run while money moves. A difference names the account or entry and both figures, in
    centavos, and how many lines have a wrong running balance; or the row whose key, reversal or processor's id differs
    from the narrow table. There are none unless somebody bypassed the ledger.

    With `since`, only rows after that point and the accounts' balances are read. Each new entry must add up to zero.
    The new lines of an account must continue from the line before and end in its balance. System accounts must have
    moved by their new postings, held amounts must equal the holds, and all balances must add up to zero.
    """
    await tx.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    await tx.execute(text("SET LOCAL statement_timeout = 0"))
    now, horizon = clock.now(), await tx.scalar(select(HORIZON)) or 0
    if since is not None:
        return await _recent(tx, since, horizon, now)
    # Everything is read once: with statistics that lag behind a busy day, nested loops would read it repeatedly.
    await tx.execute(text("SET LOCAL enable_nestloop = off"))
    counts = (
        await tx.execute(text("SELECT (SELECT count(*) FROM ledger_accounts), (SELECT count(*) FROM ledger_entries)"))
    ).one()
    first = await _first(tx, None)
    differences = _accounts_named(await tx.execute(_differences(among=False), first))
    differences += await _entries_named(tx, None)
    for narrow in _narrow:
        differences += await _strays_named(tx, narrow, _strays(narrow))
    sums = {row.id: int(row.amount) for row in await tx.execute(_SUMS, {"horizon": horizon} | first)}
    return Reconciliation(counts[0], counts[1], ReconciledPoint(horizon, now, sums), differences=differences)


def _accounts_named(rows: Iterable[Row[Any]]) -> list[dict[str, Any]]:
    return [
        {
            "account_id": str(row.id),
            "kind": row.kind,
            "balance": int(row.balance),
            "postings": int(row.postings),
            "held": int(row.held),
            "holds": int(row.holds),
            "wrong_lines": row.wrong_lines,
        }
        for row in rows
    ]


async def _entries_named(tx: Tx, least: UUID | None) -> list[dict[str, Any]]:
    """Name entries that are unbalanced, and postings without an entry or an account; from an id on, if one is given."""
    values = {} if least is None else {"least": least}
    unbalanced = await tx.execute(_unbalanced(recent=least is not None), values)
    named: list[dict[str, Any]] = [
        {"entry_id": str(row.id), "sum": int(row.amount), "lines": row.lines} for row in unbalanced
    ]
    orphans = await tx.execute(_orphans(recent=least is not None), values)
    return named + [
        {"entry_id": str(row.entry_id), "account_id": str(row.account_id), "orphan": True} for row in orphans
    ]


async def _strays_named(tx: Tx, narrow: Narrow, query: TextClause, **values: object) -> list[dict[str, Any]]:
    return [{"table": narrow.table, "row_id": str(row_id)} for row_id in await tx.scalars(query, values)]


def _strays(narrow: Narrow) -> TextClause:
    """Return the query for up to 1,000 differences between the wide and the narrow table."""
    table, column, row_id, wide, years = narrow
    kept = f"AND uuid_extract_timestamp({row_id}) > now() - interval '{years} years'" if years else ""
    return text(f"""
    SELECT wide.id FROM {wide} wide LEFT JOIN {table} narrow ON narrow.{column} = wide.{column}
    WHERE wide.{column} IS NOT NULL AND narrow.{row_id} IS DISTINCT FROM wide.id
    UNION
    SELECT narrow.{row_id} FROM {table} narrow LEFT JOIN {wide} wide ON wide.id = narrow.{row_id}
    WHERE narrow.{row_id} IS NOT NULL
      AND CASE WHEN wide.id IS NULL THEN true {kept} ELSE wide.{column} IS DISTINCT FROM narrow.{column} END
    LIMIT 1000
    """)  # noqa: S608 - names from constants of the modules


def _recent_strays(narrow: Narrow) -> TextClause:
    """Return the query for new wide rows whose value the narrow table lacks, or assigns to another row."""
    table, column, row_id, wide, _ = narrow
    return text(f"""
    SELECT wide.id FROM {wide} wide LEFT JOIN {table} narrow ON narrow.{column} = wide.{column}
    WHERE wide.id >= :least AND wide.{column} IS NOT NULL AND narrow.{row_id} IS DISTINCT FROM wide.id
    LIMIT 1000
    """)  # noqa: S608 - names from constants of the modules


_SUMS = text(f"""
    WITH line AS MATERIALIZED ({_LINES})
    SELECT account.id, account.balance + coalesce(sum(line.amount), 0) AS amount
    FROM ledger_accounts account
    LEFT JOIN line ON line.account_id = account.id AND line.xid >= account.rolled_up_to AND line.xid < :horizon
    WHERE account.is_system
    GROUP BY account.id
""")  # noqa: S608 - a constant
_SYSTEM = text(f"""
    WITH line AS MATERIALIZED ({_LINES}), tail AS ({_TAIL}),
    fresh AS (
        SELECT account_id, sum(amount) AS amount, sum(amount) FILTER (WHERE xid < :horizon) AS ended
        FROM line WHERE xid >= :position GROUP BY account_id
    )
    SELECT account.id, account.kind, account.balance + coalesce(tail.amount, 0) AS balance, account.held,
           coalesce(fresh.amount, 0) AS amount, coalesce(fresh.ended, 0) AS ended
    FROM ledger_accounts account
    LEFT JOIN tail ON tail.account_id = account.id
    LEFT JOIN fresh ON fresh.account_id = account.id
    WHERE account.is_system
""")  # noqa: S608 - a constant
# The balance before an account's new lines. It is found by instant, as the index is ordered: first in the last months,
# then in all. A clock that was set back, or an entry on the border of a month, may report an account wrongly; then all
# of its lines are read.
_BEFORE = """
    SELECT earlier.balance_after FROM ledger_postings earlier
    WHERE earlier.account_id = touched.account_id AND earlier.posted_at <= touched.posted_at
      AND earlier.seq < touched.seq {near}
    ORDER BY earlier.posted_at DESC, earlier.seq DESC LIMIT 1
"""
_NEAR = timedelta(days=62)
_SUSPECTS = text(f"""
    WITH line AS (
        SELECT posting.account_id, posting.seq, posting.amount, posting.balance_after, posting.posted_at,
               lag(posting.balance_after) OVER line AS balance_before, row_number() OVER line AS place
        FROM ledger_postings posting JOIN ledger_accounts account ON account.id = posting.account_id
        WHERE posting.entry_id >= :least AND NOT account.is_system
        WINDOW line AS (PARTITION BY posting.account_id ORDER BY posting.seq)
    ),
    touched AS (
        SELECT account_id, sum(amount) AS amount,
               bool_or(seq IS NULL OR place > 1 AND balance_after <> balance_before + amount) AS is_broken,
               min(seq) AS seq,
               min(posted_at) FILTER (WHERE place = 1) AS posted_at,
               min(balance_after - amount) FILTER (WHERE place = 1) AS began
        FROM line GROUP BY account_id
    )
    SELECT touched.account_id FROM touched
    JOIN ledger_accounts account ON account.id = touched.account_id
    WHERE is_broken OR account.balance <> began + amount
       OR began <> coalesce(({_BEFORE.format(near="AND earlier.entry_id >= :near")}), ({_BEFORE.format(near="")}), 0)
    UNION
    SELECT account.id FROM ledger_accounts account
    LEFT JOIN (
        SELECT account_id, sum(amount) AS amount FROM ledger_holds WHERE status = 'active' GROUP BY account_id
    ) held ON held.account_id = account.id
    WHERE account.held <> coalesce(held.amount, 0)
       OR (NOT account.may_go_negative AND account.balance - account.held < 0)
    UNION
    SELECT posting.account_id FROM ledger_postings posting
    JOIN ledger_accounts account ON account.id = posting.account_id
    WHERE posting.entry_id >= :least AND account.is_system AND posting.seq IS NOT NULL
""")  # noqa: S608 - a constant
_CUSTOMERS = text(
    "SELECT count(*) AS accounts, coalesce(sum(balance) FILTER (WHERE NOT is_system), 0) AS balance"
    " FROM ledger_accounts"
)


async def _recent(tx: Tx, since: ReconciledPoint, horizon: int, now: datetime) -> Reconciliation:
    behind = {table: await _behind(tx, table, since) for table in {narrow.wide for narrow in _narrow}}
    entries, least = behind["ledger_entries"]
    customers = (await tx.execute(_CUSTOMERS)).one()
    first = await _first(tx, since.position)
    system = (await tx.execute(_SYSTEM, {"horizon": horizon, "position": since.position} | first)).all()
    near = first_uuid7((since.at - _NEAR).timestamp())
    suspects = list(await tx.scalars(_SUSPECTS, {"least": least, "near": near}))
    differences: list[dict[str, Any]] = []
    if suspects:
        differences += _accounts_named(await tx.execute(_differences(among=True), {"ids": suspects} | first))
    differences += [
        {"account_id": str(row.id), "kind": row.kind, "balance": int(row.balance), "postings": posted}
        for row in system
        if row.balance != (posted := since.sums.get(row.id, 0) + int(row.amount))
    ]
    if total := int(customers.balance + sum(row.balance for row in system)):
        differences.append({"sum_of_balances": total})
    differences += await _entries_named(tx, least)
    for narrow in _narrow:
        differences += await _strays_named(tx, narrow, _recent_strays(narrow), least=behind[narrow.wide][1])
    sums = {row.id: since.sums.get(row.id, 0) + int(row.ended) for row in system}
    point = ReconciledPoint(horizon, now, sums)
    return Reconciliation(customers.accounts, entries, point, since.at, differences)


_NO_ID = UUID(int=2**128 - 1)
_LEAST = text("""SELECT min(id::text COLLATE "C") FROM ledger_entries WHERE xid >= :position""")


async def _first(tx: Tx, position: int | None) -> dict[str, object]:
    """Return the values for `_LINES`: the first position to read, and the least id of the entries from there on.

    The first position is the lower of `position` and the position up to which every system account is rolled up.
    """
    rolled_up_to = await tx.scalar(text("SELECT min(rolled_up_to) FROM ledger_accounts WHERE is_system")) or 0
    first = rolled_up_to if position is None else min(rolled_up_to, position)
    least = await tx.scalar(_LEAST, {"position": first})
    return {"first": first, "first_id": UUID(least) if least else _NO_ID}


async def _behind(tx: Tx, table: str, since: ReconciledPoint) -> tuple[int, UUID]:
    """Return how many rows of a table follow a point, and an id that is not above any of theirs.

    Nor is that id above the id of any row made since the point's instant.
    """
    query = text(f"""SELECT count(*) AS rows, min(id::text COLLATE "C") AS least FROM {table} WHERE xid >= :position""")  # noqa: S608 - a constant
    found = (await tx.execute(query, {"position": since.position})).one()
    made_since = first_uuid7(since.at.timestamp())
    return found.rows, made_since if found.least is None else min(made_since, UUID(found.least))
