"""The audit records what operators do and see in any module, and shows people who looked at their data."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
from sqlalchemy import RowMapping, text

from carteira.embedded import Endpoints
from carteira.identity.clients.service import PEOPLE_ONLY
from carteira.kit.security.look_limits import LookLimit
from carteira.kit.security.rate_limits import Limiter
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.benefits import processor_headers, purchase
from tests.support.credit import PURPOSE, fill_bases
from tests.support.databases import NewDatabase
from tests.support.machines import new_acting
from tests.support.people import Person, new_person, register, sign_in

ROLE = {"role_id": 2}


@pytest.fixture(scope="module")
async def app(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningApp]:
    """The application with every module, on its own database."""
    settings = settings_for(
        tmp_path_factory.mktemp("audit"),
        database_url=new_database("whole_audit"),
        redis_url=endpoints.redis_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
        smtp_url=endpoints.smtp_url,
        credit_table="whole-audit",
    )
    async with running_app(settings) as running:
        yield running


@pytest.fixture
async def operator(app: RunningApp) -> Person:
    """An administrator in a session, who states the purpose of each look."""
    operator = await register(app, full_name="Olga Operadora")
    assert (await app.operator().call("PUT", f"/users/{operator.id}/role", json=ROLE)).status_code == 200
    await sign_in(operator)
    operator.headers |= PURPOSE
    return operator


@dataclass
class Citizen:
    """A person with a proven CPF about whom every module holds data."""

    person: Person
    account: str
    waiting: str
    ledger_account: UUID
    transaction: UUID
    purchase: UUID
    session: str


@pytest.fixture
async def citizen(app: RunningApp) -> Citizen:
    """A citizen, registered by another operator than the one under test."""
    maker = app.operator()
    maker.headers |= PURPOSE
    person = await sign_in(await register(app))
    proof = await maker.post(f"/users/{person.id}/cpf-proof", {"cpf": person.cpf, "paper": "rg"})
    assert proof.status_code == 200, proof.text
    account, waiting = f"a-{uuid4()}", f"w-{uuid4()}"
    for reference, whose in ((account, {"user_id": str(person.id)}), (waiting, {"cpf": person.cpf})):
        body = {"account": reference, "balances": {"CASH": 100_000}, **whose}
        assert (await maker.post("/benefits/accounts", body)).status_code == 201
    bought = await app.client.post("/transactions/authorizer", content=purchase(account), headers=processor_headers())
    assert bought.json() == {"code": "00"}
    transaction = (await maker.get("/transactions", account=account)).json()["items"][0]["id"]
    assert (await person.post("/resellers")).status_code == 201
    sale = {"code": f"NF-{uuid4()}", "amount": 10_000, "date": "2026-07-01", "cpf": person.cpf}
    registered = await person.post("/purchases", sale)
    assert registered.status_code == 201, registered.text
    await fill_bases(maker, person.cpf)
    async with app.database.transaction() as tx:
        owned = text("SELECT id FROM ledger_accounts WHERE owner_id = :id AND kind = 'benefits.CASH'")
        ledger_account = await tx.scalar(owned, {"id": person.id})
    session = (await person.get("/auth/sessions")).json()["items"][0]["id"]
    return Citizen(person, account, waiting, ledger_account, UUID(transaction), UUID(registered.json()["id"]), session)


async def rows_of(app: RunningApp, request_id: str) -> Sequence[RowMapping]:
    """Return the audit rows that a request left."""
    async with app.database.transaction() as tx:
        query = text("SELECT * FROM audit_log WHERE request_id = :id ORDER BY id")
        return (await tx.execute(query, {"id": request_id})).mappings().all()


Call = tuple[str, str, object, str]
"""Method, path, body, and the action that is recorded."""


def acts_on(citizen: Citizen) -> list[Call]:
    """Return one act of each kind, in an order in which all succeed."""
    person, reference = citizen.person, f"n-{uuid4()}"
    top_up = f"/benefits/accounts/{citizen.account}/credits"
    cpf, merchant = person.cpf, f"LOJA {uuid4()}"
    sale = {"code": f"NF-{uuid4()}", "amount": 500, "date": "2026-07-02", "cpf": cpf}
    movement = {"type": "movement", "direction": "in", "amount": 77}
    topic = {"title": "Onde", "answer": "Aqui.", "phrases": ["onde fica"]}
    return [
        (
            "POST",
            "/benefits/accounts",
            {"account": reference, "cpf": cpf, "balances": {"FOOD": 7}},
            "benefit_account_opened",
        ),
        ("POST", top_up, {"category": "FOOD", "amount": 500}, "benefit_credited"),
        (
            "POST",
            "/benefits/credits",
            [{"account": reference, "category": "FOOD", "amount": 5}],
            "benefits_credited_in_bulk",
        ),
        ("POST", f"/transactions/{citizen.transaction}/refund", {"amount": 1}, "transaction_refunded"),
        ("PUT", "/benefits/categories/BOOKS", {"mccs": ["5942"], "regime": "free"}, "benefit_category_set"),
        ("PUT", f"/benefits/merchants/{merchant}", {"mcc": "5811"}, "benefit_merchant_set"),
        ("DELETE", f"/benefits/merchants/{merchant}", None, "benefit_merchant_removed"),
        ("POST", "/purchases", sale, "purchase_registered"),
        ("POST", f"/purchases/{citizen.purchase}/approve", None, "purchase_approved"),
        ("PUT", "/cashback/tiers/2030-01", {"tiers": [{"above": 0, "percentage": 3}]}, "cashback_tiers_set"),
        ("DELETE", "/cashback/tiers/2030-01", None, "cashback_tiers_removed"),
        ("PUT", "/cashback/closing-days/2030-01", {"day": 7}, "cashback_closing_day_set"),
        ("DELETE", "/cashback/closing-days/2030-01", None, "cashback_closing_day_removed"),
        ("POST", "/cashback/auto-approvals", {"cpf": cpf, "valid_from": "2030-01"}, "auto_approval_set"),
        ("POST", f"/credit/{cpf}/base-c/events", movement, "credit_base_c_event_added"),
        ("DELETE", f"/credit/{cpf}/base-c", None, "credit_base_c_erased"),
        ("PUT", f"/chatbot/topics/onde-{uuid4()}", topic, "assistant_topic_written"),
        ("PATCH", f"/users/{person.id}", {"full_name": "Outro Nome"}, "user_changed"),
        ("PUT", f"/users/{person.id}/claims/1", None, "claims_given"),
        ("DELETE", f"/users/{person.id}/claims/1", None, "claims_taken"),
        ("DELETE", f"/users/{person.id}/sessions/{citizen.session}", None, "session_ended"),
        ("DELETE", f"/users/{person.id}/sessions", None, "signed_out_everywhere"),
    ]


async def test_each_act_leaves_one_row_and_none_when_it_fails(
    app: RunningApp, operator: Person, citizen: Citizen
) -> None:
    about_the_person = 0
    for method, path, body, action in acts_on(citizen):
        request_id = str(uuid4())
        done = await operator.call(method, path, json=body, headers={"X-Request-ID": request_id})
        assert done.status_code < 300, (method, path, done.text)
        (row,) = [row for row in await rows_of(app, request_id) if row["action"] == action]
        assert (row["actor_kind"], row["actor_id"], row["look"]) == ("person", operator.id, False), path
        assert row["session_id"] is not None
        about_the_person += row["subject_id"] == citizen.person.id
        assert citizen.person.cpf not in str(dict(row))

        failed_id = str(uuid4())
        failed = await app.person().call(method, path, json=body, headers={"X-Request-ID": failed_id} | PURPOSE)
        assert failed.status_code >= 400, (method, path)
        assert not [row for row in await rows_of(app, failed_id) if row["action"] == action], path
    assert about_the_person >= 9


async def test_money_names_its_entry_and_a_replay_or_a_refusal_leaves_no_row(
    app: RunningApp, operator: Person, citizen: Citizen
) -> None:
    path, body = f"/benefits/accounts/{citizen.account}/credits", {"category": "CASH", "amount": 1_000}
    key, request_id = str(uuid4()), str(uuid4())
    headers = {"Idempotency-Key": key, "X-Request-ID": request_id}
    done = await operator.call("POST", path, json=body, headers=headers)
    (row,) = await rows_of(app, request_id)
    assert (str(row["entry_id"]), row["details"]["amount"]) == (done.json()["entry_id"], 1_000)
    async with app.database.transaction() as tx:
        kept = await tx.execute(
            text("SELECT actor_kind, actor_id, xid FROM ledger_entries WHERE id = :id"), {"id": row["entry_id"]}
        )
    assert tuple(kept.one()) == ("person", str(operator.id), row["xid"]), "in one transaction, by one actor"
    replayed = str(uuid4())
    again = await operator.call("POST", path, json=body, headers=headers | {"X-Request-ID": replayed})
    assert again.json() == done.json()
    assert await rows_of(app, replayed) == []
    refused = str(uuid4())
    headers = {"Idempotency-Key": str(uuid4()), "X-Request-ID": refused}
    spent = f"/transactions/{citizen.transaction}/refund"
    assert (await operator.call("POST", spent, json={"amount": 10**9}, headers=headers)).status_code >= 400
    assert await rows_of(app, refused) == []


def looks_at(citizen: Citizen) -> list[Call]:
    """Return one look of each kind at a citizen."""
    person = citizen.person
    cpf, order = person.cpf, {"account": citizen.account, "totalAmount": 1, "mcc": "9999", "merchant": "LOJA"}
    return [
        ("GET", f"/users/{person.id}", None, "user_read"),
        ("GET", f"/users?q={person.email}", None, "user_listed"),
        ("GET", f"/users/{person.id}/role", None, "role_read"),
        ("GET", f"/users/{person.id}/sessions", None, "sessions_listed"),
        ("GET", f"/users/{person.id}/claims", None, "claims_read"),
        ("GET", f"/benefits/accounts/{citizen.account}", None, "benefit_account_read"),
        ("GET", f"/benefits/accounts/{citizen.waiting}", None, "benefit_account_read"),
        ("GET", f"/benefits/accounts/{citizen.account}/statement", None, "benefit_statement_read"),
        ("GET", f"/transactions?account={citizen.account}", None, "transactions_listed"),
        ("GET", f"/transactions/{citizen.transaction}", None, "transaction_read"),
        ("POST", "/transactions/simulate", order, "transaction_simulated"),
        ("GET", f"/ledger/accounts/{citizen.ledger_account}", None, "ledger_account_read"),
        ("GET", f"/ledger/accounts/{citizen.ledger_account}/balance", None, "ledger_balance_read"),
        ("GET", f"/ledger/accounts/{citizen.ledger_account}/statement", None, "ledger_statement_read"),
        ("GET", f"/ledger/entries/{citizen.transaction}", None, "ledger_entry_read"),
        ("GET", f"/purchases?cpf={cpf}", None, "purchases_listed"),
        ("GET", f"/purchases/{citizen.purchase}", None, "purchase_read"),
        ("GET", f"/cashback/balance?cpf={cpf}", None, "cashback_balance_read"),
        ("GET", f"/cashback/statement?cpf={cpf}", None, "cashback_statement_read"),
        ("GET", f"/cashback/months?cpf={cpf}", None, "cashback_months_read"),
        ("GET", f"/credit/{cpf}", None, "credit_profile_read"),
        ("GET", f"/credit/{cpf}/base-a", None, "credit_base_a_read"),
        ("GET", f"/credit/{cpf}/base-b", None, "credit_base_b_read"),
        ("GET", f"/credit/{cpf}/base-c", None, "credit_base_c_read"),
        ("GET", f"/credit/{cpf}/score", None, "credit_score_read"),
        ("GET", f"/credit/{cpf}/accesses", None, "credit_accesses_read"),
        ("GET", f"/audit?subject={person.id}", None, "audit_read"),
    ]


async def test_a_person_sees_the_looks_of_all_modules_in_one_list(
    app: RunningApp, operator: Person, citizen: Citizen
) -> None:
    calls = looks_at(citizen)
    for method, path, body, _ in calls:
        seen = await operator.call(method, path, json=body)
        assert seen.status_code == 200, (path, seen.text)
    stream = [
        item
        for item in (await citizen.person.get("/users/me/accesses", limit=100)).json()["items"]
        if item["actor_id"] == str(operator.id)
    ]
    assert [item["action"] for item in reversed(stream)] == [action for *_, action in calls]
    assert {(item["actor_kind"], item["actor_name"], item["actor_role"]) for item in stream} == {
        ("person", "Olga Operadora", "administrador")
    }
    purposes = {item["action"]: item["purpose"] for item in stream}
    assert purposes["credit_profile_read"] == purposes["credit_base_a_read"] == "credit_analysis"
    assert purposes["user_read"] is None
    page = (await citizen.person.get("/users/me/accesses", limit=5)).json()
    following = await citizen.person.get("/users/me/accesses", limit=5, cursor=page["next_cursor"])
    assert page["items"][-1]["id"] > following.json()["items"][0]["id"]
    stranger = await sign_in(await register(app))
    theirs = (await stranger.get("/users/me/accesses", limit=100)).json()["items"]
    assert str(operator.id) not in {item["actor_id"] for item in theirs}, "nobody has looked at them yet"


async def test_a_machine_that_looks_is_named(app: RunningApp, citizen: Citizen) -> None:
    machine = await new_acting(app.operator(), "users:read")
    assert (await machine.get(f"/users/{citizen.person.id}")).status_code == 200
    (seen,) = [
        item
        for item in (await citizen.person.get("/users/me/accesses", limit=100)).json()["items"]
        if item["actor_id"] == str(machine.id)
    ]
    named = (await app.operator().get(f"/clients/{machine.id}")).json()["name"]
    assert (seen["actor_kind"], seen["actor_name"], seen["actor_role"]) == ("client", named, None)


async def test_a_look_at_oneself_leaves_no_row(citizen: Citizen) -> None:
    before = (await citizen.person.get("/users/me/accesses", limit=100)).json()["items"]
    for method, path, body, action in looks_at(citizen):
        if action in {"benefit_account_read", "transactions_listed", "purchases_listed", "cashback_balance_read"}:
            await citizen.person.call(method, path, json=body)
    assert (await citizen.person.get("/users/me/accesses", limit=100)).json()["items"] == before


async def test_a_list_is_a_look_at_each_person_shown_and_at_no_other(app: RunningApp, operator: Person) -> None:
    people = [await register(app, full_name="Zenaide Listada") for _ in range(3)]
    request_id = str(uuid4())
    headers = {"X-Request-ID": request_id}
    page = await operator.call("GET", "/users?q=zenaide&limit=2", headers=headers)
    shown = {item["id"] for item in page.json()["items"]}
    assert len(shown) == 2
    assert {str(row["subject_id"]) for row in await rows_of(app, request_id)} == shown
    assert shown < {str(person.id) for person in people}


async def test_the_audit_is_read_by_claim_by_ids_and_in_pages(
    app: RunningApp, operator: Person, citizen: Citizen
) -> None:
    await operator.get(f"/users/{citizen.person.id}")
    await operator.call("PUT", f"/users/{citizen.person.id}/claims/1")
    auditor = app.person("audit:read")
    path = "/audit"
    found = (await auditor.get(path, actor=str(operator.id), subject=str(citizen.person.id))).json()["items"]
    assert [item["action"] for item in found] == ["claims_given", "user_read"]
    assert found[0]["details"] == {"claim_ids": [1]}
    assert (found[0]["actor_name"], found[0]["look"], found[1]["look"]) == ("Olga Operadora", False, True)
    assert found[0]["session_id"] is not None
    assert found[0]["request_id"]
    only = (await auditor.get(path, actor=str(operator.id), action="user_read")).json()["items"]
    assert [item["id"] for item in only] == [found[1]["id"]]
    at = found[1]["created_at"]
    since = (await auditor.get(path, actor=str(operator.id), **{"from": at})).json()["items"]
    until = (await auditor.get(path, actor=str(operator.id), to=at)).json()["items"]
    assert {item["id"] for item in found} <= {item["id"] for item in since}
    assert not {item["id"] for item in found} & {item["id"] for item in until}
    ever = {"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z"}
    assert (await auditor.get(path, subject=str(citizen.person.id), action="user_read", **ever)).json()["items"] == [
        found[1]
    ]
    first = (await auditor.get(path, limit=1)).json()
    second = (await auditor.get(path, limit=1, cursor=first["next_cursor"])).json()
    assert second["items"][0]["id"] < first["items"][0]["id"]
    assert (await auditor.get(path, actor="12345678909")).status_code == 422
    assert (await app.person("users:read").get(path)).status_code == 403
    seen = (await citizen.person.get("/users/me/accesses", limit=100)).json()["items"]
    assert "audit_read" in {item["action"] for item in seen}


async def test_a_rollback_leaves_no_row(app: RunningApp, operator: Person) -> None:
    taken = await register(app)
    request_id = str(uuid4())
    body = new_person() | {"email": taken.email, "role_id": 1}
    answer = await operator.call("POST", "/users", json=body, headers={"X-Request-ID": request_id})
    assert answer.status_code == 409
    assert await rows_of(app, request_id) == []


@pytest.fixture
async def machine(app: RunningApp) -> Person:
    """A client with every claim that a client may hold, which states the purpose of each look."""
    maker = app.operator()
    known = {claim["description"] for claim in (await maker.get("/claims", limit=100)).json()["items"]}
    machine = await new_acting(maker, *sorted(known - PEOPLE_ONLY))
    machine.headers |= PURPOSE
    return machine


async def test_a_client_does_and_sees_the_same_under_its_own_name(
    app: RunningApp, machine: Person, citizen: Citizen
) -> None:
    async def ask(calls: list[Call]) -> None:
        for method, path, body, action in calls:
            request_id = str(uuid4())
            done = await machine.call(method, path, json=body, headers={"X-Request-ID": request_id})
            assert done.status_code < 300, (method, path, done.text)
            rows = [row for row in await rows_of(app, request_id) if row["action"] == action]
            assert {(row["actor_kind"], row["actor_id"], row["session_id"]) for row in rows} == {
                ("client", machine.id, None)
            }, path

    await ask(looks_at(citizen))
    seen = (await citizen.person.get("/users/me/accesses", limit=100)).json()["items"]
    assert {(item["actor_id"], item["actor_kind"]) for item in seen} >= {(str(machine.id), "client")}
    await ask(acts_on(citizen))


async def test_an_operator_above_the_hourly_looks_waits(
    app: RunningApp, operator: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.api.state, "look_limit", LookLimit(Limiter(app.api.state.redis), 3))
    people = [await register(app, full_name="Valdete Vista") for _ in range(5)]
    for _ in range(2):  # the second page is complete and omits nobody
        page = await operator.get("/users", q="valdete", limit=2)
        assert len(page.json()["items"]) == 2, page.text
    request_id = str(uuid4())
    refused = await operator.call("GET", f"/users/{people[0].id}", headers={"X-Request-ID": request_id})
    assert (refused.status_code, refused.json()["code"]) == (429, "looks_used_up")
    assert 0 < int(refused.headers["Retry-After"]) <= 3_600
    assert await rows_of(app, request_id) == []
    assert (await operator.get(f"/users/{operator.id}")).status_code == 200, "a read of their own data"
    assert (await operator.get("/ledger/reconciliation")).status_code == 200, "a read of nobody's data"
    assert (await operator.get("/users/export", format="csv")).status_code == 200, "a read that has a claim of its own"
    assert (await app.person("users:read").get(f"/users/{people[0].id}")).status_code == 200, (
        "nor of other people's data"
    )
    machine = await new_acting(app.operator(), "users:read")
    assert all([(await machine.get(f"/users/{one.id}")).status_code == 200 for one in people])
