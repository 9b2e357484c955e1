import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import httpx
import pyotp
import pytest

from carteira.kit.values.clock import clock
from tests.support.app import RunningApp
from tests.support.people import PASSWORD, Person, new_cpf, new_person, random_address, register, sign_in


async def login(app: RunningApp, username: str, password: str, http: httpx.AsyncClient | None = None) -> httpx.Response:
    return await (http or app.client).post("/auth/login", data={"username": username, "password": password})


async def refresh(app: RunningApp, token: str) -> httpx.Response:
    return await app.client.post("/auth/refresh", json={"refresh_token": token})


def code_of(secret: str) -> str:
    return pyotp.TOTP(secret).at(clock.now())


async def enrol(app: RunningApp, person: Person) -> tuple[str, list[str]]:
    enrolment = (await app.client.post("/auth/totp", headers=person.headers)).json()
    assert enrolment["qr_svg"].startswith("<svg")
    assert enrolment["otpauth_uri"].startswith("otpauth://totp/Carteira")
    secret: str = enrolment["secret"]
    answer = await app.client.post("/auth/totp/confirm", json={"code": code_of(secret)}, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return secret, answer.json()["recovery_codes"]


async def test_sign_in_by_cpf_dotted_cpf_and_email_of_any_case(app: RunningApp) -> None:
    person = await register(app)
    cpf = person.cpf
    for name in (cpf, f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}", person.email, person.email.upper()):
        answer = await login(app, name, PASSWORD)
        assert answer.status_code == 200
        assert answer.json()["token_type"] == "bearer"
        assert 0 < answer.json()["expires_in"] <= 600
        assert answer.json()["user_id"] == str(person.id)
        assert "password_change_required" not in answer.json()


@pytest.mark.parametrize("username", ["", "x", "\x00", "52998224725", "ninguem@exemplo.com", "a" * 254, "\ud83d\ude00"])
async def test_a_wrong_pair_is_401_with_one_message(app: RunningApp, username: str) -> None:
    answer = await login(app, username.encode("utf-16", "surrogatepass").decode("utf-16"), "Errada123")
    assert answer.status_code == (401 if username else 422)
    if username:
        assert answer.json()["detail"] == "CPF ou senha inválidos."


async def test_only_failures_count_and_a_known_device_still_enters(app: RunningApp) -> None:
    person = await register(app)
    stranger = app.at(random_address())
    for _ in range(12):
        assert (await login(app, person.cpf, PASSWORD)).status_code == 200
    for attempt in range(10):
        name = person.cpf if attempt % 2 else dotted(person.cpf)
        assert (await login(app, name, "Errada123", http=stranger)).status_code == 401
    limited = await login(app, person.cpf, PASSWORD, http=stranger)
    assert limited.status_code == 429
    assert 0 < int(limited.headers["retry-after"]) <= 900
    assert (await login(app, person.cpf, PASSWORD)).status_code == 200, "this device signed in before"
    for _ in range(10):
        assert (await login(app, person.cpf, "Errada123")).status_code == 401
    assert (await login(app, person.cpf, PASSWORD)).status_code == 429, "a known device has a limit too"


def dotted(cpf: str) -> str:
    return f"{cpf[:3]}.{cpf[3:6]}.{cpf[6:9]}-{cpf[9:]}"


async def test_an_unknown_name_is_limited_like_a_known_one(app: RunningApp) -> None:
    """The spelling makes no difference, and no answer reveals that an e-mail address and a CPF belong to one person."""
    person, unknown = await register(app), new_person()
    pattern = []
    for email, cpf in ((person.email, person.cpf), (unknown["email"], unknown["cpf"])):
        stranger = app.at(random_address())
        names = [email, f" {email.upper()}", f"{email}\u200b", f"\ufeff{email}"] * 3
        answers = [await login(app, name, "Errada123", http=stranger) for name in names]
        answers += [await login(app, (cpf, dotted(cpf))[n % 2], "Errada123", http=stranger) for n in range(11)]
        pattern.append([(answer.status_code, answer.json()["detail"]) for answer in answers])
    assert pattern[0] == pattern[1]
    assert [status for status, _ in pattern[0]] == [401] * 10 + [429] * 2 + [401] * 10 + [429]


async def test_a_persons_names_share_ten_guesses(app: RunningApp) -> None:
    person = await register(app)
    stranger = app.at(random_address())
    for _ in range(10):
        assert (await login(app, person.email, "Errada123", http=stranger)).status_code == 401
    assert (await login(app, person.cpf, PASSWORD, http=app.at(random_address()))).status_code == 401


async def test_invisible_blanks_are_no_part_of_a_name(app: RunningApp) -> None:
    person = await register(app)
    for name in (f"{person.email}\u200b", f"\u200e{person.cpf} ", f"\ufeff{person.email}\u00a0"):
        assert (await login(app, name, PASSWORD)).status_code == 200


async def test_limits_hold_across_processes_and_bursts(start_app: Callable[..., Awaitable[RunningApp]]) -> None:
    apps = [await start_app(), await start_app()]
    person = await register(apps[0])
    attempts = [
        login(apps[index % 2], person.cpf, "Errada123", http=apps[index % 2].at(random_address()))
        for index in range(24)
    ]
    statuses = [answer.status_code for answer in await asyncio.gather(*attempts)]
    assert statuses.count(401) <= 10 + 4, "at most the guesses in progress overshoot: two in each process"
    assert statuses.count(429) == 24 - statuses.count(401)


async def test_a_second_factor_gets_a_person_past_a_limit_that_others_used_up(app: RunningApp) -> None:
    person = await sign_in(await register(app))
    secret, _ = await enrol(app, person)
    stranger, elsewhere = app.at(random_address()), app.at(random_address())
    for _ in range(10):
        assert (await login(app, person.cpf, "Errada123", http=stranger)).status_code == 401
    wrong = await login(app, person.cpf, "Errada123", http=stranger)
    right = await login(app, person.cpf, PASSWORD, http=elsewhere)
    assert wrong.json()["mfa_required"] is right.json()["mfa_required"] is True, "the answer reveals nothing"
    clock.advance(timedelta(seconds=60))
    body = {"mfa_token": wrong.json()["mfa_token"], "code": code_of(secret)}
    assert (await stranger.post("/auth/mfa", json=body)).status_code == 401, (
        "a right code does not help a wrong password"
    )
    body = {"mfa_token": right.json()["mfa_token"], "code": code_of(secret)}
    assert (await elsewhere.post("/auth/mfa", json=body)).status_code == 200


async def test_no_code_is_accepted_twice(app: RunningApp, person: Person) -> None:
    secret, recovery_codes = await enrol(app, person)
    assert len(set(recovery_codes)) == 10
    clock.advance(timedelta(seconds=60))
    code = code_of(secret)
    answers = []
    for used in (code, code, recovery_codes[0], recovery_codes[0], recovery_codes[1].lower().replace("-", " ")):
        challenge = (await login(app, person.cpf, PASSWORD)).json()
        assert "access_token" not in challenge
        body = {"mfa_token": challenge["mfa_token"], "code": used}
        answers.append((await app.client.post("/auth/mfa", json=body)).status_code)
    assert answers == [200, 401, 200, 401, 200]


async def test_a_code_that_two_send_at_once_lets_one_in(app: RunningApp, person: Person) -> None:
    secret, _ = await enrol(app, person)
    clock.advance(timedelta(seconds=60))
    tokens = [(await login(app, person.cpf, PASSWORD)).json()["mfa_token"] for _ in range(4)]
    answers = await asyncio.gather(
        *(app.client.post("/auth/mfa", json={"mfa_token": token, "code": code_of(secret)}) for token in tokens)
    )
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]


