"""A person's data in benefits: an export with all of it, and nothing left after an erasure."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.support.app import RunningApp, running_app, settings_for
from tests.support.benefits import AUTHORIZER, FOOD, processor_headers, purchase
from tests.support.databases import NewDatabase
from tests.support.people import register


@pytest.fixture(scope="module")
def people_url(new_database: NewDatabase) -> str:
    return new_database("benefits_people")


@pytest.fixture
async def app(people_url: str, tmp_path: Path) -> AsyncIterator[RunningApp]:
    settings = settings_for(tmp_path, database_url=people_url, carteira_modules="benefits")
    async with running_app(settings) as app:
        yield app


async def test_a_person_exports_their_benefits_and_is_erased_without_money(app: RunningApp) -> None:
    person = await register(app)
    cpf = person.cpf
    operator = app.operator()
    opened = await operator.post(
        "/benefits/accounts", {"account": f"p-{cpf}", "user_id": str(person.id), "balances": {"FOOD": 1500}}
    )
    assert opened.status_code == 201, opened.text
    waiting = await operator.post(
        "/benefits/accounts", {"account": f"w-{cpf}", "cpf": cpf, "contact": "rh@empresa.com.br"}
    )
    assert waiting.status_code == 201
    processor = processor_headers()

    async def buy(reais: str) -> str:
        body = purchase(f"p-{cpf}", reais, FOOD)
        code: str = (await app.client.post(AUTHORIZER, content=body, headers=processor)).json()["code"]
        return code

    assert [await buy("5.00"), await buy("99.00")] == ["00", "51"]
    held = (await person.get("/users/me/data")).json()["benefits"]
    (account,) = held["accounts"]
    assert (account["account"], account["balances"]["FOOD"]) == (f"p-{cpf}", 1000)
    assert [item["code"] for item in account["transactions"]] == ["51", "00"]
    assert [line["amount"] for line in account["statement"]] == [-500, 1500]

    async def erase() -> int:
        answer = await app.client.delete(f"/users/{person.id}", headers=person.headers)
        return answer.status_code

    assert await erase() == 409
    assert await buy("10.00") == "00"
    assert await erase() == 204
    async with app.database.transaction() as tx:
        rows = await tx.execute(
            text("SELECT reference, user_id, cpf, contact FROM benefits_accounts WHERE reference LIKE :cpf"),
            {"cpf": f"%{cpf}"},
        )
        assert sorted(tuple(row) for row in rows) == [
            (f"p-{cpf}", None, None, None),
            (f"w-{cpf}", None, cpf, "rh@empresa.com.br"),
        ]
        kept = await tx.scalar(text("SELECT count(*) FROM benefits_decisions WHERE account = :a"), {"a": f"p-{cpf}"})
        assert kept == 3
    assert (await person.get(f"/benefits/accounts/p-{cpf}")).status_code == 404
