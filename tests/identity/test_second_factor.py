"""Claims count only with a second factor where one is required, and step-up shows that the person is present."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pyotp
import pytest
from sqlalchemy import text

from carteira.kit.values.clock import clock
from tests.support.app import RunningApp
from tests.support.authenticator import Authenticator
from tests.support.people import PASSWORD, Person, register, sign_in

StartApp = Callable[..., Awaitable[RunningApp]]


@pytest.fixture
async def app(start_app: StartApp) -> RunningApp:
    return await start_app(operators_second_factor="required")


async def grant(app: RunningApp, person: Person, *claims: str) -> None:
    """Write claims into the database, as the bootstrap does."""
    async with app.database.transaction() as tx:
        await tx.execute(
            text(
                "INSERT INTO user_claims (user_id, claim_id) SELECT :id, id FROM claims WHERE description = ANY(:names)"
            ),
            {"id": person.id, "names": list(claims)},
        )
        app.api.state.identity.access.changed(tx, person.id)


@pytest.fixture
async def operator(app: RunningApp) -> Person:
    """An operator who signed in by password alone."""
    person = await register(app)
    await grant(app, person, "users:read", "users:write", "reseller")
    return await sign_in(person)


def now_code(secret: str) -> str:
    return pyotp.TOTP(secret).at(clock.now())


async def enrol(person: Person) -> tuple[str, list[str]]:
    secret = (await person.post("/auth/totp")).json()["secret"]
    answer = await person.post("/auth/totp/confirm", {"code": now_code(secret)})
    assert answer.status_code == 200, answer.text
    codes: list[str] = answer.json()["recovery_codes"]
    return secret, codes


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


REQUIRED = (403, "second_factor_required")


async def test_claims_wait_for_the_second_factor_which_may_be_enrolled_in_the_same_session(operator: Person) -> None:
    answer = await operator.get("/users")
    assert refused(answer) == REQUIRED
    assert answer.json()["enrol_at"] == "/auth/totp"
    assert (await operator.get("/users/me")).status_code == 200, "one's own things stay available"
    await enrol(operator)
    assert (await operator.get("/users")).status_code == 200


async def test_a_verb_that_requires_a_claim_refuses_alike(operator: Person, app: RunningApp) -> None:
    other = await register(app)
    assert refused(await operator.get(f"/users/{other.id}")) == REQUIRED
    assert refused(await operator.call("PATCH", f"/users/{other.id}", json={"full_name": "Outra Pessoa"})) == REQUIRED


async def test_people_without_the_claim_are_not_asked_for_a_second_factor(app: RunningApp) -> None:
    person = await sign_in(await register(app))
    answer = await person.get("/users")
    assert refused(answer) == (403, "forbidden")
    assert (answer.json()["claim"], "`users:read`" in answer.json()["detail"]) == ("users:read", True)


async def test_a_second_session_shows_the_code_that_the_first_enrolled(app: RunningApp, operator: Person) -> None:
    elsewhere = await sign_in(Person(app.client, operator.id, {}, operator.cpf))
    secret, codes = await enrol(operator)
    answer = await elsewhere.get("/users")
    assert refused(answer) == REQUIRED
    assert answer.json()["show_at"] == "/auth/step-up"
    assert refused(await elsewhere.post("/auth/step-up", {"password": PASSWORD})) == (422, "code_needed")
    assert refused(await elsewhere.post("/auth/step-up", {"code": "000000"})) == (422, "invalid_code")
    assert refused(await elsewhere.get("/users")) == REQUIRED
    clock.advance(timedelta(seconds=60))
    shown = await elsewhere.post("/auth/step-up", {"code": now_code(secret)})
    assert shown.status_code == 200, shown.text
    assert shown.json()["second_factor_at"] is not None
    assert (await elsewhere.get("/users")).status_code == 200
    third = await sign_in_with(app, operator, codes[0])
    assert (await third.get("/users")).status_code == 200, "a recovery code is a second factor too"


async def sign_in_with(app: RunningApp, person: Person, code: str) -> Person:
    login = {"username": person.cpf, "password": person.password}
    challenge = (await app.client.post("/auth/login", data=login)).json()
    tokens = (await app.client.post("/auth/mfa", json={"mfa_token": challenge["mfa_token"], "code": code})).json()
    return Person(app.client, person.id, {"Authorization": f"Bearer {tokens['access_token']}"}, person.cpf)


async def test_turning_the_authenticator_off_or_replacing_it_ends_its_sessions_rights(operator: Person) -> None:
    await enrol(operator)
    assert (await operator.call("DELETE", "/auth/totp")).status_code == 204
    assert refused(await operator.get("/users")) == REQUIRED
    clock.advance(timedelta(seconds=60))
    await enrol(operator)
    assert (await operator.get("/users")).status_code == 200


async def add_passkey(person: Person, device: Authenticator) -> httpx.Response:
    options = await person.post("/auth/passkeys/register/options")
    if options.status_code != 200:
        return options
    return await person.post("/auth/passkeys/register/verify", {"credential": device.create(options.json())})


async def enter(app: RunningApp, device: Authenticator) -> dict[str, Any]:
    options = (await app.client.post("/auth/passkeys/login/options")).json()
    answer = await app.client.post("/auth/passkeys/login/verify", json={"credential": device.get(options)})
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


async def test_a_passkey_is_two_factors_and_a_password_alone_adds_no_other(app: RunningApp, operator: Person) -> None:
    device = Authenticator()
    assert (await add_passkey(operator, device)).status_code == 201
    answer = await operator.get("/users")
    assert refused(answer) == REQUIRED
    assert answer.json()["show_at"] == "/auth/step-up"
    assert refused(await operator.post("/auth/totp")) == REQUIRED, "a thief with the password would enrol their own"
    assert refused(await add_passkey(operator, Authenticator())) == REQUIRED
    tokens = await enter(app, device)
    by_key = Person(app.client, operator.id, {"Authorization": f"Bearer {tokens['access_token']}"})
    assert (await by_key.get("/users")).status_code == 200
    assert (await by_key.post("/auth/totp")).status_code == 200


async def test_a_passkey_steps_up_a_session_of_a_password(app: RunningApp, operator: Person) -> None:
    device, strange = Authenticator(), Authenticator()
    await add_passkey(operator, device)
    stranger = await sign_in(await register(app))
    await add_passkey(stranger, strange)
    for used, status in ((strange, 401), (device, 200)):
        options = (await app.client.post("/auth/passkeys/login/options")).json()
        answer = await operator.post("/auth/step-up", {"credential": used.get(options)})
        assert answer.status_code == status, answer.text
    assert (await operator.get("/users")).status_code == 200


async def test_step_up_by_password_renews_a_sign_in_and_counts_wrong_ones(app: RunningApp) -> None:
    person = await sign_in(await register(app))
    clock.advance(timedelta(minutes=16))
    change = {"email": f"nova.{person.id}@exemplo.com.br"}
    assert refused(await person.call("PATCH", f"/users/{person.id}", json=change)) == (
        403,
        "recent_sign_in_required",
    )
    wrong = await person.post("/auth/step-up", {"password": "Errada123"})
    assert refused(wrong) == (422, "wrong_current_password")
    assert (await person.post("/auth/step-up", {"password": PASSWORD})).status_code == 200
    assert (await person.call("PATCH", f"/users/{person.id}", json=change)).status_code == 200
    for _ in range(9):
        await person.post("/auth/step-up", {"password": "Errada123"})
    assert (await person.post("/auth/step-up", {"password": PASSWORD})).status_code == 429
    assert (await sign_in(person)).tokens, "a sign-in has a limit of its own"


@pytest.mark.parametrize("body", [{}, {"code": "1", "password": "x"}, {"code": None}, {"credential": "x"}])
async def test_step_up_takes_one_factor(app: RunningApp, body: dict[str, object]) -> None:
    person = await sign_in(await register(app))
    assert (await person.post("/auth/step-up", body)).status_code == 422


async def test_step_up_is_for_sessions(app: RunningApp) -> None:
    assert refused(await app.person().post("/auth/step-up", {"code": "1"})) == (403, "recent_sign_in_required")


async def test_sessions_of_the_release_before_count_by_their_methods(app: RunningApp, operator: Person) -> None:
    await enrol(operator)
    clock.advance(timedelta(seconds=1))
    async with app.database.transaction() as tx:
        await tx.execute(
            text(
                "UPDATE sessions SET signed_in_at = NULL, second_factor_at = NULL, methods = 'password totp',"
                " created_at = :at WHERE user_id = :id"
            ),
            {"id": operator.id, "at": clock.now()},
        )
        app.api.state.identity.access.changed(tx, operator.id)
    assert (await operator.get("/users")).status_code == 200


async def test_where_it_is_off_a_password_is_enough(start_app: StartApp) -> None:
    app = await start_app()
    person = await register(app)
    await grant(app, person, "users:read")
    assert (await (await sign_in(person)).get("/users")).status_code == 200
