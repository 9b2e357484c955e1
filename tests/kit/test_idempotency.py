"""Idempotency keys over HTTP: the first answer is repeated, and the work is done once."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import text

from carteira.kit.db.engine import Database
from carteira.kit.web.access import Who
from carteira.kit.web.idempotency import REPLAYED, TRIED_AT_ONCE, KeptAnswer, idempotent
from carteira.kit.web.json_route import JsonRoute
from carteira.kit.web.problems import Conflict, Refusal
from carteira.kit.web.transaction import TxDep
from tests.support.client import client_of
from tests.support.kit_app import OVERTAKEN, application

router = APIRouter()
tried_router = APIRouter(route_class=JsonRoute)
INSERT = text("INSERT INTO once_done (note) VALUES (:note) RETURNING number")


class Order(BaseModel):
    """A test's request to the route."""

    note: str
    end: str = "well"


class NotToday(Refusal):
    code = "not_today"
    detail = "Hoje não."


@router.post("/orders", status_code=201)
@router.post("/other-orders", status_code=201)
@idempotent(status=201)
async def order(body: Order, tx: TxDep, who: Who) -> dict[str, Any]:
    number = await tx.scalar(INSERT, {"note": body.note})
    if body.end == "refused":
        raise NotToday
    if body.end == "conflict":
        raise Conflict
    if body.end == "broken":
        raise RuntimeError
    return {"number": number, "who": who.user_id}


TRIED: list[object] = []
"""The callers for whom the work was tried at once."""


async def _declining(_database: Database, _keeping: KeptAnswer, asked: Mapping[str, Any]) -> None:
    TRIED.append(asked["who"].id)


@tried_router.post("/tried-orders", dependencies=[TRIED_AT_ONCE])
@idempotent(at_once=_declining)
async def order_at_once(body: Order, tx: TxDep, who: Who) -> dict[str, Any]:
    return {"number": await tx.scalar(INSERT, {"note": body.note}), "who": who.user_id}


@pytest.fixture(scope="module")
async def done(database: Database) -> Database:
    async with database.transaction() as tx:
        await tx.execute(
            text("CREATE TABLE IF NOT EXISTS once_done (number int GENERATED ALWAYS AS IDENTITY, note text)")
        )
    return database


