"""Employers own accounts, and who is bound to one employer finds nothing of another's on any route."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from carteira.benefits.models import FIRST_EMPLOYER
from carteira.embedded import Endpoints
from carteira.kit.values.clock import clock
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.benefits import AUTHORIZER, processor_headers, purchase
from tests.support.contract import openapi_document
from tests.support.databases import NewDatabase
from tests.support.machines import new_acting
from tests.support.people import Person, new_cpf, register, sign_in

EMPLOYERS = "/benefits/employers"
CNPJ_A, CNPJ_B = "11.222.333/0001-81", "12.abc.345/01de-35"


@pytest.fixture(scope="module")
async def app(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningApp]:
    settings = settings_for(
        tmp_path_factory.mktemp("home"),
        database_url=new_database("employers"),
        redis_url=endpoints.redis_url,
        carteira_modules="benefits",
        limit_top_ups="1000",
        limit_opening_balances="none",
    )
    async with running_app(settings) as running:
        yield running


@pytest.fixture(scope="module")
async def administrator(app: RunningApp) -> Person:
    return app.operator()


async def made(answer: Any) -> Any:  # noqa: ANN401 - any JSON
    assert answer.status_code in {200, 201, 202}, answer.text
    return answer.json()


async def bind(administrator: Person, employer: str, member: UUID) -> None:
    await made(await administrator.call("PUT", f"{EMPLOYERS}/{employer}/members/{member}"))


@pytest.fixture(scope="module")
async def employers(administrator: Person) -> tuple[str, str]:
    a = await made(await administrator.post(EMPLOYERS, {"cnpj": CNPJ_A, "name": "Padaria Central Ltda."}))
    b = await made(await administrator.post(EMPLOYERS, {"cnpj": CNPJ_B, "name": "Mercado da Vila", "prefunded": True}))
    assert (a["cnpj"], b["cnpj"], b["prefunded"]) == ("11222333000181", "12ABC34501DE35", True)
    changed = await administrator.call("PATCH", f"{EMPLOYERS}/{b['id']}", json={"prefunded": False})
    assert (await made(changed))["prefunded"] is False  # it has paid in nothing, and is to top up here
    return a["id"], b["id"]


PathIds = dict[str, str]


async def make_one_of_each(app: RunningApp, administrator: Person, employer: str) -> PathIds:
    """Make one object of each kind that belongs to an employer; return their ids by the names of path parameters."""
    reference = f"e-{uuid4()}"
    opened = {"account": reference, "cpf": new_cpf(), "employer_id": employer, "balances": {"CASH": 50_000}}
    assert (await made(await administrator.post("/benefits/accounts", opened)))["employer_id"] == employer
    bought = await app.client.post(AUTHORIZER, content=purchase(reference), headers=processor_headers())
    assert bought.json() == {"code": "00"}
    listed = await made(await administrator.get("/transactions", account=reference))
    waits = await made(
        await administrator.post(f"/benefits/accounts/{reference}/credits", {"category": "CASH", "amount": 5_000})
    )
    return {
        "account": reference,
        "transaction_id": listed["items"][0]["id"],
        "operation_id": waits["pending"]["id"],
        "employer_id": employer,
        "member_id": str(uuid4()),
        "category": "FOOD",
        "name": "UBER EATS",
    }


@pytest.fixture(scope="module")
async def own(app: RunningApp, administrator: Person, employers: tuple[str, str]) -> PathIds:
    return await make_one_of_each(app, administrator, employers[0])


@pytest.fixture(scope="module")
async def others(app: RunningApp, administrator: Person, employers: tuple[str, str]) -> PathIds:
    return await make_one_of_each(app, administrator, employers[1])


@pytest.fixture(scope="module")
async def approver(app: RunningApp, administrator: Person, employers: tuple[str, str]) -> Person:
    """An operator in a session, bound to the first employer, whose claims go beyond what binding leaves open."""
    person = await register(app)
    held = ["benefits:read", "benefits:write", "money:approve", "ledger:read", "users:read", "employers:write"]
    known = {
        claim["description"]: claim["id"]
        for claim in (await made(await administrator.get("/claims", limit=100)))["items"]
    }
    given = await administrator.call(
        "PUT", f"/users/{person.id}/claims", json={"claim_ids": [known[name] for name in held]}
    )
    assert given.status_code == 200, given.text
    await bind(administrator, employers[0], person.id)
    return await sign_in(person)


@pytest.fixture(scope="module")
async def erp(administrator: Person, employers: tuple[str, str]) -> Person:
    """A client that is bound to the first employer."""
    machine = await new_acting(administrator, "benefits:read", "benefits:write", "ledger:read")
    await bind(administrator, employers[0], machine.id)
    return machine


@pytest.fixture(scope="module")
def bounds(approver: Person, erp: Person) -> dict[str, Person]:
    return {"approver": approver, "erp": erp}


BODIES: dict[str, object] = {
    "POST /benefits/accounts/{account}/block": {"reason": "holder_asked"},
    "POST /benefits/accounts/{account}/credits": {"category": "CASH", "amount": 1},
    "POST /benefits/accounts/{account}/claim/confirm": {"code": "12345678"},
    "PATCH /benefits/employers/{employer_id}": {"name": "Outra"},
}
OF_AN_EMPLOYER = [
    (method.upper(), path)
    for path, operations in openapi_document()["paths"].items()
    if re.search(r"^/(benefits|transactions|pending)\b.*\{(account|transaction_id|operation_id|employer_id)\}", path)
    for method in operations
]
PERSONS_OWN = {"/benefits/accounts/{account}/claim", "/benefits/accounts/{account}/claim/confirm"}
"""Routes for a person's own account: a client is refused, because it is none."""


