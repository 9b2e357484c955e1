"""A link makes an administrator, once, after they enrol a second factor; until then they hold nothing."""

import asyncio
import secrets
from datetime import timedelta
from uuid import UUID

import httpx
import pyotp
import pytest
from sqlalchemy import text

from carteira.identity import invite_administrator
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from tests.support.app import RunningApp
from tests.support.people import PASSWORD, Person, register, sign_in

COMMAND = Actor("command", "admin create")
BROWSER = {"Accept": "text/html"}


async def invite(app: RunningApp, email: str) -> tuple[UUID, str]:
    async with app.database.transaction() as tx:
        invited = await invite_administrator(tx, "Ana Pereira", email, actor=COMMAND)
    return invited.user_id, invited.token


def new_email() -> str:
    return f"ana.{secrets.token_hex(6)}@exemplo.com.br"


async def start(app: RunningApp, token: str) -> httpx.Response:
    return await app.client.post("/auth/invitation/start", data={"token": token})


async def accept(app: RunningApp, token: str, code: str, password: str = PASSWORD) -> httpx.Response:
    form = {"token": token, "code": code, "password": password}
    return await app.client.post("/auth/invitation/accept", data=form)


def code_of(secret: str) -> str:
    return pyotp.TOTP(secret).at(clock.now())


async def actions(app: RunningApp, user_id: UUID) -> list[tuple[str, str | None]]:
    async with app.database.transaction() as tx:
        rows = await tx.execute(
            text("SELECT action, actor_name FROM audit_log WHERE subject_id = :id ORDER BY id"), {"id": user_id}
        )
        return [(row[0], row[1]) for row in rows]


async def role_of(app: RunningApp, user_id: UUID) -> str:
    answer = await app.operator().get(f"/users/{user_id}/role")
    return str(answer.json()["description"])


async def test_an_invited_administrator_has_a_second_factor(app: RunningApp) -> None:
    email = new_email()
    user_id, token = await invite(app, email)
    assert await role_of(app, user_id) == "cidadão", "no claim before it is accepted"
    shown = (await start(app, token)).json()
    assert (shown["email"], shown["full_name"]) == (email, "Ana Pereira")
    done = await accept(app, token, code_of(shown["secret"]))
    assert done.status_code == 200, done.text
    recovery = done.json()["recovery_codes"]
    assert len(recovery) == 10
    assert await role_of(app, user_id) == "administrador"
    challenge = (await app.client.post("/auth/login", data={"username": email, "password": PASSWORD})).json()
    assert challenge["mfa_required"] is True
    body = {"mfa_token": challenge["mfa_token"], "code": recovery[0]}
    tokens = (await app.client.post("/auth/mfa", json=body)).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await app.client.get("/users", headers=headers)).status_code == 200
    told = await actions(app, user_id)
    assert ("administrator_invited", "admin create") in told
    assert ("administrator_made", None) in told
    for again in (await start(app, token), await accept(app, token, recovery[1])):
        assert (again.status_code, again.json()["code"]) == (401, "invitation_over")


async def test_an_existing_person_keeps_their_data(app: RunningApp) -> None:
    person = await sign_in(await register(app))
    user_id, token = await invite(app, person.email.upper())
    assert user_id == person.id
    shown = (await start(app, token)).json()
    assert (await accept(app, token, code_of(shown["secret"]), "Outra9senha")).status_code == 200
    assert (await person.get("/users/me")).status_code == 401, "sessions of the former password end"
    assert await role_of(app, person.id) == "administrador"


async def test_an_authenticator_that_is_on_is_asked_and_kept(app: RunningApp, person: Person) -> None:
    secret = (await person.post("/auth/totp")).json()["secret"]
    await person.post("/auth/totp/confirm", {"code": code_of(secret)})
    _, token = await invite(app, person.email)
    assert (await start(app, token)).json()["secret"] is None
    clock.advance(timedelta(seconds=60))
    assert (await accept(app, token, "000000")).status_code == 422
    done = await accept(app, token, code_of(secret))
    assert (done.status_code, done.json()["recovery_codes"]) == (200, [])


async def test_a_link_is_good_for_three_days_and_a_newer_one_ends_it(app: RunningApp) -> None:
    email = new_email()
    _, first = await invite(app, email)
    _, second = await invite(app, email)
    assert (await start(app, first)).status_code == 401
    assert (await start(app, second)).status_code == 200
    clock.advance(timedelta(days=3, seconds=1))
    assert (await start(app, second)).status_code == 401
    assert (await start(app, "x")).status_code == 401


async def test_wrong_acceptances_are_named_and_counted(app: RunningApp) -> None:
    _, token = await invite(app, new_email())
    unopened = await accept(app, token, "123456")
    assert (unopened.status_code, unopened.json()["code"]) == (404, "totp_not_found")
    secret = (await start(app, token)).json()["secret"]
    weak = await accept(app, token, code_of(secret), "abc")
    assert (weak.status_code, weak.json()["code"]) == (422, "weak_password")
    for _ in range(10):
        assert (await accept(app, token, "000000")).status_code == 422
    assert (await accept(app, token, code_of(secret))).status_code == 429


async def test_one_of_two_at_once_accepts(app: RunningApp) -> None:
    user_id, token = await invite(app, new_email())
    secret = (await start(app, token)).json()["secret"]
    answers = await asyncio.gather(*(accept(app, token, code_of(secret)) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401]
    assert await role_of(app, user_id) == "administrador"


@pytest.mark.parametrize("end", ["suspended", "erased"])
async def test_suspended_or_erased_people_do_not_become_administrators(app: RunningApp, end: str) -> None:
    user_id, token = await invite(app, new_email())
    secret = (await start(app, token)).json()["secret"]
    if end == "suspended":
        answer = await app.operator().call("PUT", f"/users/{user_id}/suspension", json={"reason": "other"})
    else:
        answer = await app.operator().call("DELETE", f"/users/{user_id}")
    assert answer.status_code in {200, 204}
    assert (await accept(app, token, code_of(secret))).status_code == 401


async def test_the_link_opens_pages_in_a_browser(app: RunningApp) -> None:
    _, token = await invite(app, new_email())
    client = app.client
    asked = await client.get("/auth/invitation", params={"token": token}, headers=BROWSER)
    assert asked.headers["content-security-policy"].startswith("default-src 'none'")
    assert asked.headers["cache-control"] == "no-store"
    hostile = await client.get("/auth/invitation", params={"token": '"><script>'}, headers=BROWSER)
    assert "<script>" not in hostile.text
    page = await client.post("/auth/invitation/start", data={"token": token}, headers=BROWSER)
    assert "<svg" in page.text
    secret = page.text.partition('id="secret">')[2].partition("</code>")[0]
    form = {"token": token, "code": "000000", "password": PASSWORD}
    wrong = await client.post("/auth/invitation/accept", data=form, headers=BROWSER)
    assert wrong.status_code == 422
    assert "Código inválido ou expirado." in wrong.text
    done = await client.post("/auth/invitation/accept", data=form | {"code": code_of(secret)}, headers=BROWSER)
    assert done.status_code == 200
    assert done.text.count("<li><code") == 10
    over = await client.post("/auth/invitation/start", data={"token": token}, headers=BROWSER)
    assert over.status_code == 401
    assert "não vale mais" in over.text
