from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Select, Text, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from carteira.identity.models import Claim, Role, User, UserClaim
from carteira.identity.users import queries
from carteira.kit.values.clock import clock
from tests.support.app import RunningApp
from tests.support.people import PASSWORD, Person, new_person, register, sign_in


async def test_register_answers_the_person_and_never_the_password(app: RunningApp) -> None:
    body = new_person()
    answer = await app.client.post("/users/register", json=body)
    assert answer.status_code == 201
    user = answer.json()
    assert user["cpf"] == body["cpf"]
    assert user["role"]["description"] == "cidadão"
    assert user["claims"] == []
    assert PASSWORD not in answer.text
    assert "argon2" not in answer.text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("full_name", "Maria"),
        ("full_name", "Maria\x00 Silva"),
        ("full_name", "M" * 100 + " " + "S" * 30),
        ("email", "maria"),
        ("email", "maria@exemplo"),
        ("email", "ma\x00ria@exemplo.com"),
        ("cpf", "111.111.111-11"),
        ("cpf", "52998224726"),
        ("birth_date", "2999-01-01"),
        ("birth_date", "1800-01-01"),
        ("phone", "123"),
        ("phone", "119876543210"),
        ("extra", "x"),
    ],
)
async def test_register_names_the_field_that_is_wrong(app: RunningApp, field: str, value: str) -> None:
    answer = await app.client.post("/users/register", json=new_person() | {field: value})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_each_broken_password_rule_is_named(app: RunningApp) -> None:
    answer = await app.client.post("/users/register", json=new_person() | {"password": "abc"})
    assert answer.status_code == 422
    assert [error["message"] for error in answer.json()["errors"]] == [
        "A senha deve ter pelo menos 8 caracteres.",
        "A senha deve ter pelo menos uma letra maiúscula.",
        "A senha deve ter pelo menos um número.",
    ]


@pytest.mark.parametrize(
    "password",
    [
        *("Password1", "Mudar123", "Flamengo10", "Mudar@123", "Flamengo2026", "Brasil2026!", "2026Brasil", "S3nha2026"),
        *("P@ssw0rd1", "Verão2026", "Junho/2026", "__Maria1990__"),
    ],
)
async def test_the_commonest_passwords_are_refused(app: RunningApp, password: str) -> None:
    answer = await app.client.post("/users/register", json=new_person() | {"password": password})
    assert answer.status_code == 422
    assert answer.json()["code"] == "weak_password"


@pytest.mark.parametrize(
    "password", ["Girassol7amarelo", "Quarta4senha", "Bom dia vizinho 1", "Xk29vmQ1", "Sol9Lua4Mar"]
)
async def test_passwords_of_more_than_a_word_are_accepted(app: RunningApp, password: str) -> None:
    answer = await app.client.post("/users/register", json=new_person() | {"password": password})
    assert answer.status_code == 201, answer.text


async def test_the_same_email_or_cpf_is_a_conflict_in_any_form(app: RunningApp) -> None:
    body = new_person()
    assert (await app.client.post("/users/register", json=body)).status_code == 201
    again = await app.client.post("/users/register", json=new_person() | {"email": body["email"].upper()})
    assert (again.status_code, again.json()["code"]) == (409, "email_taken")
    digits = body["cpf"]
    dotted = f"{digits[:3]}.{digits[3:6]}.{digits[6:9]}-{digits[9:]}"
    again = await app.client.post("/users/register", json=new_person() | {"cpf": dotted})
    assert (again.status_code, again.json()["code"]) == (409, "cpf_taken")


async def test_an_operator_creates_a_person_who_must_change_the_generated_password(app: RunningApp) -> None:
    email = new_person()["email"]
    answer = await app.client.post(
        "/users",
        json={"full_name": "José de Souza", "email": email, "role_id": 2},
        headers=app.bearer("*"),
    )
    assert answer.status_code == 201
    generated = answer.json()["generated_password"]
    assert len(generated) >= 16
    person = Person(app.client, UUID(answer.json()["id"]), {}, email, email, generated)
    await sign_in(person)
    assert person.tokens["password_change_required"] is True
    blocked = await app.client.get("/users/me", headers=person.headers)
    assert (blocked.status_code, blocked.json()["code"]) == (403, "password_change_required")
    changed = await app.client.put(
        "/users/me/password",
        json={"current_password": generated, "new_password": PASSWORD},
        headers=person.headers,
    )
    assert changed.status_code == 204
    me = await app.client.get("/users/me", headers=person.headers)
    assert me.status_code == 200
    assert "generated_password" not in me.json()
    assert "users:write" in me.json()["claims"]


