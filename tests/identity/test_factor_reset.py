"""Two operators reset a lost second factor; neither is the person, and nobody resets somebody with more claims."""

import pytest
from sqlalchemy import text

from carteira.embedded import Endpoints
from tests.identity.test_second_factor import add_passkey, enrol
from tests.support.app import RunningApp
from tests.support.authenticator import Authenticator
from tests.support.mail import mail_to
from tests.support.people import PASSWORD, Person, register, sign_in


async def proposed(person: Person, maker: Person) -> str:
    answer = await maker.post(f"/users/{person.id}/second-factor/reset", {"paper": "rg"})
    assert answer.status_code == 202, answer.text
    assert answer.json()["pending"]["kind"] == "identity.factor_reset"
    return f"/pending/{answer.json()['pending']['id']}/approve"


async def test_two_operators_reset_a_lost_factor(app: RunningApp, endpoints: Endpoints) -> None:
    person = await sign_in(await register(app))
    await enrol(person)
    assert (await add_passkey(person, Authenticator())).status_code == 201
    maker, checker = app.person("users:write"), app.person("users:write")
    path = await proposed(person, maker)
    assert (await person.get("/auth/passkeys")).status_code == 200, "nothing changes before it is approved"
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
    async with app.database.transaction() as tx:
        query = text("SELECT details FROM audit_log WHERE action = 'second_factor_reset' AND subject_id = :id")
        details = (await tx.execute(query, {"id": person.id})).scalar_one()
    assert (details["paper"], details["approved_by"]) == ("rg", str(checker.id)), "how they knew who it was is kept"
    assert any("segundo fator" in str(mail["Subject"]) for mail in mail_to(endpoints.maildir, person.email))


async def test_the_checker_sees_the_person_and_a_repeated_request_counts_once(app: RunningApp) -> None:
    person = await sign_in(await register(app))
    await enrol(person)
    maker, other = app.person("users:write"), app.person("users:write")
    path = await proposed(person, maker)
    assert await proposed(person, maker) == path
    assert await proposed(person, other) == path, "it already waits: who asks for it again may approve it"
    seen = (await other.get(path.removesuffix("/approve"))).json()
    assert seen["about"] == [{"id": str(person.id), "name": "Maria Açucena da Silva"}]
    assert (await maker.get(path.removesuffix("/approve"))).json()["about"] is None
    decided = await other.post(path)
    assert (decided.status_code, decided.json()["about"]) == (200, None)
    await sign_in(person)
    await enrol(person)
    assert await proposed(person, maker) != path, "another loss is another operation"


async def role_id(app: RunningApp, description: str) -> int:
    roles = (await app.operator().get("/roles", limit=100)).json()["items"]
    return next(int(item["id"]) for item in roles if item["description"] == description)


async def assign_role(app: RunningApp, person: Person, description: str) -> None:
    body = {"role_id": await role_id(app, description)}
    assert (await app.operator().call("PUT", f"/users/{person.id}/role", json=body)).status_code == 200


async def grant_users_write(app: RunningApp, maker: Person) -> None:
    """Give a person a role that grants `users:write` and nothing else."""
    claims = (await app.operator().get("/claims", limit=100)).json()["items"]
    writes = next(item["id"] for item in claims if item["description"] == "users:write")
    added = await app.operator().post("/roles", {"description": f"cadastro {maker.id}", "claim_ids": [writes]})
    await assign_role(app, maker, added.json()["description"])


async def test_a_checker_with_fewer_claims_approves_no_reset(app: RunningApp) -> None:
    person = await sign_in(await register(app))
    await enrol(person)
    await assign_role(app, person, "auditor")
    path = await proposed(person, app.operator())
    answer = await app.person("users:write").post(path)
    assert (answer.status_code, answer.json()["code"]) == (403, "claims_beyond_yours")
    assert "audit:read" in answer.json()["claims"]
    assert (await app.operator().post(path)).status_code == 200


async def test_a_person_with_more_claims_by_then_is_not_reset(app: RunningApp) -> None:
    person, maker = await sign_in(await register(app)), await sign_in(await register(app))
    await enrol(person)
    await grant_users_write(app, maker)
    path = await proposed(person, maker)
    await assign_role(app, person, "auditor")
    answer = await app.operator().post(path)
    assert (answer.status_code, answer.json()["reason"]["code"]) == (409, "claims_beyond_yours")
    assert (await person.get("/users/me")).status_code == 200, "their sessions continue"


async def test_a_reset_by_an_operator_without_the_claim_is_not_done(app: RunningApp) -> None:
    person, maker = await sign_in(await register(app)), await sign_in(await register(app))
    await enrol(person)
    await grant_users_write(app, maker)
    path = await proposed(person, maker)
    await assign_role(app, maker, "cidadão")
    answer = await app.operator().post(path)
    assert (answer.status_code, answer.json()["reason"]["code"]) == (409, "maker_gone")
    assert (await person.get("/users/me")).status_code == 200


async def test_people_without_a_factor_or_with_more_claims_are_not_reset(app: RunningApp) -> None:
    person = await sign_in(await register(app))
    maker = app.person("users:write")
    answer = await maker.post(f"/users/{person.id}/second-factor/reset", {"paper": "rg"})
    assert (answer.status_code, answer.json()["code"]) == (409, "no_second_factor")
    await enrol(person)
    role = (await app.operator().get("/roles", limit=100)).json()["items"]
    auditor = next(item["id"] for item in role if item["description"] == "auditor")
    await app.operator().call("PUT", f"/users/{person.id}/role", json={"role_id": auditor})
    answer = await maker.post(f"/users/{person.id}/second-factor/reset", {"paper": "rg"})
    assert (answer.status_code, answer.json()["code"]) == (403, "claims_beyond_yours")


@pytest.mark.parametrize("body", [None, {}, {"paper": "she told me"}])
async def test_nobody_is_reset_unseen(app: RunningApp, body: dict[str, str] | None) -> None:
    person = await sign_in(await register(app))
    await enrol(person)
    answer = await app.person("users:write").post(f"/users/{person.id}/second-factor/reset", body)
    assert answer.status_code == 422
