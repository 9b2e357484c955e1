"""`make bench-console`: the console's list of decisions over a million of them: each filter, and its next page.

It asks as an operator of everybody's decisions, and as operators who are bound to an employer: a small one (3 of 1,000
accounts), a large one (half of them), and one whose accounts have no decisions. It measures the verb, on the pool that
pages read with: milliseconds of the server, and trips. `--explain` prints each plan.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from rich.console import Console
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from benchmarks.stage import stage
from carteira import benefits
from carteira.benefits import desk
from carteira.kit.db.engine import open_database
from carteira.kit.values.clock import clock
from carteira.kit.web.access import Principal
from carteira.kit.web.pagination import BY_ID, PageRequest

ROUNDS = 15
PERSON = UUID(int=7)
"""The owner of two of the accounts."""
PAGE = 50
_DECISIONS = """
INSERT INTO benefits_decisions (id, external_id, account_id, account, amount, mcc, merchant, fallback, code, reason,
                                category_tried, category_used, rule, short_by, created_at)
SELECT uuidv7(make_interval(secs => -number * 2)), 'nsu-' || number, account.id, account.reference,
       1000 + number %% 9000, '5811', 'LOJA ' || number %% 5000 || ' SAO PAULO BR', true,
       CASE WHEN number %% 350 = 0 THEN '07' WHEN number %% 50 = 0 THEN '51' ELSE '00' END,
       CASE WHEN number %% 350 = 0 THEN 'account_blocked' WHEN number %% 50 = 0 THEN 'insufficient_funds'
            ELSE 'approved' END,
       'MEAL', CASE WHEN number %% 50 = 0 THEN NULL ELSE 'MEAL' END, 'mcc',
       CASE WHEN number %% 50 = 0 AND number %% 350 <> 0 THEN 100 END, now() - make_interval(secs => number * 2)
FROM generate_series(%(decisions)s::int, 1, -1) AS number
JOIN (SELECT id, reference, row_number() OVER () AS place FROM benefits_accounts) account
     ON account.place = 1 + number %% (SELECT count(*) FROM benefits_accounts)
ORDER BY number DESC
"""
_EMPLOYERS = """
WITH employer AS (
    INSERT INTO benefits_employers (id, cnpj, name, created_at)
    VALUES (%(small)s, '11222333000181', 'Pequena', now()), (%(large)s, '11444777000161', 'Grande', now()),
           (%(quiet)s, '33000167000101', 'Parada', now())
), quiet AS (
    INSERT INTO benefits_accounts (id, reference, employer_id)
    SELECT uuidv7(), 'quiet-' || number, %(quiet)s FROM generate_series(1, 3) AS number
)
UPDATE benefits_accounts SET employer_id = CASE WHEN number <= 3 THEN %(small)s::uuid ELSE %(large)s END
FROM (SELECT id, row_number() OVER (ORDER BY id) AS number FROM benefits_accounts) AS numbered
WHERE numbered.id = benefits_accounts.id AND (number <= 3 OR number %% 2 = 0)
"""
_BOUND = {name: uuid4() for name in ("small", "large", "quiet")}
"""The employers, by their size."""
_OF_EMPLOYERS = ("everything", "oldest first", "declined", "51", "a merchant", "days")
"""The filters that are asked for as their operators, too."""
_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE tablename = 'benefits_decisions'
  AND indexname NOT IN (SELECT conname FROM pg_constraint WHERE conrelid = 'benefits_decisions'::regclass)
"""