def at(path: str, things: PathIds) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: things[found[1]], path)


@pytest.mark.parametrize(("method", "path"), OF_AN_EMPLOYER, ids=str)
@pytest.mark.parametrize("kind", ["erp", "approver"])
async def test_nothing_of_another_employer_is_there(
    bounds: dict[str, Person], others: PathIds, method: str, path: str, kind: str
) -> None:
    bound = bounds[kind]
    answer = await bound.call(method, at(path, others), json=BODIES.get(f"{method} {path}"))
    lacks_claim = path.startswith(EMPLOYERS + "/") and (method != "GET" or "members" in path)
    if lacks_claim or (kind == "erp" and path in PERSONS_OWN):
        assert answer.status_code == 403, answer.text
    else:
        assert answer.status_code == 404, answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/benefits/accounts/{account}",
        "/benefits/accounts/{account}/statement",
        "/transactions/{transaction_id}",
        "/benefits/employers/{employer_id}",
        "/benefits/employers/{employer_id}/fund",
    ],
)
@pytest.mark.parametrize("kind", ["erp", "approver"])
async def test_bound_operators_reach_their_employers_accounts(
    bounds: dict[str, Person], own: PathIds, path: str, kind: str
) -> None:
    bound = bounds[kind]
    answer = await bound.get(at(path, own))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("kind", ["erp", "approver"])
async def test_lists_and_bodies_name_nothing_of_another_employer(
    bounds: dict[str, Person], own: PathIds, others: PathIds, kind: str
) -> None:
    bound = bounds[kind]
    transactions = (await made(await bound.get("/transactions", limit=100)))["items"]
    assert {item["account"] for item in transactions} == {own["account"]}
    assert (await bound.get("/transactions", account=others["account"])).status_code == 404
    assert [item["id"] for item in (await made(await bound.get(EMPLOYERS)))["items"]] == [own["employer_id"]]
    asked = await bound.call("POST", "/transactions/simulate", content=purchase(others["account"]))
    assert asked.status_code == 404
    assert (await bound.call("POST", "/transactions/simulate", content=purchase(own["account"]))).status_code == 200
    lines = [{"account": one["account"], "category": "CASH", "amount": 5} for one in (own, others)]
    results = (await made(await bound.post("/benefits/credits", lines)))["results"]
    assert [line["status"] for line in results] == ["credited", "failed"]
    assert results[1]["code"] == "benefit_account_not_found"
    body = {"account": f"e-{uuid4()}", "cpf": new_cpf(), "employer_id": others["employer_id"]}
    assert (await bound.post("/benefits/accounts", body)).status_code == 404
    opened = await made(await bound.post("/benefits/accounts", {"account": f"e-{uuid4()}", "cpf": new_cpf()}))
    assert opened["employer_id"] == own["employer_id"], "bound to its employer"


