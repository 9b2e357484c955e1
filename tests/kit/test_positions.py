"""Positions continue where transaction ids do not: checked by new connections, raised under a lock, never lowered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import psycopg
import pytest
from sqlalchemy import select, text

from carteira.kit.db import outbox
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.db.outbox import Event
from carteira.kit.values.ids import uuid7
from tests.support.databases import NewDatabase, open_database

AHEAD = 1_000_000
"""How far an event is ahead of the cluster's ids, as one from a cluster with higher ids is."""


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    return new_database("positions")


@pytest.fixture
async def plain(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection without the check."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@asynccontextmanager
async def connections(url: str, number: int) -> AsyncIterator[list[asyncpg.Connection]]:
    """Open connections without the check, and close them when the block ends."""
    opened = [await asyncpg.connect(url) for _ in range(number)]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.terminate()


async def foreign_event(connection: asyncpg.Connection, ahead: int = AHEAD) -> int:
    """Write an event as a restore does, and return its position."""
    position: int = await connection.fetchval(
        "INSERT INTO events (id, xid, topic, payload)"
        " VALUES ($1, pg_current_xact_id()::text::bigint + $2, 'test.foreign', '{}') RETURNING xid",
        uuid4(),
        ahead,
    )
    return position


async def offset(connection: asyncpg.Connection) -> int:
    found: int = await connection.fetchval("SELECT xid_offset FROM positions")
    return found


async def test_in_its_own_cluster_nothing_is_raised(url: str, plain: asyncpg.Connection) -> None:
    async with open_database(url, pool_size=3) as database:
        for _ in range(3):
            async with database.transaction() as tx:
                await outbox.emit(tx, "test.own", {})
        await database.check_positions()
    assert await plain.fetchval("SELECT position_holds()")
    assert await plain.fetchval("SELECT position_raise()") == 0
    assert await offset(plain) == 0


@pytest.mark.parametrize("lean", [True, False])
async def test_a_new_connection_raises_before_anything_is_written(
    url: str, plain: asyncpg.Connection, *, lean: bool
) -> None:
    foreign = await foreign_event(plain)
    async with open_database(url, pool_size=1) as database:
        if lean:
            async with database.lean_transaction() as connection:
                ((position,),) = await connection.fetch("SELECT position_now()")
        else:
            async with database.transaction() as tx:
                position = await tx.scalar(select(text("position_now()")))
    assert position > foreign
    assert 0 < await offset(plain) <= AHEAD + 1
    assert await plain.fetchval("SELECT position_horizon()") > foreign


async def test_nobody_lowers_the_offset(plain: asyncpg.Connection) -> None:
    foreign = await foreign_event(plain)
    raised = await plain.fetchval("SELECT position_raise()")
    assert raised > 0
    await plain.execute("DELETE FROM events WHERE xid = $1", foreign)
    await plain.execute("UPDATE positions SET table_id = 0")
    assert await plain.fetchval("SELECT position_raise()") == 0
    assert await offset(plain) == raised


async def test_servers_that_find_it_at_once_raise_it_once(url: str, plain: asyncpg.Connection) -> None:
    foreign = await foreign_event(plain)
    async with connections(url, 6) as servers:
        raised = await asyncio.gather(*(connection.fetchval("SELECT position_raise()") for connection in servers))
        assert sorted(raised)[:-1] == [0] * 5
        assert raised.count(await offset(plain)) == 1
        for connection in servers:
            assert await connection.fetchval("SELECT position_now()") > foreign


async def test_a_raise_waits_for_writers_and_lets_none_begin(url: str, plain: asyncpg.Connection) -> None:
    """Writers under the old offset end before it is raised; writers that waited use the new one."""
    async with connections(url, 3) as (before, waiting, raising), asyncio.timeout(30):
        writing = before.transaction()
        await writing.start()
        old = await before.fetchval("SELECT position_now()")
        foreign = await foreign_event(plain)

        raised = asyncio.create_task(raising.fetchval("SELECT position_raise()"))
        await until_waiting(plain, 1)
        late = asyncio.create_task(
            waiting.fetchval(
                "INSERT INTO events (id, topic, payload) VALUES ($1, 'test.late', '{}') RETURNING xid", uuid4()
            )
        )
        await until_waiting(plain, 2)
        assert not raised.done()
        await before.execute("INSERT INTO events (id, topic, payload) VALUES ($1, 'test.before', '{}')", uuid7())
        await writing.commit()
        assert await raised > 0
        assert await late > foreign > old


async def until_waiting(connection: asyncpg.Connection, number: int) -> None:
    """Wait until so many of the database's sessions wait for the lock on `positions`."""
    while True:
        waiting = await connection.fetchval(
            "SELECT count(*) FROM pg_locks WHERE relation = 'positions'::regclass AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        if waiting >= number:
            return
        await asyncio.sleep(0.005)


async def test_transactions_that_were_open_before_write_above_all_that_is_stored(
    url: str, plain: asyncpg.Connection
) -> None:
    async with connections(url, 1) as (old,), old.transaction():
        await old.fetchval("SELECT pg_current_xact_id()")  # its id is lower than all that follow
        for _ in range(20):
            await plain.fetchval("SELECT pg_current_xact_id()")
        foreign = await foreign_event(plain)
        await plain.fetchval("SELECT position_raise()")
        assert await old.fetchval("SELECT position_now()") > foreign


async def test_a_follower_reads_all_rows_written_around_a_raise(url: str, plain: asyncpg.Connection) -> None:
    """Writers, a follower and a raise run at once, on the database as a restore leaves it."""
    heard: list[str] = []

    async def hear(_tx: object, rows: object) -> None:
        heard.extend(str(row["id"]) for row in rows)  # type: ignore[attr-defined] # rows of events

    follower = outbox.Follower("test.heard", Event.__table__, hear, batch=7)
    foreign = await foreign_event(plain)
    await plain.execute(
        "INSERT INTO event_followers (name, xid, last_id) SELECT 'test.heard', xid, id FROM events WHERE xid = $1",
        foreign,
    )
    written: list[str] = []
    async with open_database(url, pool_size=8) as database:

        async def write() -> None:
            for _ in range(40):
                async with database.transaction() as tx:
                    event = Event(id=uuid7(), topic="test.own", payload={})
                    tx.add(event)
                    await tx.flush()
                    await asyncio.sleep(0)
                written.append(str(event.id))

        async def follow() -> None:
            while len(heard) < 240 + 5:
                async with database.transaction() as tx:
                    await outbox.follow(tx, follower)

        async def again() -> None:
            """An event ahead appears and the offset is raised while all the others continue."""
            for number in range(5):
                await foreign_event(plain, AHEAD * (number + 2))
                await plain.fetchval("SELECT position_raise()")

        async with asyncio.timeout(60):
            await asyncio.gather(follow(), again(), *(write() for _ in range(6)))
    assert len(set(heard)) == len(heard) == 240 + 5
    assert set(written) < set(heard)


async def test_an_older_connection_writes_nothing_before_its_check(url: str, plain: asyncpg.Connection) -> None:
    """The database is restored in place under connections that are idle in both pools."""
    async with open_database(url, pool_size=2) as database:
        async with database.transaction() as tx:
            await outbox.emit(tx, "test.before", {})
        async with database.lean_transaction() as connection:
            await connection.fetch("SELECT position_now()")
        foreign = await foreign_event(plain)
        await plain.execute("UPDATE positions SET table_id = 1")  # as in a table that came with a restore
        with pytest.raises(DatabaseDown):
            async with database.transaction() as tx:
                await outbox.emit(tx, "test.lost", {})
        with pytest.raises(DatabaseDown):
            async with database.lean_transaction() as connection:
                await connection.fetch("SELECT position_now()")
        async with database.lean_transaction() as connection:
            ((position,),) = await connection.fetch("SELECT position_now()")
        async with database.transaction() as tx:
            await outbox.emit(tx, "test.after", {})
    assert position > foreign
    rows = await plain.fetch("SELECT topic FROM events WHERE topic <> 'test.foreign' ORDER BY xid")
    assert [row["topic"] for row in rows] == ["test.before", "test.after"]


async def test_without_its_row_nobody_connects(url: str, plain: asyncpg.Connection) -> None:
    """During a restore `positions` exists before its row does."""
    await plain.execute("DELETE FROM positions")
    async with open_database(url, pool_size=1) as database:
        with pytest.raises(DatabaseDown):
            await database.ping()
        with pytest.raises(DatabaseDown):
            await database.check_positions()
        await plain.execute("INSERT INTO positions DEFAULT VALUES")
        await database.ping()
    assert await plain.fetchval("SELECT table_id = tableoid FROM positions")


async def test_a_database_without_positions_is_left_alone(url: str, plain: asyncpg.Connection) -> None:
    await plain.execute("DROP FUNCTION position_holds()")
    async with open_database(url, pool_size=1) as database:
        await database.ping()


def test_every_column_with_a_position_is_checked(new_database: NewDatabase) -> None:
    """Columns count by their default, or by one of the names that such a column has."""
    with psycopg.connect(new_database("positions_columns")) as connection:
        columns = connection.execute("""
            SELECT c.relname, a.attname FROM pg_attribute a
            JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p') AND NOT c.relispartition
                AND c.relnamespace = 'public'::regnamespace
            LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attnum > 0 AND c.relname NOT LIKE 'procrastinate%'
              AND (a.attname IN ('xid', 'last_xid', 'rolled_up_to') OR a.attname ~ 'position'
                   OR a.atttypid IN ('xid'::regtype, 'xid8'::regtype, 'pg_snapshot'::regtype)
                   OR pg_get_expr(d.adbin, d.adrelid) ~ 'position_now|xact_id')
        """).fetchall()
        body = connection.execute("SELECT prosrc FROM pg_proc WHERE proname = 'position_greatest'").fetchone()
        defaults = connection.execute("""
            SELECT relname FROM pg_attrdef JOIN pg_class c ON c.oid = adrelid AND NOT relispartition
            WHERE pg_get_expr(adbin, adrelid) = 'position_now()'
        """).fetchall()
    assert body is not None
    assert len(columns) >= 9
    for table, column in columns:
        assert f"{column} FROM {table}" in body[0] or f"max({column}) FROM {table}" in body[0], (table, column)
    assert {table for (table,) in defaults} == {
        "events", "audit_log", "ledger_entries", "benefits_decisions", "benefits_returns"
    }  # fmt: skip


FAR = 1_000_000_000
PLACES = (
    "UPDATE event_followers SET xid = $1 WHERE name = 'test.ahead'",
    "UPDATE ledger_accounts SET rolled_up_to = $1 WHERE is_system",
    "INSERT INTO audit_log (id, action, created_at, xid) VALUES (gen_random_uuid(), 'x', now(), $1)",
    "INSERT INTO ledger_checks (name, checked_at, entries, findings, xid) VALUES ('reconcile', now(), 0, 0, $1)",
    """INSERT INTO ledger_chain (height, last_xid, last_id, seals, hash, version)
       VALUES (1000, $1, gen_random_uuid(), '', '', 2)""",
    """INSERT INTO audit_chain (height, last_xid, last_id, newest_at, seals, hash)
       VALUES (1000, $1, gen_random_uuid(), now(), '', '')""",
)


@pytest.mark.parametrize("statement", PLACES)
async def test_each_stored_position_is_checked(plain: asyncpg.Connection, statement: str) -> None:
    await plain.execute("INSERT INTO event_followers (name, xid, last_id) VALUES ('test.ahead', 1, $1)", uuid4())
    assert await plain.fetchval("SELECT position_holds()")
    await plain.execute(statement, FAR)
    assert not await plain.fetchval("SELECT position_holds()")
    assert await plain.fetchval("SELECT position_raise()") > 0
    assert await plain.fetchval("SELECT position_holds()")
