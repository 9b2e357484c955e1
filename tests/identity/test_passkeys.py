"""Passkeys with an authenticator in software; `tests/browser` tests the same with a browser's."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pyotp
import pytest
from sqlalchemy import text

from carteira.identity.passkeys import service as passkeys
from carteira.kit.security.rate_limits import PER_ADDRESS, RateLimit
from carteira.kit.values.clock import clock
from tests.support.app import RunningApp
from tests.support.authenticator import UP, Authenticator
from tests.support.people import Person, random_address, register, sign_in


async def add(app: RunningApp, person: Person, device: Authenticator, name: str = "Celular") -> str:
    options = (await app.client.post("/auth/passkeys/register/options", headers=person.headers)).json()
    answer = await app.client.post(
        "/auth/passkeys/register/verify",
        headers=person.headers,
        json={"credential": device.create(options), "name": name},
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def options_of(app: RunningApp) -> dict[str, Any]:
    answer = await app.client.post("/auth/passkeys/login/options")
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


async def enter(app: RunningApp, credential: dict[str, Any]) -> httpx.Response:
    return await app.client.post("/auth/passkeys/login/verify", json={"credential": credential})


async def test_a_passkey_is_added_and_signs_in(app: RunningApp, person: Person) -> None:
    device = Authenticator()
    passkey = await add(app, person, device, " Celular  da Maria ")
    options = await options_of(app)
    assert options["userVerification"] == "required"
    assert not options.get("allowCredentials")
    answer = await enter(app, device.get(options))
    assert answer.status_code == 200, answer.text
    assert answer.json()["user_id"] == str(person.id)
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    session = (await app.client.get("/auth/sessions", headers=headers)).json()["items"][0]
    assert (session["current"], session["methods"]) == (True, ["passkey"])
    listed = (await app.client.get("/auth/passkeys", headers=headers)).json()["items"]
    assert [(item["id"], item["name"], item["backed_up"]) for item in listed] == [(passkey, "Celular da Maria", False)]
    assert listed[0]["used_at"] is not None


async def test_options_for_the_browser_are_complete(app: RunningApp, person: Person) -> None:
    device = Authenticator()
    await add(app, person, device)
    options = (await app.client.post("/auth/passkeys/register/options", headers=person.headers)).json()
    chosen = options["authenticatorSelection"]
    assert (chosen["residentKey"], chosen["userVerification"]) == ("required", "required")
    assert options["rp"]["id"] == "carteira"
    assert options["attestation"] == "none"
    assert [item["id"] for item in options["excludeCredentials"]] == [device.create(options)["id"]]


async def test_a_second_factor_is_not_asked_for(app: RunningApp, person: Person) -> None:
    device = Authenticator()
    await add(app, person, device)

    secret = (await app.client.post("/auth/totp", headers=person.headers)).json()["secret"]
    await app.client.post("/auth/totp/confirm", headers=person.headers, json={"code": pyotp.TOTP(secret).now()})
    assert "access_token" in (await enter(app, device.get(await options_of(app)))).json()


async def test_an_answer_is_used_once(app: RunningApp, person: Person) -> None:
    device = Authenticator()
    await add(app, person, device)
    credential = device.get(await options_of(app))
    answers = await asyncio.gather(*(enter(app, credential) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    wrong = device.get(options := await options_of(app), rp_id="outro")
    assert (await enter(app, wrong)).status_code == 401
    assert (await enter(app, device.get(options))).status_code == 401, "a wrong answer uses the challenge up too"


async def test_an_answer_comes_within_five_minutes(app: RunningApp, person: Person) -> None:
    device = Authenticator()
    await add(app, person, device)
    options = await options_of(app)
    clock.advance(timedelta(minutes=5, seconds=1))
    assert (await enter(app, device.get(options))).status_code == 401


def _unverified(device: Authenticator) -> None:
    device.flags = UP


def _elsewhere(device: Authenticator) -> None:
    device.origin = "https://carteira.exemplo"


def _another_person(device: Authenticator) -> None:
    device.user_handle = bytes(16)


def _nobody(device: Authenticator) -> None:
    device.user_handle = b""


def _another_key(device: Authenticator) -> None:
    device.key = Authenticator().key


def _unknown(device: Authenticator) -> None:
    device.credential_id = bytes(32)


@pytest.mark.parametrize("lie", [_unverified, _elsewhere, _another_person, _nobody, _another_key, _unknown])
async def test_a_wrong_answer_is_refused(app: RunningApp, person: Person, lie: Callable[[Authenticator], None]) -> None:
    device = Authenticator()
    await add(app, person, device)
    lie(device)
    answer = await enter(app, device.get(await options_of(app)))
    assert (answer.status_code, answer.json()["code"]) == (401, "passkey_refused")


async def test_a_challenge_for_adding_signs_nobody_in_and_the_other_way_round(app: RunningApp, person: Person) -> None:
    device = Authenticator()
    await add(app, person, device)
    adding = (await app.client.post("/auth/passkeys/register/options", headers=person.headers)).json()
    assert (await enter(app, device.get({**adding, "rpId": "carteira"}))).status_code == 401
    signing = await options_of(app)
    credential = Authenticator().create({**adding, "challenge": signing["challenge"]})
    answer = await app.client.post(
        "/auth/passkeys/register/verify", headers=person.headers, json={"credential": credential}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_passkey")


async def test_a_counter_that_does_not_go_on_is_a_copy(app: RunningApp, person: Person) -> None:
    device = Authenticator(count=5)
    await add(app, person, device)
    assert (await enter(app, device.get(await options_of(app)))).status_code == 200
    device.count = 5
    assert (await enter(app, device.get(await options_of(app)))).status_code == 401
    data = (await app.client.get("/users/me/data", headers=person.headers)).json()
    assert "passkey_count_went_back" in [record["action"] for record in data["identity"]["audit"]]
    assert [item["name"] for item in data["identity"]["passkeys"]] == ["Celular"]


async def test_a_counter_that_stays_at_nothing_is_fine(app: RunningApp, person: Person) -> None:
    device = Authenticator()
    await add(app, person, device)
    for _ in range(2):
        device.count = -1  # synchronised passkeys always count 0
        assert (await enter(app, device.get(await options_of(app)))).status_code == 200


async def test_adding_refuses_unsuitable_values(app: RunningApp, person: Person) -> None:
    other = await sign_in(await register(app))

    async def try_to_add(credential: Any, headers: dict[str, str]) -> tuple[int, str]:  # noqa: ANN401 - any JSON
        answer = await app.client.post(
            "/auth/passkeys/register/verify", headers=headers, json={"credential": credential}
        )
        return answer.status_code, answer.json().get("code", "")

    async def options() -> dict[str, Any]:
        content: dict[str, Any] = (
            await app.client.post("/auth/passkeys/register/options", headers=person.headers)
        ).json()
        return content

    refused = (422, "invalid_passkey")
    assert await try_to_add(Authenticator().create(await options()), other.headers) == refused
    assert await try_to_add(Authenticator(flags=UP).create(await options()), person.headers) == refused
    assert await try_to_add(Authenticator(origin="http://mal").create(await options()), person.headers) == refused
    assert await try_to_add(Authenticator().create(await options(), rp_id="mal"), person.headers) == refused
    device = Authenticator()
    credential = device.create(await options())
    assert (await try_to_add(credential, person.headers))[0] == 201
    assert await try_to_add(credential, person.headers) == refused, "a challenge is used once"
    assert await try_to_add(device.create(await options()), person.headers) == (409, "passkey_taken")


RUBBISH: list[Any] = [
    {},
    {"id": 1},
    {"response": None},
    {"response": {"clientDataJSON": 7}},
    {"response": {"clientDataJSON": "%%%"}},
    {"response": {"clientDataJSON": "bnVsbA"}},
    {"response": {"clientDataJSON": "e30"}},
    {"response": {"clientDataJSON": "é"}},
    {"response": {"clientDataJSON": "eyJ0eXBlIjoxLCJjaGFsbGVuZ2UiOlsxXSwib3JpZ2luIjoyfQ"}},
]


async def test_rubbish_is_refused(app: RunningApp, person: Person) -> None:
    device = Authenticator()
    await add(app, person, device)
    for rubbish in RUBBISH:
        assert (await enter(app, rubbish)).status_code == 401, rubbish
        answer = await app.client.post(
            "/auth/passkeys/register/verify", headers=person.headers, json={"credential": rubbish}
        )
        assert answer.status_code == 422, rubbish
    for part, value in [
        ("authenticatorData", "AAAA"),
        ("authenticatorData", 3),
        ("signature", ""),
        ("signature", "AAAA"),
        ("signature", None),
        ("userHandle", None),
        ("userHandle", 5),
    ]:
        credential = device.get(await options_of(app))
        credential["response"][part] = value
        assert (await enter(app, credential)).status_code == 401, part
    for part in ("id", "rawId", "type"):
        assert (await enter(app, {**device.get(await options_of(app)), part: "AAAA"})).status_code == 401
    for broken in ("AAAA", 3, "oWNmbXRkbm9uZQ"):
        options = (await app.client.post("/auth/passkeys/register/options", headers=person.headers)).json()
        credential = device.create(options)
        credential["response"]["attestationObject"] = broken
        answer = await app.client.post(
            "/auth/passkeys/register/verify", headers=person.headers, json={"credential": credential}
        )
        assert answer.status_code == 422, broken


async def test_a_person_renames_and_removes_their_own_only(app: RunningApp, person: Person) -> None:
    device = Authenticator()
    path = f"/auth/passkeys/{await add(app, person, device)}"
    other = await sign_in(await register(app))
    assert (await app.client.patch(path, headers=other.headers, json={"name": "Meu"})).status_code == 404
    assert (await app.client.delete(path, headers=other.headers)).status_code == 404
    assert (await app.client.get("/auth/passkeys", headers=other.headers)).json()["items"] == []
    renamed = await app.client.patch(path, headers=person.headers, json={"name": "Chave azul"})
    assert renamed.json()["name"] == "Chave azul"
    for name in ("", "  ", "a\u202eb", "a\0b", "a" * 61):
        assert (await app.client.patch(path, headers=person.headers, json={"name": name})).status_code == 422
    assert (await app.client.delete(path, headers=person.headers)).status_code == 204
    assert (await app.client.delete(path, headers=person.headers)).status_code == 404
    assert (await enter(app, device.get(await options_of(app)))).status_code == 401


async def test_adding_and_removing_want_a_recent_sign_in(app: RunningApp, person: Person) -> None:
    path = f"/auth/passkeys/{await add(app, person, Authenticator())}"
    options = (await app.client.post("/auth/passkeys/register/options", headers=person.headers)).json()
    clock.advance(timedelta(minutes=16))
    answers = [
        await app.client.post("/auth/passkeys/register/options", headers=person.headers),
        await app.client.post(
            "/auth/passkeys/register/verify",
            headers=person.headers,
            json={"credential": Authenticator().create(options)},
        ),
        await app.client.delete(path, headers=person.headers),
    ]
    assert [answer.json()["code"] for answer in answers] == ["recent_sign_in_required"] * 3


async def test_a_person_has_twenty_passkeys_at_most(app: RunningApp, person: Person) -> None:
    for _ in range(19):
        await add(app, person, Authenticator())
    options = [
        (await app.client.post("/auth/passkeys/register/options", headers=person.headers)).json() for _ in range(3)
    ]
    answers = await asyncio.gather(
        *(
            app.client.post(
                "/auth/passkeys/register/verify",
                headers=person.headers,
                json={"credential": Authenticator().create(item)},
            )
            for item in options
        )
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    answer = await app.client.post("/auth/passkeys/register/options", headers=person.headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_passkeys")


async def test_erasure_deletes_passkeys(app: RunningApp, person: Person) -> None:
    device = Authenticator()
    await add(app, person, device)
    assert (await app.client.delete(f"/users/{person.id}", headers=person.headers)).status_code == 204
    assert (await enter(app, device.get(await options_of(app)))).status_code == 401


@pytest.mark.parametrize("url", ["https://carteira.exemplo.com.br/", "https://Carteira.exemplo.com.br:443/app"])
async def test_passkeys_are_bound_to_the_public_address(
    start_app: Callable[..., Awaitable[RunningApp]], url: str
) -> None:
    app = await start_app(public_url=url, root_path=urlsplit(url).path.rstrip("/"))
    person = await sign_in(await register(app))
    device = Authenticator(origin="https://carteira.exemplo.com.br")
    await add(app, person, device)
    options = await options_of(app)
    assert options["rpId"] == "carteira.exemplo.com.br"
    assert (await enter(app, device.get(options))).status_code == 200
    device.origin = "http://carteira"
    assert (await enter(app, device.get(await options_of(app)))).status_code == 401


async def use_up(app: RunningApp, *parts: object) -> None:
    """Use up all tries but one."""
    limiter = app.api.state.identity.limiter
    for _ in range(299):
        assert await limiter.count(RateLimit.of(PER_ADDRESS, *parts))


async def test_challenges_are_limited_and_forgotten(app: RunningApp, person: Person) -> None:
    here = random_address()
    await use_up(app, "passkey-options", here)
    async with app.at(here) as http:
        answers = [await http.post("/auth/passkeys/login/options") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    await use_up(app, "passkey-options", str(person.id))
    asked = [await app.client.post("/auth/passkeys/register/options", headers=person.headers) for _ in range(2)]
    assert [answer.status_code for answer in asked] == [200, 429]
    clock.advance(timedelta(minutes=6))
    async with app.database.transaction() as tx:
        await passkeys.forget_old(tx)
        assert await tx.scalar(text("SELECT count(*) FROM passkey_challenges")) == 0


async def test_failures_count_by_address(app: RunningApp) -> None:
    here = random_address()
    await use_up(app, here)
    async with app.at(here) as http:
        answers = [await http.post("/auth/passkeys/login/verify", json={"credential": {}}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [401, 429]
