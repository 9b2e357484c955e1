"""Months are created ahead for a role that may create nothing; each partition keeps its table's rules."""

from collections.abc import AsyncIterator

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from carteira.embedded import Endpoints
from carteira.kit.db import outbox, partitions
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import OperationInProgress
from carteira.kit.values.ids import first_uuid7, uuid7
from tests.support.databases import NewDatabase, as_owner, as_service, open_database
from tests.support.ledger import open_system_accounts, open_wallet
from tests.support.partitions import drop_months, month

TABLES = ["audit_log", "benefits_decisions", "events", "ledger_entries", "ledger_postings"]


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    return new_database("partitions")


@pytest.fixture
async def database(url: str, endpoints: Endpoints) -> AsyncIterator[Database]:
    """The database as the role that serves, which owns nothing."""
    async with open_database(as_service(endpoints, url), pool_size=2) as database:
        yield database


@pytest.fixture
def owner(url: str, endpoints: Endpoints) -> str:
    return as_owner(endpoints, url)


async def states(database: Database) -> dict[str, tuple[int, bool]]:
    async with database.transaction() as tx:
        found = await tx.execute(text("SELECT * FROM partition_states()"))
        return {name: (ahead, is_beyond) for name, ahead, is_beyond in found}


async def test_three_months_are_there_from_the_beginning(database: Database) -> None:
    assert await states(database) == dict.fromkeys(TABLES, (3, False))
    assert await partitions.make_all(database) == 0
    async with database.transaction() as tx:
        await partitions.observe(tx)
    (metric,) = partitions.months_ahead.collect()
    told = {sample.labels["table"]: sample.value for sample in metric.samples}
    assert told == dict.fromkeys(TABLES, 3)
    await partitions.analyze_all(database)


async def test_the_services_role_makes_months_with_their_tables_constraints(database: Database, owner: str) -> None:
    for table in TABLES:
        drop_months(owner, table, month(2))
    assert await states(database) == dict.fromkeys(TABLES, (1, False))
    assert await partitions.make_all(database) == 2 * len(TABLES)
    assert await states(database) == dict.fromkeys(TABLES, (3, False))
    with psycopg.connect(owner) as connection:
        triggers = connection.execute(
            """
            SELECT coalesce(inhparent, tgrelid)::regclass::text AS whole, relname,
                   array_agg(replace(pg_get_triggerdef(pg_trigger.oid), relname, '') ORDER BY tgname)
            FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid LEFT JOIN pg_inherits ON inhrelid = tgrelid
            WHERE NOT tgisinternal AND (relkind = 'p' OR relispartition) GROUP BY 1, 2
            """
        ).fetchall()
        indexes = connection.execute(
            """
            SELECT inhparent::regclass::text, relname, count(indexrelid) FROM pg_class
            JOIN pg_inherits ON inhrelid = pg_class.oid JOIN pg_index ON indrelid = pg_class.oid
            WHERE relkind = 'r' AND indisvalid GROUP BY 1, 2
            """
        ).fetchall()
    of_table = {name: found for whole, name, found in triggers if whole == name}
    assert of_table.keys() == {*TABLES} - {"events"}
    parts = [(whole, name, found) for whole, name, found in triggers if whole != name]
    assert len(parts) == 4 * len(of_table)
    assert [part for part in parts if part[2] != of_table[part[0]]] == []
    assert len(indexes) == 4 * len(TABLES)
    assert len({(whole, count) for whole, _, count in indexes}) == len(TABLES), "each has the same indexes"


