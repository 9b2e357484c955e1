"""One request, one transaction, committed before the answer is sent; and the cases in which it cannot be."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator

import asyncpg
import httpx
import pytest
from fastapi import APIRouter
from sqlalchemy import select, text, update

from carteira.embedded import Endpoints
from carteira.kit.db import silence
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import CommitUnknown, DatabaseDown, OperationInProgress
from carteira.kit.db.outbox import Event
from carteira.kit.values.ids import uuid7
from carteira.kit.web.access import public
from carteira.kit.web.problems import Conflict, problem_of
from carteira.kit.web.transaction import TxDep
from tests.support.client import client_of
from tests.support.kit_app import application

router = APIRouter()
anyone = [public("a test")]
SLOT = 7_246_777
"""An advisory lock that one test holds against another connection."""


@router.post("/places/{number}", status_code=201, dependencies=anyone)
async def add_place(number: int, tx: TxDep) -> int:
    """Insert a row whose uniqueness is checked only at the commit; numbers over 100 are then refused."""
    await tx.execute(text("INSERT INTO tx_places VALUES (:number)"), {"number": number})
    if number > 100:
        raise Conflict
    return number


@router.post("/named", dependencies=anyone)
async def name_it(name: str, tx: TxDep) -> None:
    await tx.execute(text("SELECT CAST(:name AS text)"), {"name": name})


@pytest.fixture(scope="module")
async def _places(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(text("CREATE TABLE IF NOT EXISTS tx_places (number int UNIQUE DEFERRABLE INITIALLY DEFERRED)"))


async def numbers(database: Database) -> list[int]:
    async with database.transaction() as tx:
        return list(await tx.scalars(text("SELECT number FROM tx_places ORDER BY number")))


@pytest.fixture
async def client(database: Database, _places: None) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(application(router, database=database)) as client:
        yield client


async def test_an_answer_is_sent_after_its_commit_only(client: httpx.AsyncClient, database: Database) -> None:
    assert (await client.post("/places/1")).status_code == 201
    assert await numbers(database) == [1]
    failed = await client.post("/places/1")  # every statement succeeds; the commit does not
    assert (failed.status_code, failed.json()["code"]) == (500, "internal_error")
    assert "tx_places" not in failed.text
    assert (await client.post("/places/101")).status_code == 409
    assert await numbers(database) == [1]


async def test_a_text_that_the_database_cannot_hold_is_invalid_input(client: httpx.AsyncClient) -> None:
    response = await client.post("/named", params={"name": "a\x00b"})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_input")


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: no other process gets it, nothing answers
        yield taken.getsockname()[1]


async def test_a_database_that_is_down_is_503(closed_port: int) -> None:
    down = Database(f"postgresql://carteira:x@127.0.0.1:{closed_port}/carteira", pool_size=2)
    async with client_of(application(router, database=down)) as client:
        response = await client.post("/places/1")
    assert (response.status_code, response.json()["code"]) == (503, "database_down")
    assert int(response.headers["retry-after"]) > 0
    with pytest.raises(DatabaseDown):
        await down.ping()
    await down.close()


async def test_a_connection_that_is_cut_is_database_down_and_the_next_one_works(database: Database) -> None:
    with pytest.raises(DatabaseDown):
        async with database.transaction() as tx:
            await tx.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    await database.ping()


async def test_connections_that_were_cut_while_idle_are_not_noticed(database: Database) -> None:
    async def hold_connection() -> int:
        async with database.transaction() as tx:
            return await tx.scalar(text("SELECT pg_backend_pid()")) or 0

    idle = set(await asyncio.gather(*(hold_connection() for _ in range(5))))
    async with database.transaction() as tx:
        cut = "SELECT pg_terminate_backend(pid) FROM unnest(CAST(:pids AS int[])) pid WHERE pid <> pg_backend_pid()"
        await tx.execute(text(cut), {"pids": list(idle)})
    for _ in range(8):
        await database.ping()


async def _backend(database: Database) -> int:
    async with database.lean_statements() as connection:
        ((process,),) = await connection.fetch("SELECT pg_backend_pid()")
    return int(process)


async def test_lean_statements_go_over_one_connection_and_are_each_a_transaction(database: Database) -> None:
    first = await _backend(database)
    async with database.lean_statements() as connection:
        ids = [await connection.fetchval("SELECT pg_current_xact_id()::text") for _ in range(2)]
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.fetch("SELECT 1 / 0")
    assert len(set(ids)) == 2
    assert await _backend(database) == first, "a wrong statement costs no connection"


async def test_a_lean_connection_whose_statement_was_given_up_is_not_used_again(database: Database) -> None:
    first = await _backend(database)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), database.lean_statements() as connection:
            await connection.fetch("SELECT pg_sleep(5)")
    assert await _backend(database) != first


async def test_a_lean_connection_that_is_lost_is_in_doubt_and_the_next_one_works(database: Database) -> None:
    with pytest.raises(CommitUnknown):
        async with database.lean_statements() as connection:
            await connection.fetch("SELECT pg_terminate_backend(pg_backend_pid())")
    await _backend(database)


async def test_writes_refused_by_a_full_disk_are_not_in_doubt(database: Database) -> None:
    first, full = await _backend(database), "DO $$ BEGIN RAISE 'no room' USING ERRCODE = 'disk_full'; END $$"
    with pytest.raises(DatabaseDown) as error:
        async with database.lean_transaction() as connection:
            await connection.fetch(full)
    assert not isinstance(error.value, CommitUnknown), "it was rolled back"
    assert await _backend(database) == first


async def test_a_lean_connection_that_was_ended_between_two_statements_is_not_used_again(database: Database) -> None:
    """PostgreSQL's last message, read at the wrong moment, leaves the driver in the middle of an operation."""
    first = await _backend(database)

    async def cause_error() -> None:
        async with database.lean_transaction() as connection:
            await connection.fetch("SELECT 1")
            raise asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")

    with pytest.raises(CommitUnknown):
        await cause_error()
    assert await _backend(database) != first