@pytest.fixture
async def client(done: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(application(router, database=done), token=str(uuid4())) as client:
        yield client


async def times(database: Database, note: str) -> int:
    async with database.transaction() as tx:
        return await tx.scalar(text("SELECT count(*) FROM once_done WHERE note = :note"), {"note": note}) or 0


class Asker:
    """Sends requests with one key, which is also the note, unless told otherwise."""

    def __init__(self, client: httpx.AsyncClient, database: Database) -> None:
        self.client = client
        self.database = database
        self.key = f"key {uuid4()}"

    async def ask(self, path: str = "/orders", **body: str) -> httpx.Response:
        return await self.client.post(path, json={"note": self.key} | body, headers={"Idempotency-Key": self.key})

    async def done(self) -> int:
        return await times(self.database, self.key)


@pytest.fixture
def asker(client: httpx.AsyncClient, done: Database) -> Asker:
    return Asker(client, done)


async def test_the_first_answer_comes_again(asker: Asker) -> None:
    first, again = await asker.ask(), await asker.ask()
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert (REPLAYED in first.headers, again.headers[REPLAYED]) == (False, "true")
    assert again.headers["content-type"] == first.headers["content-type"] == "application/json"
    assert await asker.done() == 1


async def test_without_a_key_work_is_done_each_time(asker: Asker) -> None:
    for _ in range(2):
        response = await asker.client.post("/orders", json={"note": asker.key})
        assert (response.status_code, REPLAYED in response.headers) == (201, False)
    assert await asker.done() == 2


async def test_a_key_belongs_to_its_request(asker: Asker) -> None:
    first = await asker.ask()
    for other in (await asker.ask(note="other"), await asker.ask("/other-orders"), await asker.ask("/orders?x=1")):
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert (await asker.ask()).json() == first.json()
    assert (await asker.done(), await times(asker.database, "other")) == (1, 0)


async def test_a_key_belongs_to_its_caller(asker: Asker, done: Database) -> None:
    await asker.ask()
    async with client_of(application(router, database=done), token=str(uuid4())) as other:
        headers = {"Idempotency-Key": asker.key}
        response = await other.post("/orders", json={"note": asker.key}, headers=headers)
    assert (response.status_code, REPLAYED in response.headers) == (201, False)
    assert await asker.done() == 2


async def test_a_refusal_is_an_answer_and_its_work_is_undone(asker: Asker) -> None:
    first, again = await asker.ask(end="refused"), await asker.ask(end="refused")
    assert (first.status_code, first.json()["code"]) == (400, "not_today")
    assert (again.status_code, again.json(), again.headers[REPLAYED]) == (400, first.json(), "true")
    assert again.headers["content-type"] == "application/problem+json"
    assert await asker.done() == 0
    assert (await asker.ask()).status_code == 422


@pytest.mark.parametrize(("end", "status"), [("broken", 500), ("conflict", 409)])
async def test_requests_without_an_answer_leave_no_record(asker: Asker, end: str, status: int) -> None:
    assert (await asker.ask(end=end)).status_code == status
    assert await asker.done() == 0
    first = await asker.ask()  # the same key with another body: free to be used
    assert (first.status_code, REPLAYED in first.headers) == (201, False)


async def test_a_validation_error_leaves_no_record(asker: Asker) -> None:
    headers = {"Idempotency-Key": asker.key}
    assert (await asker.client.post("/orders", json={}, headers=headers)).status_code == 422
    assert (await asker.client.post("/orders", content=b"{", headers=headers)).status_code == 422
    assert (await asker.ask()).status_code == 201


async def test_equal_content_is_equal_however_it_is_written(asker: Asker) -> None:
    headers = {"Idempotency-Key": asker.key, "Content-Type": "application/json"}
    bodies = ['{"note": "%s", "end": "well"}', '{"end":"well","note":"%s"}', '{ "note" : "%s" }']
    answers = [await asker.client.post("/orders", content=body % asker.key, headers=headers) for body in bodies]
    assert [answer.headers.get(REPLAYED) for answer in answers] == [None, "true", "true"]


@pytest.mark.parametrize("key", ["x", "é ü ~ |", "k" * 255])
async def test_any_text_up_to_255_is_a_key(asker: Asker, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode("latin-1")}
    first, again = [await asker.client.post("/orders", json={"note": asker.key}, headers=headers) for _ in range(2)]
    assert (first.status_code, again.headers.get(REPLAYED)) == (201, "true")


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_an_empty_and_a_longer_text_are_no_keys(asker: Asker, key: str) -> None:
    response = await asker.client.post("/orders", json={"note": asker.key}, headers={"Idempotency-Key": key})
    assert (response.status_code, await asker.done()) == (422, 0)


@pytest.mark.parametrize("end", ["well", "refused"])
async def test_fifty_at_once_with_one_key_do_the_work_once(asker: Asker, end: str) -> None:
    answers = await asyncio.gather(*(asker.ask(end=end) for _ in range(50)))
    assert {(answer.status_code, answer.content) for answer in answers} == {
        (201 if end == "well" else 400, answers[0].content)
    }
    assert sum(REPLAYED not in answer.headers for answer in answers) == 1
    assert await asker.done() == (1 if end == "well" else 0)


async def test_work_that_is_left_to_a_session_waits_for_present_rights(done: Database) -> None:
    who, note = uuid4(), f"note {uuid4()}"
    OVERTAKEN.add(who)
    async with client_of(application(tried_router, database=done), token=str(who)) as client:
        answer = await client.post("/tried-orders", json={"note": note})
    assert (answer.status_code, answer.json()["who"]) == (200, str(who))
    assert TRIED.count(who) == 2, "with the cached rights, and with the present ones"
    assert await times(done, note) == 1
