"""Where a typed CPF earns nothing, only a checker with a proven CPF approves operations for a CPF."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from carteira.embedded import Endpoints
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.databases import NewDatabase
from tests.support.people import Person, new_cpf, register


@pytest.fixture
async def app(new_database: NewDatabase, endpoints: Endpoints, tmp_path: Path) -> AsyncIterator[RunningApp]:
    settings = settings_for(
        tmp_path,
        database_url=new_database("proven_checkers"),
        redis_url=endpoints.redis_url,
        carteira_modules="benefits",
        unproven_cpf="refuse",
        limit_top_ups="1000",
        limit_opening_balances="none",
    )
    async with running_app(settings) as running:
        yield running


async def proposed(app: RunningApp, cpf: str) -> str:
    """Propose a top-up of an account that waits for a CPF, so that it waits for a checker."""
    maker, account = app.person("benefits:write"), f"p-{uuid4()}"
    opened = await maker.post("/benefits/accounts", {"account": account, "cpf": cpf})
    assert opened.status_code == 201, opened.text
    waits = await maker.post(f"/benefits/accounts/{account}/credits", {"category": "CASH", "amount": 1_001})
    return f"/pending/{waits.json()['pending']['id']}/approve"


async def prove(app: RunningApp, person: Person) -> None:
    async with app.database.transaction() as tx:
        query = text("UPDATE users SET cpf_proven_at = now(), cpf_proven_by = 'operator' WHERE id = :id")
        await tx.execute(query, {"id": person.id})


async def test_a_second_account_with_a_false_cpf_or_none_approves_nothing_for_a_cpf(app: RunningApp) -> None:
    path = await proposed(app, new_cpf())
    checker = await register(app)
    checker.headers = app.bearer("money:approve", user_id=checker.id)
    answer = await checker.post(path)
    assert (answer.status_code, answer.json()["code"]) == (403, "cpf_not_proven")
    await prove(app, checker)
    assert (await checker.post(path)).status_code == 200


async def test_the_owner_of_the_benefiting_cpf_reads_that_it_is_their_own(app: RunningApp) -> None:
    checker = await register(app)
    checker.headers = app.bearer("money:approve", user_id=checker.id)
    await prove(app, checker)
    answer = await checker.post(await proposed(app, checker.cpf))
    assert (answer.status_code, answer.json()["code"]) == (403, "own_operation")
