"""A read is one trip, sees what a transaction would see, and is repeated when its connection is dead."""

import pytest
from sqlalchemy import Integer, Text, bindparam, func, literal, select, text

from carteira.kit.db.engine import Database
from carteira.kit.db.errors import DatabaseDown, TextNotStorable
from carteira.kit.db.reads import Query, first, rows

_numbers = func.generate_series(1, 6).table_valued("number", name="numbers").render_derived()
_name = func.concat("n", _numbers.c.number)
_BETWEEN = Query(
    select(_numbers.c.number, _name, literal("fixed"))
    .where(_numbers.c.number >= bindparam("least", type_=Integer), _numbers.c.number != 3)
    .order_by(_numbers.c.number)
    .limit(bindparam("limit"))
)
_PROCESS = Query(text("SELECT pg_backend_pid()"))
_NAMED = Query(select(_numbers.c.number).where(_name == bindparam("name", type_=Text)))


async def test_a_query_says_the_same_alone_and_in_a_transaction(database: Database) -> None:
    expected = [(2, "n2", "fixed"), (4, "n4", "fixed"), (5, "n5", "fixed")]
    assert [tuple(row) for row in await rows(database.reads, _BETWEEN, least=2, limit=3)] == expected
    async with database.transaction() as tx:
        assert [tuple(row) for row in await rows(tx, _BETWEEN, least=2, limit=3)] == expected
    assert await first(database.reads, _BETWEEN, least=7, limit=1) is None
    with pytest.raises(KeyError):
        await rows(database.reads, _BETWEEN, least=2)


async def test_unstorable_values_are_reported_as_such(database: Database) -> None:
    with pytest.raises(TextNotStorable):
        await rows(database.reads, _NAMED, name="a\0b")
    assert await first(database.reads, _NAMED, name="n4")


async def test_a_dead_connection_is_noticed_and_the_read_done_once_more(database: Database) -> None:
    (process,) = await first(database.reads, _PROCESS)
    async with database.transaction() as other:
        await other.execute(text("SELECT pg_terminate_backend(:process, 5000)"), {"process": process})
    (another,) = await first(database.reads, _PROCESS)
    assert another != process
    assert await first(database.reads, _PROCESS) == (another,), "the new connection is kept"


async def test_a_database_that_is_away_is_reported(database_url: str) -> None:
    database = Database(database_url.rpartition("/")[0].rpartition(":")[0] + ":1/none")
    with pytest.raises(DatabaseDown):
        await rows(database.reads, _PROCESS)
    await database.close()