async def test_pending_operations_are_their_employers(approver: Person, own: PathIds, others: PathIds) -> None:
    listed = {item["id"] for item in (await made(await approver.get("/pending", limit=100)))["items"]}
    assert own["operation_id"] in listed
    assert others["operation_id"] not in listed
    done = await approver.post(f"/pending/{own['operation_id']}/approve")
    assert done.status_code == 200, done.text


async def test_bound_people_hold_only_the_claims_of_their_employers(approver: Person, erp: Person) -> None:
    for path in ("/users", "/ledger/reconciliation", f"/users/{uuid4()}"):
        assert (await approver.get(path)).status_code == 403, path
    assert (await erp.get("/ledger/reconciliation")).status_code == 403
    for bound in (approver, erp):
        for method, path, body in (
            ("PUT", "/benefits/categories/FOOD", {"mccs": ["5411"], "regime": "pat"}),
            ("PUT", "/benefits/merchants", {"name": "UBER EATS", "mcc": "5812"}),
            ("PUT", "/benefits/merchants/UBER%20EATS", {"mcc": "5812"}),
            ("DELETE", "/benefits/merchants/UBER%20EATS", None),
            ("POST", EMPLOYERS, {"cnpj": "11.444.777/0001-61", "name": "Nova"}),
        ):
            answer = await bound.call(method, path, json=body)
            assert answer.status_code == 403, (path, answer.text)
        assert (await bound.get("/benefits/categories")).status_code == 200
    assert (await approver.get("/users/me")).status_code == 200, "what is a person's own stays theirs"


async def test_a_binding_holds_at_once_and_its_end_leaves_nothing(
    administrator: Person, employers: tuple[str, str], own: PathIds, others: PathIds
) -> None:
    machine = await new_acting(administrator, "benefits:read", "benefits:write")
    first, second = (f"/benefits/accounts/{one['account']}" for one in (own, others))

    async def seen() -> list[int]:
        return [(await machine.get(path)).status_code for path in (first, second)]

    assert await seen() == [200, 200], "an administrator's client is not bound"
    await bind(administrator, employers[0], machine.id)
    assert await seen() == [200, 404]
    await bind(administrator, employers[1], machine.id)
    assert await seen() == [200, 200]
    body: dict[str, object] = {"account": f"e-{uuid4()}", "cpf": new_cpf()}
    several = await machine.post("/benefits/accounts", body)
    assert (several.status_code, several.json()["errors"][0]["field"]) == (422, "employer_id")
    assert (await machine.post("/benefits/accounts", body | {"employer_id": employers[1]})).status_code == 201
    paths = [f"{EMPLOYERS}/{employer}/members/{machine.id}" for employer in employers]
    for path in paths:
        assert (await administrator.call("DELETE", path)).status_code == 204
    assert await seen() == [404, 404], "without an employer left they see nothing"
    assert (await machine.post("/benefits/accounts", {"account": f"e-{uuid4()}", "cpf": new_cpf()})).status_code == 404
    assert (await administrator.call("DELETE", paths[0])).status_code == 404
    for path in paths:
        assert (await administrator.call("DELETE", path + "?release=true")).status_code == 204
    assert await seen() == [200, 200]


async def test_bindings_need_the_claim_and_another_person(
    app: RunningApp, administrator: Person, employers: tuple[str, str], erp: Person
) -> None:
    path = f"{EMPLOYERS}/{employers[0]}/members"
    assert (await administrator.call("PUT", f"{path}/{administrator.id}")).json()["code"] == "own_binding"
    assert (await administrator.call("PUT", f"{path}/{uuid4()}")).json()["code"] == "member_not_found"
    nowhere = await administrator.call("PUT", f"{EMPLOYERS}/{uuid4()}/members/{erp.id}")
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "employer_not_found")
    assert (await app.person("benefits:write").call("PUT", f"{path}/{erp.id}")).status_code == 403
    again = await administrator.call("PUT", f"{path}/{erp.id}")
    assert again.status_code == 200, "binding again changes nothing"
    listed = (await made(await administrator.get(path)))["items"]
    assert {"id": str(erp.id), "kind": "client", "bound_at": again.json()["bound_at"]} in listed


