"""Two operators reset a lost second factor; neither is the person, and nobody resets who holds more."""

from carteira.embedded import Endpoints
from tests.identity.test_second_factor import add_passkey, enrol
from tests.support.app import RunningApp
from tests.support.authenticator import Authenticator
from tests.support.mail import mail_to
from tests.support.people import PASSWORD, Person, register, sign_in


async def proposed(person: Person, maker: Person) -> str:
    answer = await maker.post(f"/users/{person.id}/second-factor/reset")
    assert answer.status_code == 202, answer.text
    assert answer.json()["pending"]["kind"] == "identity.factor_reset"
    return f"/pending/{answer.json()['pending']['id']}/approve"


async def test_two_operators_reset_a_lost_factor(app: RunningApp, endpoints: Endpoints) -> None:
    person = await sign_in(await register(app))
    await enrol(person)
    assert (await add_passkey(person, Authenticator())).status_code == 201
    maker, checker = app.person("users:write"), app.person("users:write")
    path = await proposed(person, maker)
    assert (await person.get("/auth/passkeys")).status_code == 200, "nothing before it is approved"
    assert (await maker.post(path)).json()["code"] == "own_operation"
    themself = app.person("users:write", user_id=person.id)
    assert (await themself.post(path)).json()["code"] == "own_operation"
    assert (await checker.post(path)).status_code == 200
    assert (await person.get("/users/me")).status_code == 401, "all sessions end"
    login = {"username": person.cpf, "password": PASSWORD}
    assert "access_token" in (await app.client.post("/auth/login", data=login)).json(), "the password alone signs in"
    await sign_in(person)
    assert (await person.get("/auth/passkeys")).json()["items"] == []
    await enrol(person)
    await app.work_off()
    assert any("segundo fator" in str(mail["Subject"]) for mail in mail_to(endpoints.maildir, person.email))


async def test_who_has_no_factor_or_holds_more_is_not_reset(app: RunningApp) -> None:
    person = await sign_in(await register(app))
    maker = app.person("users:write")
    answer = await maker.post(f"/users/{person.id}/second-factor/reset")
    assert (answer.status_code, answer.json()["code"]) == (409, "no_second_factor")
    await enrol(person)
    role = (await app.operator().get("/roles", limit=100)).json()["items"]
    auditor = next(item["id"] for item in role if item["description"] == "auditor")
    await app.operator().call("PUT", f"/users/{person.id}/role", json={"role_id": auditor})
    answer = await maker.post(f"/users/{person.id}/second-factor/reset")
    assert (answer.status_code, answer.json()["code"]) == (403, "claims_beyond_yours")