async def test_a_generated_password_expires_unused(app: RunningApp) -> None:
    body = {"full_name": "José de Souza", "email": new_person()["email"], "role_id": 1}
    made = (await app.client.post("/users", json=body, headers=app.bearer("*"))).json()
    clock.advance(timedelta(days=7, seconds=1))
    login = {"username": body["email"], "password": made["generated_password"]}
    assert (await app.client.post("/auth/login", data=login)).status_code == 401
    clock.run()
    assert (await app.client.post("/auth/login", data=login)).status_code == 200


async def test_a_change_of_password_wants_the_current_one_and_ends_other_sessions(
    app: RunningApp, person: Person
) -> None:
    other = replace(person)
    await sign_in(other)
    wrong = await app.client.put(
        "/users/me/password",
        json={"current_password": "Errada123x", "new_password": "Outra9senha"},
        headers=person.headers,
    )
    assert (wrong.status_code, wrong.json()["code"]) == (422, "wrong_current_password")
    right = await app.client.put(
        "/users/me/password",
        json={"current_password": PASSWORD, "new_password": "Outra9senha"},
        headers=person.headers,
    )
    assert right.status_code == 204
    assert (await app.client.get("/users/me", headers=person.headers)).status_code == 200
    assert (await app.client.get("/users/me", headers=other.headers)).status_code == 401


async def test_cpf_is_masked_without_the_claim(app: RunningApp, person: Person) -> None:
    masked = f"***.{person.cpf[3:6]}.{person.cpf[6:9]}-**"
    reader = await app.client.get(f"/users/{person.id}", headers=app.bearer("users:read"))
    assert reader.json()["cpf"] == masked
    holder = await app.client.get(f"/users/{person.id}", headers=app.bearer("users:read", "users:cpf"))
    assert holder.json()["cpf"] == person.cpf
    listed = await app.client.get("/users", params={"q": person.email}, headers=app.bearer("users:read"))
    assert [item["cpf"] for item in listed.json()["items"]] == [masked]


@pytest.mark.parametrize("wanted", ["acucena DA", "AÇUCENA", None])
async def test_search_finds_a_person_however_it_is_typed(app: RunningApp, person: Person, wanted: str | None) -> None:
    headers = app.bearer("users:read")
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        params = {"q": wanted or person.cpf, "limit": "100"} | ({"cursor": cursor} if cursor else {})
        answer = (await app.client.get("/users", params=params, headers=headers)).json()
        found += answer["items"]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert str(person.id) in [item["id"] for item in found]
    if wanted is None:
        assert len(found) == 1


@pytest.mark.parametrize("wanted", ["%", "_", "100%", "\\", "' OR 1=1 --"])
async def test_search_takes_wildcards_literally(app: RunningApp, person: Person, wanted: str) -> None:
    answer = await app.client.get("/users", params={"q": wanted}, headers=app.bearer("users:read"))
    assert answer.status_code == 200
    assert str(person.id) not in [item["id"] for item in answer.json()["items"]]


async def test_a_part_of_a_cpf_finds_nobody(app: RunningApp, person: Person) -> None:
    answer = await app.client.get("/users", params={"q": person.cpf[:9]}, headers=app.bearer("users:read"))
    assert answer.json()["items"] == []


async def test_rubbish_in_the_search_is_no_server_error(app: RunningApp) -> None:
    headers = app.bearer("users:read")
    assert (await app.client.get("/users?q=%00", headers=headers)).status_code == 422
    assert (await app.client.get("/users?cursor=xx", headers=headers)).status_code == 422
    assert (await app.client.get("/users/99999999999999999999", headers=headers)).status_code == 422


async def test_a_person_changes_their_own_data_but_not_their_cpf(app: RunningApp, person: Person) -> None:
    answer = await app.client.patch(f"/users/{person.id}", json={"phone": "1133334444"}, headers=person.headers)
    assert (answer.status_code, answer.json()["phone"]) == (200, "1133334444")
    answer = await app.client.put(
        f"/users/{person.id}",
        json={"full_name": "Maria Nova", "email": person.email, "cpf": person.cpf},
        headers=person.headers,
    )
    assert (answer.status_code, answer.json()["full_name"]) == (200, "Maria Nova")
    answer = await app.client.patch(f"/users/{person.id}", json={"cpf": new_person()["cpf"]}, headers=person.headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "cpf_is_fixed")
    for field, value in (("full_name", None), ("email", None), ("cpf", None), ("role_id", 2), ("claims", "x")):
        answer = await app.client.patch(f"/users/{person.id}", json={field: value}, headers=person.headers)
        assert answer.status_code == 422


async def test_change_to_a_taken_email_is_a_conflict_that_counts(app: RunningApp, person: Person) -> None:
    other = await register(app)
    statuses = []
    for _ in range(11):
        answer = await app.client.patch(f"/users/{person.id}", json={"email": other.email}, headers=person.headers)
        statuses.append((answer.status_code, answer.json()["code"]))
    assert statuses == [(409, "email_taken")] * 10 + [(429, "too_many_requests")], "no way to search for people"