def _fill(superuser_url: str, url: str, decisions: int) -> None:
    """Fill the table as the authorizer would have; its indexes are built afterwards, in a tenth of the time."""
    database = conninfo_to_dict(url)["dbname"]
    with psycopg.connect(superuser_url, dbname=str(database), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # the rows are made up: triggers would refuse them
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET maintenance_work_mem = '256MB'")
        indexes = connection.execute(_INDEXES).fetchall()
        for name, _ in indexes:
            connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
        connection.execute("UPDATE benefits_accounts SET user_id = %s WHERE reference IN ('b7', 'b8')", (PERSON,))
        connection.execute(_DECISIONS, {"decisions": decisions})
        connection.execute(_EMPLOYERS, _BOUND)
        for _, definition in indexes:
            connection.execute(definition)
        connection.execute("VACUUM ANALYZE benefits_decisions, benefits_accounts")


def _asked() -> dict[str, desk.DecisionFilter]:
    now = clock.now()
    return {
        "everything": desk.DecisionFilter(),
        "oldest first": desk.DecisionFilter(oldest_first=True),
        "declined": desk.DecisionFilter(declined=True),
        "51": desk.DecisionFilter(code="51"),
        "07": desk.DecisionFilter(code="07"),
        "a reason": desk.DecisionFilter(reason="account_blocked"),
        "a reason that there is not": desk.DecisionFilter(reason="malformed"),
        "an account": desk.DecisionFilter(account="b7"),
        "a person": desk.DecisionFilter(person=PERSON),
        "the processor's id": desk.DecisionFilter(reference="nsu-777777"),
        "a merchant": desk.DecisionFilter(merchant="loja 4999 "),
        "a merchant that there is not": desk.DecisionFilter(merchant="nenhuma"),
        "days": desk.DecisionFilter(since=now.replace(hour=0), until=now),
        "declined at a merchant": desk.DecisionFilter(declined=True, merchant="loja 50"),
    }


def _cases() -> Iterator[tuple[str, Principal, desk.DecisionFilter]]:
    """Yield each question: its name, who asks it, and its filters."""
    asked, claims = _asked(), frozenset({"benefits:read"})
    yield from ((name, Principal(uuid4(), claims), wanted) for name, wanted in asked.items())
    for size, employer in _BOUND.items():
        who = Principal(uuid4(), claims, scopes=frozenset({employer}))
        yield from ((f"{name}, of a {size} employer", who, asked[name]) for name in _OF_EMPLOYERS)


async def _measure(url: str, *, explain: bool) -> Table:
    table = Table(title="1 page of 50, ms", box=None)
    for title in ("filter", "first", "next", "slowest", "rows"):
        table.add_column(title, justify="left" if title == "filter" else "right")
    async with open_database(url, pool_size=2) as database:
        for name, who, wanted in _cases():
            after: UUID | None = None
            taken: list[list[float]] = []
            rows = 0
            for _ in range(2):
                times = []
                for _ in range(ROUNDS):
                    async with database.reading() as tx:
                        began = time.perf_counter()
                        page = await benefits.decisions(tx, who, wanted, PageRequest(PAGE, after))
                        times.append((time.perf_counter() - began) * 1000)
                taken.append(times)
                rows = max(rows, len(page.items))
                after = None if page.next_cursor is None else BY_ID.read(page.next_cursor)
                if after is None:
                    break
            shown = [f"{statistics.median(times):.1f}" for times in taken] + ["–"]
            table.add_row(name, shown[0], shown[1], f"{max(map(max, taken)):.1f}", str(rows))
            if explain:
                async with database.reading() as tx:
                    query = desk._query(who, wanted, PageRequest(PAGE))  # noqa: SLF001 - the test is about its plan
                    dialect = postgresql.dialect()  # type: ignore[no-untyped-call] # the library's own gap
                    written = str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
                    explained = f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {written}".replace(":", r"\:")
                    plan = await tx.execute(text(explained))
                    Console().print(f"\n{name}\n" + "\n".join(str(line) for (line,) in plan), highlight=False)
    return table


def main() -> None:
    """Fill a database of its own, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=1_000_000)
    parser.add_argument("--explain", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, stage(Path(home), 1_000, wal_segments=64) as endpoints:
        _fill(endpoints.superuser_url, endpoints.owner_url, asked.decisions)
        Console().print(asyncio.run(_measure(endpoints.owner_url, explain=asked.explain)))


if __name__ == "__main__":
    main()
