"""Pending operations are announced to those who may approve them, and their outcome to their maker."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from carteira.embedded import Endpoints
from carteira.kit.db import jobs
from carteira.kit.security import approvals
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.databases import NewDatabase
from tests.support.machines import new_acting
from tests.support.mail import mail_to, parts_of
from tests.support.people import Person, register

LIMIT, NAME = 10_000, "Maria Açucena da Silva"
WAITING, DECIDED = "Há operações à espera da sua aprovação", "Uma operação que você pediu foi decidida"


@pytest.fixture(scope="module")
def notices_url(new_database: NewDatabase) -> str:
    return new_database("notices_of_operations")


@pytest.fixture
async def app(notices_url: str, endpoints: Endpoints, tmp_path: Path) -> AsyncIterator[RunningApp]:
    settings = settings_for(
        tmp_path,
        database_url=notices_url,
        smtp_url=endpoints.smtp_url,
        carteira_modules="benefits",
        limit_top_ups=LIMIT,
    )
    async with running_app(settings) as app:
        yield app
        async with app.database.transaction() as tx:
            await tx.execute(text("DELETE FROM user_claims"))


async def holder(app: RunningApp, *claims: str) -> Person:
    """Return a person with these claims, granted."""
    person, operator = await register(app), app.operator()
    known = {one["description"]: one["id"] for one in (await operator.get("/claims", limit=100)).json()["items"]}
    given = {"claim_ids": [known[claim] for claim in claims]}
    answer = await operator.call("PUT", f"/users/{person.id}/claims", json=given)
    assert answer.status_code == 200, answer.text
    return person


async def employer_of(app: RunningApp, *members: Person) -> str:
    """Return a new employer that people are bound to."""
    operator = app.operator()
    made = await operator.post("/benefits/employers", {"cnpj": new_cnpj(), "name": "Padaria"})
    assert made.status_code == 201, made.text
    employer: str = made.json()["id"]
    for member in members:
        bound = await operator.call("PUT", f"/benefits/employers/{employer}/members/{member.id}")
        assert bound.status_code == 200, bound.text
    return employer


def new_cnpj() -> str:
    base = f"{uuid4().int % 10**12:012}"
    for weights in ((5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2), (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)):
        rest = sum(int(digit) * weight for digit, weight in zip(base, weights, strict=True)) % 11
        base += str(0 if rest < 2 else 11 - rest)
    return base


async def account_of(app: RunningApp, person: Person, employer: str | None = None) -> str:
    account = f"n-{uuid4()}"
    body: dict[str, Any] = {"account": account, "user_id": str(person.id)}
    made = await app.operator().post("/benefits/accounts", body | ({"employer_id": employer} if employer else {}))
    assert made.status_code == 201, made.text
    return account


async def propose(maker: Person, account: str, amount: int = LIMIT + 1) -> str:
    answer = await maker.post(f"/benefits/accounts/{account}/credits", {"category": "CASH", "amount": amount})
    assert answer.status_code == 202, answer.text
    operation: str = answer.json()["pending"]["id"]
    return operation


async def emails_to(app: RunningApp, endpoints: Endpoints, person: Person, subject: str) -> list[str]:
    """Return the e-mails with a subject that a person got so far, once the worker has worked everything off."""
    async with app.database.transaction() as tx:
        await jobs.defer(tx, "notices:tell_approvers", timestamp=0)
    for _ in range(2):
        await app.work_off()
    letters = [mail for mail in mail_to(endpoints.maildir, person.email) if mail["Subject"] == subject]
    for mail in letters:
        plain, html = parts_of(mail)
        assert all(line[2:] in html for line in plain.splitlines() if line.startswith("- "))
        assert subject != WAITING or re.search(r"operaç(ão espera|ões esperam) a aprovação", html)
    return [parts_of(mail)[0] for mail in letters]


async def test_possible_checkers_are_notified_once_in_one_letter(app: RunningApp, endpoints: Endpoints) -> None:
    gainer, checker = await register(app), await holder(app, "money:approve")
    maker, other = app.person("benefits:write"), await holder(app, "users:write")
    account = await account_of(app, gainer)
    await propose(maker, account)
    await propose(maker, account, LIMIT + 2)
    gone = await propose(maker, account, LIMIT + 3)
    assert (await app.operator().post(f"/pending/{gone}/refuse")).status_code == 200
    (letter,) = await emails_to(app, endpoints, checker, WAITING)
    assert "2 operações esperam" in letter
    assert f"- Creditar R$ 100,01 em CASH da conta {account}\n" in letter
    assert f"- Creditar R$ 100,02 em CASH da conta {account}\n" in letter
    assert "100,03" not in letter
    assert len(await emails_to(app, endpoints, checker, WAITING)) == 1, "told once"
    await propose(maker, account, LIMIT + 4)
    assert "Uma operação espera" in (await emails_to(app, endpoints, checker, WAITING))[1]
    assert await emails_to(app, endpoints, other, WAITING) == []


async def test_people_behind_the_asking_client_are_not_notified(app: RunningApp, endpoints: Endpoints) -> None:
    behind, checker = await holder(app, "money:approve"), await holder(app, "money:approve")
    machine = await new_acting(app.person("*", user_id=behind.id), "benefits:write")
    await propose(machine, await account_of(app, await register(app)))
    assert len(await emails_to(app, endpoints, checker, WAITING)) == 1
    assert await emails_to(app, endpoints, behind, WAITING) == []


async def test_people_who_may_not_approve_are_not_notified(app: RunningApp, endpoints: Endpoints) -> None:
    maker, gainer = await holder(app, "money:approve"), await holder(app, "money:approve")
    suspended = await holder(app, "money:approve")
    put = await app.operator().call("PUT", f"/users/{suspended.id}/suspension", json={"reason": "other"})
    assert put.status_code == 200, put.text
    bound, stranger = await holder(app, "money:approve"), await holder(app, "money:approve")
    employer, _ = await employer_of(app, bound), await employer_of(app, stranger)
    as_maker = app.person("benefits:write", user_id=maker.id)
    await propose(as_maker, await account_of(app, gainer, employer))
    assert len(await emails_to(app, endpoints, bound, WAITING)) == 1
    for person in (maker, gainer, suspended, stranger):
        assert await emails_to(app, endpoints, person, WAITING) == [], person.email


async def test_makers_are_notified_of_the_outcome(app: RunningApp, endpoints: Endpoints) -> None:
    maker, checker = await holder(app, "benefits:write"), await register(app)
    as_maker, as_checker = app.person("benefits:write", user_id=maker.id), app.person("*", user_id=checker.id)
    account = await account_of(app, await register(app))
    approved, refused, taken_back, late = [await propose(as_maker, account, LIMIT + n) for n in (1, 2, 3, 4)]
    assert (await as_checker.post(f"/pending/{approved}/approve")).status_code == 200
    assert (await as_checker.post(f"/pending/{refused}/refuse", {"reason": "Sem pedido"})).status_code == 200
    assert (await as_maker.post(f"/pending/{taken_back}/refuse")).status_code == 200
    async with app.database.transaction() as tx:
        await tx.execute(text("UPDATE pending_operations SET expires_at = created_at WHERE id = :id"), {"id": late})
    async with app.database.transaction() as tx:
        assert await approvals.expire(tx) == 1
    letters = await emails_to(app, endpoints, maker, DECIDED)
    assert len(letters) == 3
    whole = "\n".join(letters)
    assert f"aprovada por {NAME} e realizada: Creditar R$ 100,01 em CASH da conta {account}." in whole
    assert f"recusada por {NAME}, e nada foi feito: Creditar R$ 100,02 em CASH da conta {account}." in whole
    assert "Motivo: Sem pedido\n" in whole
    assert "Ninguém decidiu a tempo" in whole
    assert "100,03" not in whole, "a maker is not told of their own withdrawal"