async def test_nobody_takes_an_operators_claims_away_by_binding_them(
    app: RunningApp, administrator: Person, employers: tuple[str, str]
) -> None:
    """Binding requires every claim that the operator holds, and leaves one administrator."""
    path = f"{EMPLOYERS}/{employers[0]}/members"
    roles = (await administrator.get("/roles", limit=100)).json()["items"]
    role = next(item["id"] for item in roles if item["description"] == "administrador")
    first, second = await sign_in(await register(app)), await sign_in(await register(app))
    for person in (first, second):
        given = await administrator.call("PUT", f"/users/{person.id}/role", json={"role_id": role})
        assert given.status_code == 200
    less = await app.person("employers:write").call("PUT", f"{path}/{first.id}")
    assert (less.status_code, less.json()["code"]) == (403, "claims_beyond_yours")
    assert (await administrator.call("PUT", f"{path}/{first.id}")).status_code == 200
    last = await administrator.call("PUT", f"{path}/{second.id}")
    assert (last.status_code, last.json()["code"]) == (409, "last_administrator"), "the bound one no longer counts"
    for method, where in (("DELETE", f"/users/{second.id}"), ("DELETE", f"/users/{second.id}/claims")):
        answer = await administrator.call(method, where)
        assert answer.json()["code"] == "last_administrator", where
    assert (await second.get("/users")).status_code == 200
    assert (await administrator.call("DELETE", f"{path}/{first.id}?release=true")).status_code == 204
    assert (await administrator.call("PUT", f"{path}/{second.id}")).status_code == 200


async def test_nobody_binds_or_releases_whom_they_hold_less_than(
    app: RunningApp, administrator: Person, employers: tuple[str, str]
) -> None:
    """A release gives back what a binding took away, a client's claims too: by it one would hand on what one lacks."""
    path = f"{EMPLOYERS}/{employers[0]}/members"
    machine = await new_acting(administrator, "benefits:read", "users:cpf")
    person, binds = await register(app), app.person("employers:write", "benefits:read")
    known = {one["description"]: one["id"] for one in (await administrator.get("/claims", limit=100)).json()["items"]}
    given = {"claim_ids": [known["ledger:write"]]}
    assert (await administrator.call("PUT", f"/users/{person.id}/claims", json=given)).status_code == 200
    for member, lacks in ((machine.id, "users:cpf"), (person.id, "ledger:write")):
        where = f"{path}/{member}"
        assert (await binds.call("PUT", where)).json()["claims"] == [lacks]
        assert (await administrator.call("PUT", where)).status_code == 200
        for ending in (where, f"{where}?release=true"):
            refused = await binds.call("DELETE", ending)
            assert (refused.status_code, refused.json()["code"]) == (403, "claims_beyond_yours"), ending
        able = app.person("employers:write", "benefits:read", lacks)
        assert (await able.call("DELETE", f"{where}?release=true")).status_code == 204


async def test_nobody_frees_themselves_through_a_client(
    app: RunningApp, administrator: Person, employers: tuple[str, str]
) -> None:
    somebody = await register(app)
    machine = await new_acting(app.person("*", user_id=somebody.id), "employers:write")
    path = f"{EMPLOYERS}/{employers[0]}/members/{somebody.id}"
    assert (await machine.call("PUT", path)).json()["code"] == "own_binding"
    assert (await administrator.call("PUT", path)).status_code == 200
    for ending in (path, f"{path}?release=true"):
        assert (await machine.call("DELETE", ending)).json()["code"] == "own_binding", ending
    assert (await administrator.call("DELETE", f"{path}?release=true")).status_code == 204