async def test_a_server_that_stands_still_is_left_for_another_connection(
    endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SIGN_OF_LIFE_SECONDS", 0.2)
    still = Database(endpoints.database_url, pool_size=1)
    async with still.transaction() as tx:
        process = await tx.scalar(text("SELECT pg_backend_pid()"))
    os.kill(process, signal.SIGSTOP)
    try:
        async with still.transaction() as tx:
            assert await tx.scalar(text("SELECT pg_backend_pid()")) != process
    finally:
        os.kill(process, signal.SIGCONT)
        await still.close()


async def test_no_more_lean_connections_than_the_pool_has(endpoints: Endpoints) -> None:
    small = Database(endpoints.database_url, pool_size=2)
    under_way = most = 0

    async def use() -> None:
        nonlocal under_way, most
        async with small.lean_statements() as connection:
            under_way += 1
            most = max(most, under_way)
            await connection.fetch("SELECT pg_sleep(0.01)")
            under_way -= 1

    await asyncio.gather(*(use() for _ in range(8)))
    assert most == 2
    await small.close()


async def test_a_lean_connection_to_nobody_is_database_down(closed_port: int) -> None:
    down = Database(f"postgresql://carteira:x@127.0.0.1:{closed_port}/carteira", pool_size=2)
    with pytest.raises(DatabaseDown) as error:
        await _backend(down)
    assert not isinstance(error.value, CommitUnknown), "nothing was asked of anybody"
    await down.close()


async def test_a_lock_that_is_not_obtained_is_a_conflict(database: Database) -> None:
    take = text("SELECT pg_advisory_xact_lock(:slot)")

    async def want() -> None:
        async with database.transaction() as tx:
            await tx.execute(text("SET LOCAL lock_timeout = '10ms'"))
            await tx.execute(take, {"slot": SLOT})

    async with database.transaction() as holder:
        await holder.execute(take, {"slot": SLOT})
        with pytest.raises(OperationInProgress) as conflict:
            await want()
    problem = problem_of(conflict.value)
    assert (problem.status, problem.code) == (409, "operation_in_progress")


async def test_a_deadlock_is_reported(database: Database) -> None:
    """A deadlock cannot happen among accounts, which are locked in order; elsewhere one side is rolled back."""
    take = text("SELECT pg_advisory_xact_lock(:slot)")
    both_have_one = asyncio.Barrier(2)

    async def cross(first: int, second: int) -> bool:
        try:
            async with database.transaction() as tx:
                await tx.execute(take, {"slot": SLOT + first})
                await both_have_one.wait()
                await tx.execute(take, {"slot": SLOT + second})
        except OperationInProgress:
            return False
        return True

    assert sorted(await asyncio.gather(cross(1, 2), cross(2, 1))) == [False, True]


async def test_a_select_returns_present_rows_and_keeps_unwritten_changes(database: Database) -> None:
    async with database.transaction() as tx:
        tx.add(Event(id=uuid7(), topic="kit.seen_again", payload={"step": 1}))
    query = select(Event).where(Event.topic == "kit.seen_again")
    async with database.transaction() as tx:
        first = (await tx.scalars(query)).one()
        async with database.transaction() as other:
            await other.execute(update(Event).where(Event.id == first.id).values(payload={"step": 2}))
        again = (await tx.scalars(query)).one()
        assert (again is first, again.payload) == (True, {"step": 2})

        again.payload = {"step": 3}
        assert (await tx.scalars(query.with_for_update())).one().payload == {"step": 3}
