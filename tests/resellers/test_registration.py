"""Becoming a reseller with the real identity module: people who register and sign in, without an operator's token."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from carteira.settings import Settings
from tests.support.app import RunningApp, running_app
from tests.support.databases import NewDatabase
from tests.support.people import new_cpf
from tests.support.resellers import new_operator

PASSWORD = "Girassol7amarelo"


@pytest.fixture(scope="module")
async def app(settings: Settings, new_database: NewDatabase) -> AsyncIterator[RunningApp]:
    """A server with its own database."""
    fresh = settings.model_copy(update={"database_url": SecretStr(new_database("app"))})
    async with running_app(fresh) as app:
        yield app


def newcomer(**more: object) -> dict[str, object]:
    email = f"maria.{uuid4().hex}@exemplo.com.br"
    return {"full_name": "Maria da Silva", "cpf": new_cpf(), "email": email, "password": PASSWORD} | more


async def sign_in(app: RunningApp, person: dict[str, object]) -> dict[str, str]:
    form = {"username": str(person["cpf"]), "password": str(person["password"])}
    answer = await app.client.post("/auth/login", data=form)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def test_a_new_reseller_signs_in_and_registers_purchases(app: RunningApp) -> None:
    maria = newcomer()
    answer = await app.client.post("/resellers", json=maria)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert {name: told[name] for name in maria if name != "password"} | {"password": PASSWORD} == maria
    me = await sign_in(app, maria)
    purchase = {"code": uuid4().hex, "amount": 1_000, "date": "2026-01-31", "cpf": maria["cpf"]}
    assert (await app.client.post("/purchases", json=purchase, headers=me)).status_code == 201
    assert "reseller" in str((await app.client.get("/users/me", headers=me)).json()["claims"])
    held = (await app.client.get("/users/me/data", headers=me)).json()
    assert str(purchase["code"]) in str(held)
    refused = await app.client.delete(f"/users/{answer.json()['user_id']}", headers=me)
    assert (refused.status_code, refused.json()["code"]) == (409, "cashback_owed")


async def test_a_signed_in_person_becomes_a_reseller_with_no_body(app: RunningApp) -> None:
    person = newcomer(birth_date="1990-05-17", phone="11987654321")
    assert (await app.client.post("/users/register", json=person)).status_code == 201
    me = await sign_in(app, person)
    assert (await app.client.get("/purchases", headers=me)).status_code == 403
    both = await app.client.post("/resellers", json=newcomer(), headers=me)
    assert both.status_code == 422
    answers = await asyncio.gather(*(app.client.post("/resellers", headers=me) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    assert (await app.client.get("/purchases", headers=me)).status_code == 200
    assert (await app.client.post("/resellers", headers=me)).json()["code"] == "already_a_reseller"


async def test_a_registration_without_token_and_body_or_with_a_bad_token(app: RunningApp) -> None:
    assert (await app.client.post("/resellers")).status_code == 401
    bad = {"Authorization": "Bearer lixo"}
    assert (await app.client.post("/resellers", headers=bad)).status_code == 401
    assert (await app.client.post("/resellers", json=newcomer(), headers=bad)).status_code == 401


async def test_taken_or_wrong_values_are_refused_and_leave_nothing(app: RunningApp) -> None:
    maria = newcomer()
    assert (await app.client.post("/resellers", json=maria)).status_code == 201
    wrong: list[tuple[dict[str, object], int, str | None]] = [
        ({"cpf": maria["cpf"]}, 409, "cpf_taken"),
        ({"email": str(maria["email"]).upper()}, 409, "email_taken"),
        ({"cpf": "11111111111"}, 422, "invalid_input"),
        ({"full_name": "Maria"}, 422, "invalid_input"),
        ({"email": "maria"}, 422, "invalid_input"),
        ({"password": "curta"}, 422, None),
        ({"role_id": 1}, 422, "invalid_input"),
    ]
    for change, status, code in wrong:
        answer = await app.client.post("/resellers", json=newcomer(**change))
        assert answer.status_code == status, answer.text
        assert code is None or answer.json()["code"] == code
        assert PASSWORD not in answer.text
    weak = await app.client.post("/resellers", json=newcomer(password="curta"))
    assert len(weak.json()["errors"]) == 3


async def test_the_same_cpf_registered_by_many_at_once_is_one_reseller(app: RunningApp) -> None:
    cpf = new_cpf()
    answers: list[httpx.Response] = await asyncio.gather(
        *(app.client.post("/resellers", json=newcomer(cpf=cpf)) for _ in range(4))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


async def test_a_reseller_without_a_balance_is_erased_by_identity(app: RunningApp) -> None:
    maria = newcomer()
    added = (await app.client.post("/resellers", json=maria)).json()
    me = await sign_in(app, maria)
    erased = await app.client.delete(f"/users/{added['user_id']}", headers=me)
    assert erased.status_code == 204, erased.text
    operator = new_operator(app)
    body = operator.purchase(1, date(2026, 1, 1), cpf=maria["cpf"])
    assert (await operator.call("POST", "/purchases", json=body)).json()["code"] == "unknown_reseller"
    assert (await app.client.post("/resellers", json=newcomer(cpf=maria["cpf"]))).status_code == 201