async def test_employers_are_distinguished_by_their_cnpj(administrator: Person, employers: tuple[str, str]) -> None:
    again = await administrator.post(EMPLOYERS, {"cnpj": CNPJ_B.upper(), "name": "Outra"})
    assert (again.status_code, again.json()["code"]) == (409, "cnpj_taken")
    for wrong in ("11.222.333/0001-82", "12.ABC.345/01DE-36", "1", "00000000000000", "529.982.247-25"):
        answer = await administrator.post(EMPLOYERS, {"cnpj": wrong, "name": "Outra"})
        assert (answer.status_code, answer.json()["errors"][0]["message"]) == (422, "CNPJ inválido."), wrong
    path = f"{EMPLOYERS}/{employers[0]}"
    assert (await administrator.call("PATCH", path, json={"cnpj": CNPJ_B})).status_code == 409
    changed = await made(await administrator.call("PATCH", path, json={"name": "Padaria Central", "prefunded": True}))
    assert (changed["name"], changed["prefunded"], changed["cnpj"]) == ("Padaria Central", True, "11222333000181")
    await made(await administrator.call("PATCH", path, json={"prefunded": False}))
    assert (await administrator.call("PATCH", f"{EMPLOYERS}/{uuid4()}", json={"name": "X"})).status_code == 404


async def test_an_account_that_names_no_employer_is_the_first_ones(app: RunningApp, administrator: Person) -> None:
    opened = await made(await administrator.post("/benefits/accounts", {"account": f"e-{uuid4()}", "cpf": new_cpf()}))
    assert opened["employer_id"] == str(FIRST_EMPLOYER)
    insert = """
        INSERT INTO benefits_accounts (id, reference, cpf) VALUES (:id, :reference, :cpf) RETURNING employer_id
    """
    async with app.database.transaction() as tx:  # as a server of the former release does
        values = {"id": uuid4(), "reference": f"e-{uuid4()}", "cpf": new_cpf()}
        assert await tx.scalar(text(insert), values) == FIRST_EMPLOYER
    unknown = {"account": f"e-{uuid4()}", "cpf": new_cpf(), "employer_id": str(uuid4())}
    assert (await administrator.post("/benefits/accounts", unknown)).json()["code"] == "employer_not_found"


async def test_a_client_counts_as_its_creator(app: RunningApp, administrator: Person, own: PathIds) -> None:
    maker, another = app.operator(), app.operator()
    machine = await new_acting(maker, "benefits:read", "benefits:write")
    top_up = {"category": "CASH", "amount": 5_000}
    waits = await machine.post(f"/benefits/accounts/{own['account']}/credits", top_up, key="june")
    assert waits.status_code == 202
    again = await machine.post(f"/benefits/accounts/{own['account']}/credits", top_up, key="june")
    assert (again.status_code, again.json()) == (202, waits.json()), "a client's idempotency keys are its own"
    path = f"/pending/{waits.json()['pending']['id']}"
    refused = await maker.post(path + "/approve")
    assert (refused.status_code, refused.json()["code"]) == (403, "own_operation"), refused.text
    assert (await machine.post(path + "/approve")).status_code == 403
    done = await another.post(path + "/approve")
    assert (done.status_code, done.json()["maker"]["kind"]) == (200, "client"), done.text
    waits = await machine.post(f"/benefits/accounts/{own['account']}/credits", top_up)
    back = await machine.post(f"/pending/{waits.json()['pending']['id']}/refuse")
    assert (back.status_code, back.json()["status"]) == (200, "refused"), "its own it takes back"
    assert (await administrator.get(path)).json()["checker"]["id"] == str(another.id)


async def test_a_schedule_without_an_account_is_visible_to_its_maker_only(
    administrator: Person, bounds: dict[str, Person], others: PathIds
) -> None:
    day, erp = clock.today() + timedelta(days=3), bounds["erp"]
    path = "/benefits/scheduled-credits"

    async def scheduled(who: Person, account: str) -> str:
        order = [{"account": account, "category": "FOOD", "amount": 1}]
        answer = await made(await who.call("POST", f"{path}?day={day}", json=order))
        return str(answer["id"])

    ids = [await scheduled(administrator, account) for account in (f"nobody-{uuid4()}", others["account"])]
    mine = await scheduled(erp, others["account"])
    listed = {item["id"] for item in (await made(await erp.get(path, limit=100)))["items"]}
    assert mine in listed
    assert listed.isdisjoint(ids)
    for scheduled_id in ids:
        for method in ("GET", "DELETE"):
            answer = await erp.call(method, f"{path}/{scheduled_id}")
            assert (answer.status_code, answer.json()["code"]) == (404, "scheduled_not_found")
    assert (await erp.call("DELETE", f"{path}/{mine}")).status_code == 204