def report_expression() -> Select[tuple[UUID, str, str, str, list[str]]]:
    """Return the report as a SQLAlchemy expression; the product writes it in SQL."""
    nothing = literal([], ARRAY(Text))
    claims = (
        select(func.coalesce(func.array_agg(aggregate_order_by(Claim.description, Claim.description)), nothing))
        .join(UserClaim, UserClaim.claim_id == Claim.id)
        .where(UserClaim.user_id == User.id, Claim.active)
        .correlate(User)
        .scalar_subquery()
    )
    return (
        select(User.id, User.full_name, User.email, Role.description, claims)
        .join(Role, Role.id == User.role_id)
        .where(User.erased_at.is_(None))
        .order_by(User.id)
    )


async def test_the_report_as_sql_and_as_an_expression_gives_the_same_rows(app: RunningApp, person: Person) -> None:
    headers = app.bearer("*")
    claims = (await app.client.get("/claims", params={"limit": 100}, headers=headers)).json()["items"]
    for claim in claims[:3]:
        assert (await app.client.put(f"/users/{person.id}/claims/{claim['id']}", headers=headers)).status_code == 200
    await app.client.put(f"/users/{(await register(app)).id}/role", json={"role_id": 2}, headers=headers)
    async with app.database.transaction() as tx:
        by_sql = [tuple(row) for row in await queries.report(tx, limit=10_000)]
        by_expression = [tuple(row) for row in await tx.execute(report_expression())]
    assert by_sql == by_expression
    mine = next(row for row in by_sql if str(row[0]) == str(person.id))
    assert mine[3:] == ("cidadão", sorted(claim["description"] for claim in claims[:3]))
    answer = await app.client.get("/users/report", headers=app.bearer("users:read"))
    assert answer.status_code == 200
    assert {"full_name", "email", "role", "claims"} <= set(answer.json()["items"][0])


async def test_role_is_read_by_user_id_and_given_by_claim(app: RunningApp, person: Person) -> None:
    assert (await app.client.get(f"/users/{person.id}/role", headers=person.headers)).json() == {
        "id": 1,
        "description": "cidadão",
    }
    refused = await app.client.put(f"/users/{person.id}/role", json={"role_id": 2}, headers=person.headers)
    assert refused.status_code == 403
    writer = app.bearer("*")
    assert (await app.client.put(f"/users/{person.id}/role", json={"role_id": 99}, headers=writer)).status_code == 404
    assert (await app.client.put(f"/users/{person.id}/role", json={"role_id": 2}, headers=writer)).status_code == 200
    assert "users:read" in (await app.client.get("/users/me", headers=person.headers)).json()["claims"]


async def test_a_new_role_grants_its_claims_and_an_inactive_claim_nothing(app: RunningApp, person: Person) -> None:
    writer = app.bearer("*")
    name = f"teste:{person.id}"
    claim = (await app.client.post("/claims", json={"description": name}, headers=writer)).json()
    assert (await app.client.post("/claims", json={"description": name}, headers=writer)).status_code == 409
    role = (
        await app.client.post("/roles", json={"description": name, "claim_ids": [claim["id"]]}, headers=writer)
    ).json()
    await app.client.put(f"/users/{person.id}/role", json={"role_id": role["id"]}, headers=writer)
    me = await app.client.get("/users/me", headers=person.headers)
    assert me.json()["claims"] == [name]
    await app.client.patch(f"/claims/{claim['id']}", json={"active": False}, headers=writer)
    me = await app.client.get("/users/me", headers=person.headers)
    assert me.json()["claims"] == []


async def test_a_person_sees_looks_at_their_data(app: RunningApp, person: Person) -> None:
    admin = await register(app)
    await app.client.put(f"/users/{admin.id}/role", json={"role_id": 2}, headers=app.bearer("*"))
    await sign_in(admin)
    await app.client.get(f"/users/{person.id}", headers=admin.headers)
    await app.client.get(f"/users/{person.id}", headers=person.headers)
    answer = await app.client.get("/users/me/accesses", headers=person.headers)
    looks = [item for item in answer.json()["items"] if item["action"] != "users_exported"]  # of other tests
    assert [(item["action"], item["actor_id"]) for item in looks] == [("user_read", str(admin.id))]


async def test_consents_are_given_and_withdrawn(app: RunningApp, person: Person) -> None:
    for granted in (True, False):
        answer = await app.client.put("/users/me/consents/marketing", json={"granted": granted}, headers=person.headers)
        assert [(item["purpose"], item["granted"]) for item in answer.json()["items"]] == [("marketing", granted)]
    unknown = await app.client.put("/users/me/consents/x", json={"granted": True}, headers=person.headers)
    assert unknown.status_code == 422