@pytest.mark.parametrize("deed", ["UPDATE {} SET xid = 0", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize("part", ["before", "later", f"{month(3):%Y_%m}"])
async def test_the_owner_is_refused_at_a_partition_as_at_its_table(owner: str, deed: str, part: str) -> None:
    with psycopg.connect(owner, autocommit=True) as connection, pytest.raises(psycopg.Error) as refused:
        connection.execute(deed.format(f"ledger_entries_{part}").encode())
    assert refused.value.sqlstate == "CA002"


async def test_rows_are_deleted_no_earlier_in_partitions(database: Database, owner: str) -> None:
    async with database.transaction() as tx:
        await tx.execute(
            text("INSERT INTO audit_log (id, action, created_at) VALUES (:id, 'x', now())"), {"id": uuid7()}
        )
    with psycopg.connect(owner, autocommit=True) as connection:
        for table in ("audit_log", "audit_log_before"):
            with pytest.raises(psycopg.Error) as refused:
                connection.execute(f"DELETE FROM {table}".encode())
            assert refused.value.sqlstate == "CA101"


async def test_a_table_that_is_in_use_is_tried_again_and_the_others_are_made(database: Database, owner: str) -> None:
    for table in ("events", "ledger_entries"):
        drop_months(owner, table, month(3))
    with psycopg.connect(owner) as reader:
        reader.execute("SELECT count(*) FROM events")
        with pytest.raises(OperationInProgress):
            await partitions.make_all(database, attempts=1)
        found = await states(database)
        assert (found["events"], found["ledger_entries"]) == ((2, False), (3, False))
        reader.rollback()
    assert await partitions.make_all(database) == 1


async def test_rows_of_months_that_nobody_made_are_one_partition_later(database: Database, owner: str) -> None:
    drop_months(owner, "events", month(1))
    late = [first_uuid7(month(ahead).timestamp() + 60) for ahead in (1, 2, 3)]
    async with database.transaction() as tx:
        for id_ in late:
            await tx.execute(
                text("INSERT INTO events (id, topic, payload) VALUES (:id, 'test.late', '{}')"), {"id": id_}
            )
    assert (await states(database))["events"] == (0, True)
    assert await partitions.make_all(database) == 1
    assert (await states(database))["events"] == (3, False)
    async with database.transaction() as tx:
        await outbox.emit(tx, "test.now", {})
        found = await tx.execute(text("SELECT tableoid::regclass::text, id FROM events ORDER BY id"))
        rows = [tuple(row) for row in found]
    assert [part for part, _ in rows] == ["events_before", *[f"events_{month(1):%Y_%m}_on"] * 3]
    assert [id_ for _, id_ in rows[1:]] == late


async def test_rows_of_the_future_are_reported_and_stay(database: Database, owner: str) -> None:
    drop_months(owner, "events", month(2))
    far = first_uuid7(month(60).timestamp())
    async with database.transaction() as tx:
        await tx.execute(text("INSERT INTO events (id, topic, payload) VALUES (:id, 'test.far', '{}')"), {"id": far})
    with pytest.raises(DBAPIError, match="the last partition of events holds rows"):
        await partitions.make_all(database)
    assert (await states(database))["events"] == (1, True)


async def test_only_partitioned_tables_get_partitions(database: Database) -> None:
    for function in ("partition_make", "partition_analyze"):
        for table in ("users", "ledger_entries_before", "ledger_entries; DROP TABLE users"):
            with pytest.raises(DBAPIError) as refused:
                async with database.transaction() as tx:
                    await tx.execute(text(f"SELECT {function}(:name)"), {"name": table})
            assert getattr(refused.value.orig, "sqlstate", None) == "CA301"


async def test_posting_opens_only_the_newest_partitions(url: str, endpoints: Endpoints) -> None:
    """The others are not opened, however many there are: once statements are planned, no index of theirs is locked."""
    async with open_database(as_service(endpoints, url), pool_size=1) as database:
        async with database.transaction() as tx:
            await open_system_accounts(tx)
            await open_wallet(tx, 100)
        async with database.transaction() as tx:
            await open_wallet(tx, 100)
            opened = await tx.scalars(
                text("""
                    SELECT DISTINCT indrelid::regclass::text FROM pg_locks
                    JOIN pg_index ON indexrelid = relation JOIN pg_class ON pg_class.oid = indrelid AND relispartition
                    WHERE pid = pg_backend_pid()
                """)
            )
            assert set(opened) == {"ledger_entries_before", "ledger_postings_before"}
