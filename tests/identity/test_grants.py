"""`users:write` implies no other claim: nobody grants what they do not hold, on any route."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from carteira.identity.roles.shipped import ADMINISTRATOR
from carteira.kit.values.clock import clock
from tests.support.app import RunningApp
from tests.support.people import Person, new_person, register, sign_in

BEYOND = (403, "claims_beyond_yours")
RESERVED = (403, "claim_reserved")


async def ids_of(app: RunningApp, table: str) -> dict[str, int]:
    async with app.database.transaction() as tx:
        rows = await tx.execute(text(f"SELECT description, id FROM {table}"))
        return {str(row[0]): int(row[1]) for row in rows}


@pytest.fixture
async def claim(app: RunningApp) -> dict[str, int]:
    return await ids_of(app, "claims")


@pytest.fixture
async def role(app: RunningApp) -> dict[str, int]:
    return await ids_of(app, "roles")


async def with_claims(app: RunningApp, *claims: str) -> Person:
    """Register a person and give them claims, as an administrator would."""
    numbers = await ids_of(app, "claims")
    person = await register(app)
    answer = await app.operator().call(
        "PUT", f"/users/{person.id}/claims", json={"claim_ids": [numbers[claim] for claim in claims]}
    )
    assert answer.status_code == 200, answer.text
    return await sign_in(person)


async def with_role(app: RunningApp, role_id: int) -> Person:
    person = await register(app)
    answer = await app.operator().call("PUT", f"/users/{person.id}/role", json={"role_id": role_id})
    assert answer.status_code == 200, answer.text
    return await sign_in(person)


@pytest.fixture
async def writer(app: RunningApp) -> Person:
    """A person who holds `users:write` and nothing else."""
    return await with_claims(app, "users:write")


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


async def claims_of(app: RunningApp, person: Person) -> set[str]:
    me = (await app.client.get("/users/me", headers=person.headers)).json()
    return set(me["claims"])


async def test_a_holder_of_users_write_grants_themself_nothing(
    app: RunningApp, writer: Person, claim: dict[str, int]
) -> None:
    for path, body in (
        (f"/users/{writer.id}/claims", {"claim_ids": [claim["users:write"], claim["ledger:read"]]}),
        (f"/users/{writer.id}/claims/{claim['ledger:read']}", None),
    ):
        answer = await writer.call("PUT", path, json=body)
        assert refused(answer) == BEYOND
        assert answer.json()["claims"] == ["ledger:read"]
    assert await claims_of(app, writer) == {"users:write"}
    other = await register(app)
    given = await writer.call("PUT", f"/users/{other.id}/claims/{claim['users:write']}")
    assert given.status_code == 200, "a claim that one holds may be granted"
    given = await writer.call("PUT", f"/users/{other.id}/claims/{claim['reseller']}")
    assert given.status_code == 200, "anybody may take this role"


async def test_no_role_that_holds_more_is_given(app: RunningApp, writer: Person, role: dict[str, int]) -> None:
    assert (
        refused(await writer.call("PUT", f"/users/{writer.id}/role", json={"role_id": role[ADMINISTRATOR]})) == BEYOND
    )
    made = new_person() | {"role_id": role["auditor"]}
    assert refused(await writer.post("/users", made)) == BEYOND
    assert (await writer.post("/users", made | {"role_id": role["cidadão"]})).status_code == 201
    assert await claims_of(app, writer) == {"users:write"}


async def test_no_role_is_made_or_changed_to_hold_more(app: RunningApp, writer: Person, claim: dict[str, int]) -> None:
    more = {"description": f"papel {uuid4()}", "claim_ids": [claim["ledger:write"]]}
    assert refused(await writer.post("/roles", more)) == BEYOND
    own = await writer.post("/roles", more | {"claim_ids": [claim["users:write"]]})
    assert own.status_code == 201, own.text
    role_id = own.json()["id"]
    assert (await writer.call("PUT", f"/users/{writer.id}/role", json={"role_id": role_id})).status_code == 200
    changed = await writer.call(
        "PUT", f"/roles/{role_id}/claims", json={"claim_ids": [claim["users:write"], claim["ledger:write"]]}
    )
    assert refused(changed) == BEYOND, "a role that one has oneself"
    assert await claims_of(app, writer) == {"users:write"}


async def test_the_wildcard_is_no_claim(app: RunningApp, writer: Person, claim: dict[str, int]) -> None:
    for who in (writer, app.operator()):
        assert refused(await who.post("/claims", {"description": "*"})) == RESERVED
        assert refused(await who.post("/claims", {"description": " * "})) == RESERVED
        own = (await who.post("/claims", {"description": f"own:{uuid4()}"})).json()
        renamed = await who.call("PATCH", f"/claims/{own['id']}", json={"description": "*"})
        assert refused(renamed) == (RESERVED if renamed.json()["code"] == "claim_reserved" else BEYOND)
    renamed = await app.operator().call("PATCH", f"/claims/{claim['reseller']}", json={"description": "*"})
    assert refused(renamed) == (409, "claim_is_fixed")
    assert "*" not in await ids_of(app, "claims")


async def test_a_name_that_the_code_uses_cannot_be_changed(app: RunningApp, claim: dict[str, int]) -> None:
    for name in ("users:read", "reseller", "transit:validate"):
        answer = await app.operator().call("PATCH", f"/claims/{claim[name]}", json={"description": f"x:{uuid4()}"})
        assert refused(answer) == (409, "claim_is_fixed")
    off = await app.operator().call("PATCH", f"/claims/{claim['users:write']}", json={"active": False})
    assert refused(off) == (409, "claim_is_fixed"), "otherwise nobody could grant anything any more"


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO claims (description) VALUES ('*')",
        "UPDATE claims SET description = '*' WHERE description = 'reseller'",
        "UPDATE claims SET description = 'x' WHERE description = 'users:read'",
        "UPDATE claims SET built_in = false WHERE description = 'users:read'",
        "DELETE FROM claims WHERE description = 'users:export'",
    ],
)
async def test_the_database_keeps_the_names_too(app: RunningApp, statement: str) -> None:
    with pytest.raises(Exception, match=r"product's|no claim is called"):
        async with app.database.transaction() as tx:
            await tx.execute(text(statement))


async def test_the_creator_of_a_claim_holds_it(app: RunningApp, writer: Person) -> None:
    name = f"portal:{uuid4()}"
    made = await writer.post("/claims", {"description": name})
    assert (made.status_code, made.json()["built_in"]) == (201, False)
    other = await register(app)
    given = await writer.call("PUT", f"/users/{other.id}/claims/{made.json()['id']}")
    assert given.status_code == 200
    stranger = await with_claims(app, "users:write")
    taken = await stranger.call("PUT", f"/users/{stranger.id}/claims/{made.json()['id']}")
    assert refused(taken) == BEYOND
    path = f"/claims/{made.json()['id']}"
    assert (await writer.call("PATCH", path, json={"active": False})).status_code == 200
    assert (await writer.call("PATCH", path, json={"active": True})).status_code == 200, (
        "held, although the role was off"
    )
    assert refused(await stranger.call("PATCH", path, json={"active": False})) == BEYOND


async def test_nobody_acts_on_people_with_more_claims(app: RunningApp, writer: Person, role: dict[str, int]) -> None:
    boss = await with_role(app, role["auditor"])
    guard = await with_claims(app, "users:suspend")
    for who, method, path, body in (
        (writer, "PATCH", "", {"email": f"x{uuid4().hex}@exemplo.com.br"}),
        (writer, "PUT", "", {"full_name": "Outra Pessoa", "email": f"x{uuid4().hex}@exemplo.com.br"}),
        (writer, "DELETE", "", None),
        (writer, "PUT", "/role", {"role_id": role["cidadão"]}),
        (writer, "DELETE", "/claims", None),
        (guard, "PUT", "/suspension", {"reason": "other"}),
        (guard, "DELETE", "/suspension", None),
    ):
        answer = await who.call(method, f"/users/{boss.id}{path}", json=body)
        assert refused(answer) == BEYOND, (method, path)
    assert (await boss.get("/users")).status_code == 200, "still there, still signed in"
    assert (await writer.call("DELETE", f"/users/{boss.id}/sessions")).status_code == 204, (
        "signing out removes no claim"
    )


async def test_roles_are_seen_whole_changed_and_deleted(app: RunningApp, claim: dict[str, int]) -> None:
    operator = app.operator()
    body = {"description": f"papel {uuid4()}", "claim_ids": [claim["users:read"]]}
    made = (await operator.post("/roles", body)).json()
    path = f"/roles/{made['id']}"
    seen = (await operator.get(path)).json()
    assert [item["description"] for item in seen["claims"]] == ["users:read"]
    listed = (await operator.get("/roles", limit=100)).json()["items"]
    assert seen in listed
    person = await with_role(app, made["id"])
    assert (await person.get("/users")).status_code == 200
    changed = await operator.call("PUT", f"{path}/claims", json={"claim_ids": [claim["ledger:read"]]})
    assert [item["description"] for item in changed.json()["claims"]] == ["ledger:read"]
    assert (await person.get("/users")).status_code == 403, "at once"
    assert (await person.get("/ledger/reconciliation")).status_code == 200
    renamed = await operator.call("PATCH", path, json={"description": f"outro {uuid4()}"})
    assert renamed.status_code == 200
    in_use = await operator.call("DELETE", path)
    assert refused(in_use) == (409, "role_in_use")
    assert (await operator.call("PUT", f"/users/{person.id}/role", json={"role_id": 1})).status_code == 200
    assert (await operator.call("DELETE", path)).status_code == 204
    assert (await operator.get(path)).status_code == 404
    for method, route in (("PATCH", path), ("PUT", f"{path}/claims"), ("DELETE", path)):
        gone = await operator.call(method, route, json={"description": "x"} if method == "PATCH" else {"claim_ids": []})
        assert refused(gone) == (404, "role_not_found")


async def test_directly_granted_claims_stay_when_the_role_changes(app: RunningApp, claim: dict[str, int]) -> None:
    operator = app.operator()
    numbers = [claim["users:read"], claim["ledger:read"]]
    made = (await operator.post("/roles", {"description": f"papel {uuid4()}", "claim_ids": numbers})).json()
    person = await with_role(app, made["id"])
    await operator.call("PUT", f"/users/{person.id}/claims/{claim['users:read']}")
    await operator.call("PUT", f"/roles/{made['id']}/claims", json={"claim_ids": []})
    assert await claims_of(app, person) == {"users:read"}


async def test_the_roles_that_the_product_asks_for_stay(app: RunningApp, role: dict[str, int]) -> None:
    operator = app.operator()
    for name in ("cidadão", ADMINISTRATOR):
        path = f"/roles/{role[name]}"
        assert refused(await operator.call("PATCH", path, json={"description": "x"})) == (409, "role_is_fixed")
        assert refused(await operator.call("DELETE", path)) == (409, "role_is_fixed")
    emptied = await operator.call("PUT", f"/roles/{role[ADMINISTRATOR]}/claims", json={"claim_ids": []})
    assert refused(emptied) == (409, "role_is_fixed")
    whole = (await operator.get(f"/roles/{role[ADMINISTRATOR]}")).json()
    numbers = [item["id"] for item in whole["claims"]]
    same = await operator.call("PUT", f"/roles/{role[ADMINISTRATOR]}/claims", json={"claim_ids": numbers})
    assert same.json()["claims"] == whole["claims"]


async def alone(app: RunningApp, role_id: int, people: int) -> list[Person]:
    """Leave only these administrators."""
    made = [await with_role(app, role_id) for _ in range(people)]
    async with app.database.transaction() as tx:
        await tx.execute(
            text("UPDATE users SET suspended_at = now() WHERE role_id = :role AND NOT id = ANY(:ids)"),
            {"role": role_id, "ids": [person.id for person in made]},
        )
    return made


def ways_to_lose(person: Person, role: dict[str, int], claim: dict[str, int]) -> list[tuple[str, str, Any]]:
    path = f"/users/{person.id}"
    return [
        ("PUT", f"{path}/role", {"role_id": role["cidadão"]}),
        ("DELETE", f"{path}/claims", None),
        ("DELETE", f"{path}/claims/{claim['users:write']}", None),
        ("PUT", f"{path}/suspension", {"reason": "other"}),
        ("DELETE", path, None),
    ]


async def test_the_last_administrator_is_not_lost(app: RunningApp, role: dict[str, int], claim: dict[str, int]) -> None:
    (last,) = await alone(app, role[ADMINISTRATOR], 1)
    for method, path, body in ways_to_lose(last, role, claim):
        for who in (last, app.operator()):
            if who is last and path.endswith("suspension"):
                continue  # nobody suspends themself, the last administrator or not
            assert refused(await who.call(method, path, json=body)) == (409, "last_administrator"), (method, path)
    assert (await last.get("/users")).status_code == 200
    other = await with_role(app, role[ADMINISTRATOR])
    assert (await other.call("PUT", f"/users/{last.id}/role", json={"role_id": role["cidadão"]})).status_code == 200


@pytest.mark.parametrize("way", range(5))
async def test_two_administrators_who_take_each_other_away_at_once_leave_one(
    start_app: Callable[..., Awaitable[RunningApp]], way: int
) -> None:
    here, there = await start_app(), await start_app()
    role, claim = await ids_of(here, "roles"), await ids_of(here, "claims")
    for _ in range(4):
        one, two = await alone(here, role[ADMINISTRATOR], 2)
        first, second = ways_to_lose(two, role, claim)[way], ways_to_lose(one, role, claim)[way]
        answers = await asyncio.gather(
            here.client.request(first[0], first[1], json=first[2], headers=one.headers),
            there.client.request(second[0], second[1], json=second[2], headers=two.headers),
        )
        async with here.database.transaction() as tx:
            left = await tx.scalar(
                text(
                    "SELECT count(*) FROM users JOIN user_claims ON user_id = users.id"
                    " JOIN claims ON claims.id = claim_id AND description = 'users:write'"
                    " WHERE role_id = :role AND suspended_at IS NULL AND erased_at IS NULL"
                ),
                {"role": role[ADMINISTRATOR]},
            )
        assert left == 1, [answer.text for answer in answers]


async def test_a_person_who_cannot_sign_in_is_no_administrator(app: RunningApp, role: dict[str, int]) -> None:
    last, idle = await alone(app, role[ADMINISTRATOR], 2)
    async with app.database.transaction() as tx:
        await tx.execute(text("UPDATE users SET password_hash = NULL WHERE id = :id"), {"id": idle.id})
    answer = await last.call("PUT", f"/users/{last.id}/role", json={"role_id": role["cidadão"]})
    assert refused(answer) == (409, "last_administrator")


async def test_users_are_found_by_role_claim_and_suspension(app: RunningApp, role: dict[str, int]) -> None:
    auditor, citizen = await with_role(app, role["auditor"]), await register(app)
    operator = app.operator()

    async def found(**filters: str) -> set[str]:
        ids: set[str] = set()
        cursor: str | None = None
        while True:
            params = {"limit": "100", **filters} | ({"cursor": cursor} if cursor else {})
            page = (await operator.get("/users", **params)).json()
            ids |= {item["id"] for item in page["items"]}
            cursor = page["next_cursor"]
            if cursor is None:
                return ids

    assert {str(auditor.id)} == await found(role="auditor", q=auditor.email)
    assert str(citizen.id) not in await found(role="auditor")
    assert await found(role=str(role["auditor"])) == await found(role="auditor")
    assert str(auditor.id) in await found(claim="credit:audit")
    assert str(citizen.id) not in await found(claim="credit:audit")
    assert (await operator.call("PUT", f"/users/{citizen.id}/suspension", json={"reason": "misuse"})).status_code == 200
    assert str(citizen.id) in await found(suspended="true")
    assert str(citizen.id) not in await found(suspended="false")
    for unknown in ({"role": "ninguém"}, {"role": "999999999"}, {"claim": "x:y"}):
        assert refused(await operator.get("/users", **unknown)) == (422, "unknown_filter")


async def test_grants_want_a_recent_sign_in(app: RunningApp, role: dict[str, int], claim: dict[str, int]) -> None:
    boss, other = await with_role(app, role[ADMINISTRATOR]), await register(app)
    clock.advance(timedelta(minutes=16))
    for method, path, body in (
        ("POST", "/roles", {"description": "x"}),
        ("PATCH", f"/roles/{role['auditor']}", {"description": "x"}),
        ("PUT", f"/roles/{role['auditor']}/claims", {"claim_ids": []}),
        ("DELETE", f"/roles/{role['auditor']}", None),
        ("POST", "/claims", {"description": "x:y"}),
        ("PATCH", f"/claims/{claim['users:read']}", {"active": False}),
        ("PUT", f"/users/{other.id}/role", {"role_id": role["auditor"]}),
        ("PUT", f"/users/{other.id}/claims", {"claim_ids": [claim["users:read"]]}),
        ("PUT", f"/users/{other.id}/claims/{claim['users:read']}", None),
        ("DELETE", f"/users/{other.id}/claims", None),
        ("DELETE", f"/users/{other.id}/claims/{claim['users:read']}", None),
        ("POST", "/users", new_person() | {"role_id": role["auditor"]}),
        ("GET", "/users/export", None),
    ):
        answer = await boss.call(method, path, json=body)
        assert refused(answer) == (403, "recent_sign_in_required"), (method, path)
    assert (await boss.post("/users", new_person() | {"role_id": role["cidadão"]})).status_code == 201, "grants nothing"