async def test_a_challenge_takes_five_tries(app: RunningApp, person: Person) -> None:
    secret, _ = await enrol(app, person)
    clock.advance(timedelta(seconds=60))
    token = (await login(app, person.cpf, PASSWORD)).json()["mfa_token"]
    for code in ("000000", "x", "12345678901234567890", "ABCDE-FGHJK-LMNPQ", "１２３４５６"):
        answer = await app.client.post("/auth/mfa", json={"mfa_token": token, "code": code})
        assert answer.status_code == 401
    answer = await app.client.post("/auth/mfa", json={"mfa_token": token, "code": code_of(secret)})
    assert answer.status_code == 401


async def test_the_authenticator_is_turned_off_after_a_recent_sign_in_only(app: RunningApp, person: Person) -> None:
    await enrol(app, person)
    assert (await app.client.post("/auth/totp", headers=person.headers)).status_code == 409
    clock.advance(timedelta(minutes=16))
    answer = await app.client.delete("/auth/totp", headers=person.headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "recent_sign_in_required")
    clock.run()
    assert (await app.client.delete("/auth/totp", headers=person.headers)).status_code == 204
    assert "access_token" in (await login(app, person.cpf, PASSWORD)).json()


async def test_refresh_rotates_and_reuse_ends_the_session(app: RunningApp, person: Person) -> None:
    first = person.tokens["refresh_token"]
    second = (await refresh(app, first)).json()
    assert second["refresh_token"] != first
    clock.advance(timedelta(seconds=11))
    reused = await refresh(app, first)
    assert (reused.status_code, reused.json()["code"]) == (401, "session_over")
    assert (await refresh(app, second["refresh_token"])).status_code == 401, "the whole family is gone"
    headers = {"Authorization": f"Bearer {second['access_token']}"}
    assert (await app.client.get("/users/me", headers=headers)).status_code == 401, "and the access token with it"


