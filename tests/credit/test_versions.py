"""Versions of the score's model: stored unchanged, chosen by two people, reverted by one, used by every process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from carteira.credit.score import shipped
from carteira.credit.versions import CardInForce
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.db.reads import Reads
from carteira.settings import Settings
from tests.support.app import RunningApp, running_app
from tests.support.credit import BASE_B, PURPOSE, store_model
from tests.support.databases import NewDatabase
from tests.support.people import Person, new_cpf
from tests.support.source import ROOT


async def store(app: RunningApp, points: int) -> str:
    """Store a model that adds so many points to, or takes them from, everybody's score; return its version."""
    return await store_model(app.database, "test", points)


@pytest.fixture(scope="module")
async def apps(settings: Settings, new_database: NewDatabase) -> AsyncIterator[list[RunningApp]]:
    """Two servers over one database."""
    own = settings.model_copy(update={"database_url": SecretStr(new_database("versions"))})
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running_app(own)) for _ in range(2)]


async def scored_by(app: RunningApp, cpf: str) -> tuple[str, int]:
    answer = await _analyst(app).get(f"/credit/{cpf}/score")
    assert answer.status_code == 200, answer.text
    return answer.json()["model_version"], answer.json()["score"]


def _analyst(app: RunningApp) -> Person:
    analyst = app.person("credit:b:read", "credit:b:write", "credit:models:read", "credit:models:write")
    analyst.headers |= PURPOSE
    return analyst


async def choose(app: RunningApp, version: str, **more: str) -> Any:  # noqa: ANN401 - httpx's type
    return await _analyst(app).post(f"/credit/models/{version}/choose", {"reason": "Treinado de novo", **more})


async def approve(app: RunningApp, waiting: Any) -> Any:  # noqa: ANN401 - httpx's type
    assert waiting.status_code == 202, waiting.text
    return await _analyst(app).post(f"/pending/{waiting.json()['pending']['id']}/approve")


async def test_a_new_model_needs_two_people_and_going_back_one(apps: list[RunningApp]) -> None:
    here, there = apps
    cpf = new_cpf()
    written = await _analyst(here).call("PUT", f"/credit/{cpf}/base-b", json=BASE_B)
    assert written.status_code == 201
    model, before = await scored_by(here, cpf)
    assert model == shipped().model_version
    new = await store(here, -50)
    assert await scored_by(here, cpf) == (model, before), "a stored model scores nobody yet"
    waiting = await choose(here, new)
    assert await scored_by(there, cpf) == (model, before), "nor does one that waits for approval"
    done = await approve(here, waiting)
    assert done.json()["outcome"]["in_force"] is True, done.text
    for app in apps:
        assert await scored_by(app, cpf) == (new, before - 50), "each server uses it from its next answer on"
    again = await choose(here, new)
    assert (again.status_code, again.json()["code"]) == (409, "credit_model_in_force")
    back = await choose(there, model)
    assert (back.status_code, back.json()["in_force"]) == (200, True), back.text
    for app in apps:
        assert await scored_by(app, cpf) == (model, before)
    listed = (await _analyst(here).get("/credit/models")).json()
    told = {one["version"]: one for one in listed}
    assert (told[new]["in_force"], told[model]["in_force"]) == (False, True)
    assert [one["reason"] for one in told[model]["choices"]] == ["Treinado de novo", "Veio com o produto."]
    assert told[new]["choices"][0]["approved_by"]
    assert f"{told[model]['figures']['auc']:.4f}" in (ROOT / "docs/reference/credit-model.md").read_text()
    figures = told[new]["figures"]
    assert figures["approval"] == pytest.approx(0.6)
    assert figures["approved_default_rate"] == pytest.approx((0.2 * 0.05 + 0.3 * 0.1) / 0.6)
    assert (told[new]["outcomes_from"], told[new]["people"]) == ("2025-01-07", 10_000)
    async with here.database.transaction() as tx:
        looked = await tx.scalars(
            text("SELECT details->>'model' FROM audit_log WHERE action = 'credit_score_read' ORDER BY created_at, id")
        )
        assert {model, new} <= set(looked), "a former answer keeps its model"


async def test_the_slower_of_two_choices_is_refused(apps: list[RunningApp]) -> None:
    app = apps[0]
    first, second = await store(app, 1), await store(app, 2)
    in_force = next(one["version"] for one in (await _analyst(app).get("/credit/models")).json() if one["in_force"])
    waiting = [await choose(app, version, instead_of=in_force) for version in (first, second)]
    answers = await asyncio.gather(*(approve(app, one) for one in waiting))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    late = next(answer for answer in answers if answer.status_code == 409).json()
    assert (late["code"], late["reason"]["code"]) == ("pending_failed", "credit_model_overtaken")
    stale = await choose(app, in_force, instead_of=in_force)
    assert stale.json()["code"] == "credit_model_overtaken"


async def test_one_person_goes_back_one_step_and_no_further(apps: list[RunningApp]) -> None:
    """An older model, which was left behind for a reason, is a choice as any other."""
    app = apps[0]
    oldest, middle, newest = [await store(app, points) for points in (11, 12, 13)]
    for version in (oldest, middle, newest):
        assert (await approve(app, await choose(app, version))).status_code == 200
    told = {one["version"]: one["former"] for one in (await _analyst(app).get("/credit/models")).json()}
    assert [version for version, former in told.items() if former] == [middle]
    assert (await choose(app, oldest)).status_code == 202
    assert (await choose(app, middle)).status_code == 200
    assert (await choose(app, newest)).status_code == 200, "back and forth between the last two"
    waits = await choose(app, oldest)
    assert (await approve(app, waits)).json()["outcome"]["in_force"] is True


async def test_an_impossible_choice_gives_its_reason_and_stored_models_stay(apps: list[RunningApp]) -> None:
    app = apps[0]
    version = await store(app, 3)
    unknown = await choose(app, "scorecard-1-unknown")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "credit_model_not_found")
    empty = await choose(app, version, reason=" ")
    assert (empty.status_code, empty.json()["errors"][0]["field"]) == (422, "reason")
    reader = app.person("credit:models:read")
    assert (await reader.get(f"/credit/models/{version}")).json()["version"] == version
    assert (await reader.post(f"/credit/models/{version}/choose", {"reason": "x"})).status_code == 403
    assert (await app.person().get("/credit/models")).status_code == 403
    assert await store(app, 3) == version, "the same scorecard has the same version"
    for statement in (
        "UPDATE credit_models SET card = '{}'",
        "DELETE FROM credit_model_choices",
        "TRUNCATE credit_models CASCADE",
    ):
        with pytest.raises(DBAPIError, match="append-only"):
            async with app.database.transaction() as tx:
                await tx.execute(text(statement))


async def test_without_postgresql_the_last_model_that_was_read_goes_on(apps: list[RunningApp]) -> None:
    async def down(_sql: str, _values: object) -> list[Any]:
        raise DatabaseDown

    away, known = Reads(down), CardInForce()
    with pytest.raises(DatabaseDown):
        await known.card(away)
    now = await known.card(apps[0].database.reads)
    assert await known.card(away) is now
