"""The amounts of an answer under an idempotency key are kept for good, and the rest for a time."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import text

from carteira.kit.db.engine import Database
from carteira.kit.values.clock import clock
from carteira.kit.web import idempotency
from carteira.kit.web.access import Who
from carteira.kit.web.idempotency import REPLAYED, idempotent, numbers_of
from carteira.kit.web.problems import Refusal
from carteira.kit.web.transaction import TxDep
from tests.support.client import client_of
from tests.support.databases import NewDatabase, open_database
from tests.support.kit_app import application

router = APIRouter()
ENTRY = uuid4()
RUNS: list[str] = []


class Order(BaseModel):
    note: str
    refused: bool = False


class NotToday(Refusal):
    code = "not_today"
    detail = "Hoje não, Maria."


@router.post("/payments", status_code=201)
@idempotent(status=201)
async def pay(body: Order, tx: TxDep, who: Who) -> dict[str, Any]:
    del tx, who
    RUNS.append(body.note)
    if body.refused:
        raise NotToday
    return {"entry_id": ENTRY, "amount": 1234, "name": "Maria", "status": "posted", "lines": [{"note": "Para Maria"}]}


@router.post("/words")
@idempotent(money=False)
async def say(body: Order, tx: TxDep, who: Who) -> dict[str, Any]:
    del tx, who
    RUNS.append(body.note)
    return {"message": "Oi, Maria"}


@pytest.fixture
async def own(new_database: NewDatabase) -> AsyncIterator[Database]:
    async with open_database(new_database("answers"), pool_size=3) as database:
        yield database


@pytest.fixture
async def client(own: Database) -> AsyncIterator[httpx.AsyncClient]:
    RUNS.clear()
    async with client_of(application(router, database=own), token=f"{uuid4()}/") as client:
        yield client


async def ask(client: httpx.AsyncClient, path: str, key: str, **body: object) -> httpx.Response:
    return await client.post(path, json={"note": key} | body, headers={"Idempotency-Key": key})


async def test_money_keeps_its_numbers_and_never_moves_again(client: httpx.AsyncClient, own: Database) -> None:
    first = await ask(client, "/payments", "paid")
    refused = await ask(client, "/payments", "refused", refused=True)
    clock.advance(timedelta(days=29))
    assert await idempotency.forget_answers(own, days=30) == 0
    assert (await ask(client, "/payments", "paid")).json() == first.json()
    clock.advance(timedelta(days=2))
    assert await idempotency.forget_answers(own, days=30) == 2
    assert await idempotency.forget_answers(own, days=30) == 0
    again = await ask(client, "/payments", "paid")
    assert (again.status_code, again.headers[REPLAYED]) == (201, "true")
    kept = {"entry_id": str(ENTRY), "amount": 1234, "name": "", "status": "posted", "lines": [{"note": ""}]}
    assert again.json() == kept
    told = await ask(client, "/payments", "refused", refused=True)
    assert (told.status_code, told.json()["code"], told.json()["detail"]) == (refused.status_code, "not_today", "")
    assert (await ask(client, "/payments", "paid", refused=True)).json()["code"] == "idempotency_key_reused"
    assert RUNS == ["paid", "refused"]
    async with own.transaction() as tx:
        bodies = await tx.scalars(text("SELECT convert_from(body, 'UTF8') FROM idempotency_keys"))
        assert not [body for body in bodies if "Maria" in body]


async def test_answers_without_money_are_deleted_and_their_keys_reusable(
    client: httpx.AsyncClient, own: Database
) -> None:
    assert (await ask(client, "/words", "said")).json() == {"message": "Oi, Maria"}
    assert (await ask(client, "/words", "said")).headers[REPLAYED] == "true"
    clock.advance(timedelta(days=31))
    assert await idempotency.forget_answers(own, days=30) == 1
    assert REPLAYED not in (await ask(client, "/words", "said")).headers
    assert RUNS == ["said", "said"]


async def test_many_records_are_walked_in_pieces(client: httpx.AsyncClient, own: Database) -> None:
    del client
    async with own.transaction() as tx:
        await tx.execute(
            text("""
                INSERT INTO idempotency_keys (caller, key, fingerprint, status, body, created_at)
                SELECT 'c' || n % 7, 'k' || n, '', 200, '{"amount": 5, "name": "Ana"}', now() - interval '60 days'
                FROM generate_series(1, 4500) AS n
            """)
        )
    assert await idempotency.forget_answers(own, days=30) == 4500
    async with own.transaction() as tx:
        assert (
            await tx.scalar(text("SELECT count(*) FROM idempotency_keys WHERE position('Ana'::bytea IN body) > 0")) == 0
        )


async def test_a_person_who_is_erased_leaves_no_record(client: httpx.AsyncClient, own: Database) -> None:
    await ask(client, "/payments", "paid")
    async with own.transaction() as tx:
        caller = await tx.scalar(text("SELECT caller FROM idempotency_keys"))
        await idempotency.forget_caller(tx, uuid4())
        assert await tx.scalar(text("SELECT count(*) FROM idempotency_keys")) == 1
        await idempotency.forget_caller(tx, UUID(caller))
        assert await tx.scalar(text("SELECT count(*) FROM idempotency_keys")) == 0


@pytest.mark.parametrize("words", ["Maria", "15350946056", "153.509.460-56", "123", "rua 7", "a@b.com", "não"])
def test_words_do_not_pass_for_numbers(words: str) -> None:
    assert numbers_of({"any": words, "code": "ok.9"}) == {"any": "", "code": "ok.9"}
    assert numbers_of({"code": f"{words} é"}) == {"code": ""}
