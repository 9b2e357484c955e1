"""A suspended person cannot sign in, all their sessions end at once, and none of their money moves."""

from collections.abc import Awaitable, Callable

import pyotp
import pytest
from sqlalchemy import text

from carteira.kit.values.clock import clock
from tests.support.app import RunningApp
from tests.support.people import PASSWORD, Person, register, sign_in


async def suspend(app: RunningApp, person: Person, reason: str = "suspected_fraud") -> None:
    guard = app.person("users:suspend")
    answer = await guard.call("PUT", f"/users/{person.id}/suspension", json={"reason": reason})
    assert answer.status_code == 200, answer.text
    assert answer.json()["suspended_at"] is not None


async def test_a_suspended_person_is_out_everywhere_at_once(
    start_app: Callable[..., Awaitable[RunningApp]],
) -> None:
    here, there = await start_app(), await start_app()
    person = await sign_in(await register(here))
    for app in (here, there):
        assert (await app.client.get("/users/me", headers=person.headers)).status_code == 200
    await suspend(here, person)
    for app in (here, there):
        assert (await app.client.get("/users/me", headers=person.headers)).status_code == 401
    refreshed = await here.client.post("/auth/refresh", json={"refresh_token": person.tokens["refresh_token"]})
    assert refreshed.status_code == 401
    login = {"username": person.cpf, "password": PASSWORD}
    entered = await here.client.post("/auth/login", data=login)
    assert (entered.status_code, entered.json()["code"]) == (403, "account_suspended")
    wrong = await here.client.post("/auth/login", data=login | {"password": "Errada123"})
    assert wrong.json()["code"] == "wrong_credentials", "told only to a person with the password"
    assert (await here.person("users:suspend").call("DELETE", f"/users/{person.id}/suspension")).status_code == 204
    assert (await here.client.get("/users/me", headers=person.headers)).status_code == 401, "the session had ended"
    assert (await sign_in(person)).tokens


async def test_a_second_factor_after_a_suspension_is_refused(app: RunningApp) -> None:
    person = await sign_in(await register(app))
    secret = (await person.post("/auth/totp")).json()["secret"]
    codes = (await person.post("/auth/totp/confirm", {"code": pyotp.TOTP(secret).at(clock.now())})).json()
    login = {"username": person.cpf, "password": PASSWORD}
    waiting = (await app.client.post("/auth/login", data=login)).json()["mfa_token"]
    await suspend(app, person)
    code = codes["recovery_codes"][0]
    answer = await app.client.post("/auth/mfa", json={"mfa_token": waiting, "code": code})
    assert (answer.status_code, answer.json()["code"]) == (401, "wrong_code")
    again = (await app.client.post("/auth/login", data=login)).json()["mfa_token"]
    answer = await app.client.post("/auth/mfa", json={"mfa_token": again, "code": code})
    assert (answer.status_code, answer.json()["code"]) == (403, "account_suspended")


async def test_the_actor_and_the_reason_are_shown_and_kept(app: RunningApp) -> None:
    person = await register(app)
    await suspend(app, person, "court_order")
    seen = await app.person("users:read").get(f"/users/{person.id}")
    assert seen.json()["suspended_at"] is not None
    async with app.database.transaction() as tx:
        kept = await tx.execute(
            text("SELECT details FROM audit_log WHERE subject_id = :id AND action = 'user_suspended'"),
            {"id": person.id},
        )
        assert [row[0]["reason"] for row in kept] == ["court_order"]


@pytest.mark.parametrize("body", [{}, {"reason": "porque sim"}, {"reason": None}, {"reason": "other", "note": "x"}])
async def test_a_reason_is_one_of_the_known_ones(app: RunningApp, body: dict[str, object]) -> None:
    person = await register(app)
    answer = await app.person("users:suspend").call("PUT", f"/users/{person.id}/suspension", json=body)
    assert answer.status_code == 422


async def test_nobody_suspends_themself_nor_without_the_claim(app: RunningApp) -> None:
    person = await register(app)
    own = app.person("users:suspend", user_id=person.id)
    answer = await own.call("PUT", f"/users/{person.id}/suspension", json={"reason": "other"})
    assert (answer.status_code, answer.json()["code"]) == (409, "suspends_themself")
    for who in (app.person("users:write"), app.person(user_id=person.id)):
        for method in ("PUT", "DELETE"):
            answer = await who.call(method, f"/users/{person.id}/suspension", json={"reason": "other"})
            assert answer.status_code == 403
    gone = await app.person("users:suspend").call(
        "PUT", "/users/01980000-0000-7000-8000-00000000ffff/suspension", json={"reason": "other"}
    )
    assert gone.status_code == 404