async def test_tabs_that_refresh_together_all_stay_signed_in(
    start_app: Callable[..., Awaitable[RunningApp]],
) -> None:
    apps = [await start_app(), await start_app()]
    person = await sign_in(await register(apps[0]))
    token = person.tokens["refresh_token"]
    answers = await asyncio.gather(*(refresh(apps[index % 2], token) for index in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    fresh = [answer.json()["refresh_token"] for answer in answers]
    assert len(set(fresh)) == 8
    clock.advance(timedelta(seconds=30))
    again = await asyncio.gather(*(refresh(apps[index % 2], one) for index, one in enumerate(fresh)))
    assert {answer.status_code for answer in again} == {200}, "each tab continues with its own token"


@pytest.mark.parametrize("token", ["x", "a" * 200, "\x00"])
async def test_rubbish_refresh_tokens_are_401(app: RunningApp, token: str) -> None:
    assert (await refresh(app, token)).status_code == 401
    assert (await app.client.post("/auth/logout", json={"refresh_token": token})).status_code == 204


async def test_sign_out_ends_the_session_everywhere_at_once(
    start_app: Callable[..., Awaitable[RunningApp]],
) -> None:
    here, there = await start_app(), await start_app()
    person = await sign_in(await register(here))
    assert (await there.client.get("/users/me", headers=person.headers)).status_code == 200
    answer = await here.client.post("/auth/logout", json={"refresh_token": person.tokens["refresh_token"]})
    assert answer.status_code == 204
    assert (await there.client.get("/users/me", headers=person.headers)).status_code == 401
    assert (await refresh(there, person.tokens["refresh_token"])).status_code == 401


async def test_sessions_are_listed_and_revoked_by_their_person_only(app: RunningApp, person: Person) -> None:
    stranger = await sign_in(await register(app))
    other = await sign_in(replace(person))
    listed = (await app.client.get("/auth/sessions", headers=person.headers)).json()["items"]
    assert [item["current"] for item in listed] == [False, True]
    assert listed[0]["methods"] == ["password"]
    path = f"/auth/sessions/{listed[0]['id']}"
    assert (await app.client.delete(path, headers=stranger.headers)).status_code == 404
    assert (await app.client.get("/users/me", headers=other.headers)).status_code == 200
    assert (await app.client.delete(path, headers=person.headers)).status_code == 204
    assert (await app.client.get("/users/me", headers=other.headers)).status_code == 401
    assert (await app.client.delete("/auth/sessions", headers=person.headers)).status_code == 204
    assert (await app.client.get("/users/me", headers=person.headers)).status_code == 401


async def test_a_stolen_session_ends_no_others(app: RunningApp, person: Person) -> None:
    other = await sign_in(replace(person))
    clock.advance(timedelta(minutes=16))
    listed = (await app.client.get("/auth/sessions", headers=person.headers)).json()["items"]
    paths = {item["current"]: f"/auth/sessions/{item['id']}" for item in listed}
    for path in ("/auth/sessions", paths[False]):
        answer = await app.client.delete(path, headers=person.headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "recent_sign_in_required"), path
    assert (await app.client.get("/users/me", headers=other.headers)).status_code == 200
    assert (await app.client.delete(paths[True], headers=person.headers)).status_code == 204, (
        "they may end their own session"
    )


async def test_a_stolen_session_takes_no_data_along(person: Person) -> None:
    clock.advance(timedelta(minutes=16))
    answer = await person.get("/users/me/data")
    assert (answer.status_code, answer.json()["code"]) == (403, "recent_sign_in_required")


async def test_a_stolen_session_of_an_operator_changes_and_erases_nobody(app: RunningApp, person: Person) -> None:
    operator = await sign_in(await register(app))
    roles = (await app.operator().get("/roles", limit=100)).json()["items"]
    role = next(item["id"] for item in roles if item["description"] == "administrador")
    await app.operator().call("PUT", f"/users/{operator.id}/role", json={"role_id": role})
    path = f"/users/{person.id}"
    assert (await operator.call("PATCH", path, json={"phone": "21999990000"})).status_code == 200
    clock.advance(timedelta(minutes=16))
    for method, body in (
        ("PATCH", {"phone": "21999990001"}),
        ("PATCH", {"email": new_person()["email"]}),
        ("PATCH", {"cpf": new_cpf()}),
        ("DELETE", None),
    ):
        answer = await operator.call(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "recent_sign_in_required"), body
    assert (await operator.call("PATCH", path, json={"full_name": "Maria da Silva"})).status_code == 200


async def test_the_current_password_is_guessed_no_more_often_than_at_a_step_up(person: Person) -> None:
    change = {"current_password": "Errada123x", "new_password": "Outra9senha"}
    for _ in range(3):
        for _ in range(10):
            await person.call("PUT", "/users/me/password", json=change)
        clock.advance(timedelta(minutes=16))
        await sign_in(person)
    right = change | {"current_password": person.password}
    assert (await person.call("PUT", "/users/me/password", json=right)).status_code == 429, "thirty a day"
    assert (await person.post("/auth/step-up", {"password": person.password})).status_code == 429, "and one limit"


async def test_an_expired_session_is_refused(app: RunningApp, person: Person) -> None:
    clock.advance(timedelta(days=31))
    assert (await app.client.get("/users/me", headers=person.headers)).status_code == 401
    assert (await refresh(app, person.tokens["refresh_token"])).status_code == 401


async def test_an_operator_ends_a_persons_sessions(app: RunningApp, person: Person) -> None:
    writer = app.bearer("users:write")
    assert (await app.client.delete(f"/users/{person.id}/sessions", headers=writer)).status_code == 204
    assert (await app.client.get("/users/me", headers=person.headers)).status_code == 401
    unknown = await app.client.delete(f"/users/{uuid4()}/sessions", headers=writer)
    assert unknown.status_code == 404


async def test_where_the_address_is_https_the_device_is_this_hosts_alone(
    start_app: Callable[..., Awaitable[RunningApp]],
) -> None:
    plain, https = await start_app(), await start_app(public_url="https://carteira.exemplo.com.br")
    person = await register(plain)
    given = (await login(plain, person.cpf, PASSWORD)).headers["set-cookie"]
    assert re.match(r"carteira_device=[^;]+; HttpOnly; Max-Age=34560000; Path=/; SameSite=lax$", given)
    stranger = https.at(random_address())
    given = (await login(https, person.cpf, PASSWORD, http=stranger)).headers["set-cookie"]
    found = re.match(
        r"__Host-carteira_device=([^;]+); HttpOnly; Max-Age=34560000; Path=/; SameSite=lax; Secure$", given
    )
    assert found
    for _ in range(10):
        assert (await login(https, person.cpf, "Errada123", http=https.at(random_address()))).status_code == 401
    for cookie in (f"__Host-carteira_device={found[1]}", f"carteira_device={found[1]}"):
        known = https.at(random_address())
        known.headers["Cookie"] = cookie
        answer = await login(https, person.cpf, PASSWORD, http=known)
        assert answer.status_code == 200, "also a device that was known before the address was https"
        assert "set-cookie" not in answer.headers
