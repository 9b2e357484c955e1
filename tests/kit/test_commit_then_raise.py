"""A failure with a record that must stay: what was written is committed, and then the error is raised."""

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
from fastapi import APIRouter
from sqlalchemy import text

from carteira.kit.db.engine import Database
from carteira.kit.db.errors import CommitThenRaise, DatabaseDown
from carteira.kit.db.session import Tx, after_commit
from carteira.kit.web.access import Who, public
from carteira.kit.web.idempotency import REPLAYED, idempotent
from carteira.kit.web.problems import Conflict, Refusal
from carteira.kit.web.transaction import TxDep
from tests.support.client import client_of
from tests.support.kit_app import application

router = APIRouter()
INSERT = text("INSERT INTO failures (number) VALUES (:number)")
FAILURES = {"conflict": Conflict, "refusal": Refusal}


@router.post("/failures/{number}", dependencies=[public("a test")])
async def fail(number: int, tx: TxDep) -> None:
    await tx.execute(INSERT, {"number": number})
    raise CommitThenRaise(Conflict("Fica registrado."))


@router.post("/guarded-failures/{kind}/{number}")
@idempotent()
async def fail_once(kind: str, number: int, tx: TxDep, _who: Who) -> None:
    await tx.execute(INSERT, {"number": number})
    raise CommitThenRaise(FAILURES[kind]())


@pytest.fixture(scope="module")
async def failures(database: Database) -> Database:
    async with database.transaction() as tx:
        await tx.execute(text("CREATE TABLE IF NOT EXISTS failures (number int UNIQUE DEFERRABLE INITIALLY DEFERRED)"))
    return database


@pytest.fixture
async def client(failures: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(application(router, database=failures), token=str(uuid4())) as client:
        yield client


async def is_there(database: Database, number: int) -> bool:
    async with database.transaction() as tx:
        return bool(await tx.scalar(text("SELECT count(*) FROM failures WHERE number = :number"), {"number": number}))


async def write_and_raise(tx: Tx, number: int, error: Exception) -> None:
    await tx.execute(INSERT, {"number": number})
    raise CommitThenRaise(error)


async def test_writes_are_committed_when_the_error_arrives(failures: Database) -> None:
    seen: list[bool] = []

    async def look() -> None:
        seen.append(await is_there(failures, 1))

    async def work() -> None:
        async with failures.transaction() as tx:
            after_commit(tx, look)
            await write_and_raise(tx, 1, Conflict())

    with pytest.raises(Conflict):
        await work()
    assert seen == [True], "work that waits for the commit ran, after it and before the error"
    assert await is_there(failures, 1)


async def test_the_error_that_is_carried_is_raised_as_it_is(failures: Database) -> None:
    """It is not taken for the database's own, though an OSError of the driver would mean that the database is down."""
    error = ConnectionError("somebody else's")

    async def work() -> None:
        async with failures.transaction() as tx:
            await write_and_raise(tx, 2, error)

    with pytest.raises(ConnectionError) as raised:
        await work()
    assert raised.value is error
    assert await is_there(failures, 2)


async def test_a_commit_that_fails_wins_over_the_error(failures: Database) -> None:
    async def cut() -> None:
        async with failures.transaction() as tx:
            await tx.execute(INSERT, {"number": 3})
            process = await tx.scalar(text("SELECT pg_backend_pid()"))
            async with failures.transaction() as other:
                await other.execute(text("SELECT pg_terminate_backend(:process, 5000)"), {"process": process})
            raise CommitThenRaise(Conflict())

    with pytest.raises(DatabaseDown):
        await cut()
    assert not await is_there(failures, 3)


async def test_an_answer_over_http_comes_after_the_commit(client: httpx.AsyncClient, failures: Database) -> None:
    answer = await client.post("/failures/4")
    assert (answer.status_code, answer.json()["detail"]) == (409, "Fica registrado.")
    assert await is_there(failures, 4)
    again = await client.post("/failures/4")  # the statement succeeds; the commit does not
    assert (again.status_code, again.json()["code"]) == (500, "internal_error")


async def test_under_an_idempotency_key_a_refusal_is_the_answer_and_is_given_again(
    client: httpx.AsyncClient, failures: Database
) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    first = await client.post("/guarded-failures/refusal/5", headers=key)
    again = await client.post("/guarded-failures/refusal/5", headers=key)
    assert (first.status_code, again.status_code) == (400, 400)
    assert REPLAYED in again.headers
    assert REPLAYED not in first.headers
    assert await is_there(failures, 5)


async def test_under_an_idempotency_key_another_failure_leaves_the_key_free(
    client: httpx.AsyncClient, failures: Database
) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    assert (await client.post("/guarded-failures/conflict/6", headers=key)).status_code == 409
    assert await is_there(failures, 6)
    another = await client.post("/guarded-failures/conflict/7", headers=key)
    assert (another.status_code, another.json()["code"]) == (409, "conflict"), "not answered from a record"
    assert await is_there(failures, 7)
