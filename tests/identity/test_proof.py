"""The owner of a CPF: proven by an operator, moved to its person, claimed by two people."""

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import text

from carteira.embedded import Endpoints
from carteira.identity.errors import CpfTaken
from carteira.identity.proof import disputes
from carteira.kit.web.access import Principal
from tests.support.app import RunningApp
from tests.support.mail import mail_to
from tests.support.people import Person, new_cpf, new_person, register, sign_in


def prover(app: RunningApp) -> Person:
    """An operator who sees people and their identity papers."""
    return app.person("identity:prove", "users:cpf")


async def prove(operator: Person, person: Person, cpf: str, status: int = 200) -> dict[str, object]:
    answer = await operator.post(f"/users/{person.id}/cpf-proof", {"cpf": cpf, "paper": "cnh"})
    assert answer.status_code == status, answer.text
    body: dict[str, object] = answer.json()
    return body


async def without_cpf(app: RunningApp) -> Person:
    """A person whom an operator added with name and e-mail only."""
    body = {name: value for name, value in new_person().items() if name in {"full_name", "email", "password"}}
    answer = await app.person("users:write").post("/users", body | {"role_id": 1})
    assert answer.status_code == 201, answer.text
    user_id = UUID(answer.json()["id"])
    return Person(app.client, user_id, app.bearer(user_id=user_id), "", body["email"])


async def test_a_typed_cpf_is_declared_and_an_operator_proves_it(app: RunningApp, person: Person) -> None:
    me = (await person.get("/users/me")).json()
    assert (me["cpf"], me["cpf_state"], me["cpf_proven_at"], me["cpf_proven_by"]) == (
        person.cpf, "declared", None, None,
    )  # fmt: skip
    shown = await prove(prover(app), person, person.cpf)
    assert (shown["cpf_state"], shown["cpf_proven_by"]) == ("proven", "operator")
    me = (await person.get("/users/me")).json()
    assert me["cpf_state"] == "proven"
    assert me["cpf_proven_at"] is not None


async def test_the_proof_is_audited_once_and_the_person_notified(
    app: RunningApp, person: Person, endpoints: Endpoints
) -> None:
    operator = prover(app)
    for _ in range(2):
        await prove(operator, person, person.cpf)
    await app.work_off()
    async with app.database.transaction() as tx:
        rows = await tx.execute(
            text("SELECT actor_id, details FROM audit_log WHERE action = 'cpf_proven' AND subject_id = :id"),
            {"id": person.id},
        )
        assert [(actor, details) for actor, details in rows] == [(operator.id, {"by": "operator", "paper": "cnh"})]
    assert endpoints.maildir is not None
    assert [message["Subject"] for message in mail_to(endpoints.maildir, person.email)] == ["Seu CPF foi comprovado"]


async def test_nobody_proves_or_keeps_their_own(app: RunningApp, person: Person) -> None:
    themselves = app.person("identity:prove", user_id=person.id)
    assert (await prove(themselves, person, person.cpf, 403))["code"] == "own_cpf_proof"
    await prove(prover(app), person, person.cpf)
    answer = await themselves.call("DELETE", f"/users/{person.id}/cpf-proof")
    assert (answer.status_code, answer.json()["code"]) == (403, "own_cpf_proof")


async def test_proving_wants_the_claim_a_person_and_a_whole_body(app: RunningApp, person: Person) -> None:
    assert (await prove(app.person("users:write"), person, person.cpf, 403))["code"] == "forbidden"
    operator = prover(app)
    assert (await prove(operator, app.person(), person.cpf, 404))["code"] == "user_not_found"
    for body in ({}, {"cpf": person.cpf}, {"cpf": "11111111111", "paper": "cnh"}, {"cpf": person.cpf, "paper": "foto"}):
        answer = await operator.post(f"/users/{person.id}/cpf-proof", body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), body


async def test_on_proof_the_cpf_leaves_the_account_that_only_typed_it(app: RunningApp, endpoints: Endpoints) -> None:
    squatter = await sign_in(await register(app, password="Outra7senhaForte"))
    rightful = await without_cpf(app)
    cpf = squatter.cpf
    await prove(prover(app), rightful, cpf)
    assert (await rightful.get("/users/me")).json()["cpf"] == cpf
    left = (await squatter.get("/users/me")).json()  # in the session that they had
    assert (left["cpf"], left["cpf_state"]) == (None, "moved")
    await app.work_off()
    assert endpoints.maildir is not None
    assert [message["Subject"] for message in mail_to(endpoints.maildir, squatter.email)] == ["O CPF saiu da sua conta"]
    by_cpf = await app.client.post("/auth/login", data={"username": cpf, "password": squatter.password})
    assert by_cpf.status_code == 401
    by_email = await app.client.post("/auth/login", data={"username": squatter.email, "password": squatter.password})
    assert by_email.status_code == 200

    taken = await squatter.call("PATCH", f"/users/{squatter.id}", json={"cpf": cpf})
    assert (taken.status_code, taken.json()["code"]) == (409, "cpf_taken")
    right = await squatter.call("PATCH", f"/users/{squatter.id}", json={"cpf": new_cpf()})
    assert (right.status_code, right.json()["cpf_state"]) == (200, "declared")


async def test_a_taken_cpf_names_the_ways_in_without_an_account(app: RunningApp, person: Person) -> None:
    answer = await app.client.post("/users/register", json=new_person() | {"cpf": person.cpf})
    assert (answer.status_code, answer.json()["code"]) == (409, "cpf_taken")
    assert answer.json()["ways"] == ["govbr", "employer_invitation", "operator"]
    assert "gov.br" in CpfTaken.detail


async def test_a_cpf_that_is_changed_is_not_proven_and_keeps_no_way_in(app: RunningApp, person: Person) -> None:
    await prove(prover(app), person, person.cpf)
    changed = await app.person("users:write").call("PATCH", f"/users/{person.id}", json={"cpf": new_cpf()})
    assert (changed.status_code, changed.json()["cpf_state"]) == (200, "declared")
    async with app.database.transaction() as tx:
        row = (await tx.execute(text("SELECT cpf_proven_by FROM users WHERE id = :id"), {"id": person.id})).one()
        assert row.cpf_proven_by is None


async def test_a_server_of_the_release_before_leaves_no_proof_of_another_cpf(app: RunningApp, person: Person) -> None:
    await prove(prover(app), person, person.cpf)
    async with app.database.transaction() as tx:
        await tx.execute(text("UPDATE users SET cpf = :cpf WHERE id = :id"), {"cpf": new_cpf(), "id": person.id})
        row = (await tx.execute(text("SELECT cpf_proven_at FROM users WHERE id = :id"), {"id": person.id})).one()
        assert row.cpf_proven_at is None


async def test_two_proofs_of_one_cpf_move_nobody(app: RunningApp) -> None:
    holder, claimant, operator = await register(app), await without_cpf(app), prover(app)
    await prove(operator, holder, holder.cpf)
    for _ in range(2):
        assert (await prove(operator, claimant, holder.cpf, 409))["code"] == "cpf_disputed"
    assert (await holder.get("/users/me")).json()["cpf_state"] == "proven"
    assert (await claimant.get("/users/me")).json()["cpf_state"] == "none"
    listed = [
        case
        for case in (await operator.get("/users/cpf-disputes", limit=100)).json()["items"]
        if case["holder_id"] == str(holder.id)
    ]
    assert [(case["claimant_id"], case["proven_by"]) for case in listed] == [(str(claimant.id), "operator")]
    assert (await claimant.get("/users/cpf-disputes")).status_code == 403

    # The operator decides for the claimant: one proof is removed, and the other moves the CPF.
    withdrawn = await operator.call("DELETE", f"/users/{holder.id}/cpf-proof")
    assert withdrawn.status_code == 204
    assert (await holder.get("/users/me")).json()["cpf_state"] == "declared"
    await prove(operator, claimant, holder.cpf)
    assert (await holder.get("/users/me")).json()["cpf_state"] == "moved"
    closed = await operator.post(f"/users/cpf-disputes/{listed[0]['id']}/close")
    assert (closed.status_code, closed.json()["code"]) == (404, "cpf_dispute_not_found")
    again = await operator.call("DELETE", f"/users/{holder.id}/cpf-proof")
    assert (again.status_code, again.json()["code"]) == (404, "cpf_proof_not_found")


async def test_a_case_is_closed_where_the_holder_is_right_and_not_by_one_of_the_two(app: RunningApp) -> None:
    holder, claimant, operator = await register(app), await without_cpf(app), prover(app)
    await prove(operator, holder, holder.cpf)
    await prove(operator, claimant, holder.cpf, 409)
    listed = (await operator.get("/users/cpf-disputes", limit=100)).json()["items"]
    case = next(item["id"] for item in listed if item["claimant_id"] == str(claimant.id))
    theirs = app.person("identity:prove", user_id=claimant.id)
    assert (await theirs.post(f"/users/cpf-disputes/{case}/close")).json()["code"] == "own_cpf_proof"
    assert (await operator.post(f"/users/cpf-disputes/{case}/close")).status_code == 204
    await prove(operator, claimant, holder.cpf, 409)
    listed = (await operator.get("/users/cpf-disputes", limit=100)).json()["items"]
    assert case not in [item["id"] for item in listed], "decided once"
    assert (await holder.get("/users/me")).json()["cpf_state"] == "proven"


async def test_another_cpf_is_not_proven_over_a_proven_one(app: RunningApp, person: Person) -> None:
    operator = prover(app)
    await prove(operator, person, person.cpf)
    assert (await prove(operator, person, new_cpf(), 409))["code"] == "cpf_differs"


async def test_an_erased_person_leaves_the_cpf_free_and_unproven(app: RunningApp, person: Person) -> None:
    await prove(prover(app), person, person.cpf)
    assert (await person.call("DELETE", f"/users/{person.id}")).status_code == 204
    back = await register(app, cpf=person.cpf)
    assert (await back.get("/users/me")).json()["cpf_state"] == "declared"
    assert (await prove(prover(app), person, person.cpf, 404))["code"] == "user_not_found"


@pytest.mark.parametrize("others", [7])
async def test_of_many_concurrent_proofs_of_a_cpf_one_wins(app: RunningApp, others: int) -> None:
    squatter = await register(app)
    people = [await without_cpf(app) for _ in range(others)]
    operator = prover(app)
    body = {"cpf": squatter.cpf, "paper": "rg"}
    answers = await asyncio.gather(*(operator.post(f"/users/{person.id}/cpf-proof", body) for person in people))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * (others - 1)
    async with app.database.transaction() as tx:
        owners = await tx.scalars(text("SELECT id FROM users WHERE cpf = :cpf"), {"cpf": squatter.cpf})
        assert len(owners.all()) == 1


@pytest.fixture
def strict(app: RunningApp) -> RunningApp:
    """The application with production's rules for a CPF that moves."""
    runtime = app.api.state.identity
    app.api.state.identity = replace(runtime, config=replace(runtime.config, development=False))
    return app


async def test_in_production_a_second_person_confirms_that_a_cpf_moves(strict: RunningApp) -> None:
    squatter, rightful, operator = await register(strict), await without_cpf(strict), prover(strict)
    order = {"cpf": squatter.cpf, "paper": "cin"}
    answers = [await operator.post(f"/users/{rightful.id}/cpf-proof", order, key="mover") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    waiting = answers[0].json()["pending"]
    assert answers[1].json() == answers[0].json()
    assert waiting["kind"] == "identity.cpf_proof"
    assert (await squatter.get("/users/me")).json()["cpf_state"] == "declared", "nothing moved"
    path = f"/pending/{waiting['id']}"
    assert squatter.cpf not in (await operator.get(path)).json()["summary"]

    assert (await operator.post(f"{path}/approve")).json()["code"] == "own_operation"
    gainer = strict.person("identity:prove", user_id=rightful.id)
    assert (await gainer.post(f"{path}/approve")).json()["code"] == "own_operation"
    same_cpf = strict.person("identity:prove", user_id=squatter.id)
    assert (await same_cpf.post(f"{path}/approve")).json()["code"] == "own_operation"
    assert (await strict.person("money:approve").post(f"{path}/approve")).status_code == 404
    checker = prover(strict)
    approved = await checker.post(f"{path}/approve")
    assert (approved.status_code, approved.json()["outcome"]["cpf_state"]) == (200, "proven")
    assert (await squatter.get("/users/me")).json()["cpf_state"] == "moved"
    async with strict.database.transaction() as tx:
        query = text("SELECT actor_id, details FROM audit_log WHERE action = 'cpf_proven' AND subject_id = :id")
        row = (await tx.execute(query, {"id": rightful.id})).one()
        assert (row.actor_id, row.details["approved_by"]) == (operator.id, str(checker.id))


async def test_a_move_that_nobody_may_make_any_more_fails_at_approval(strict: RunningApp) -> None:
    squatter, rightful, operator = await register(strict), await without_cpf(strict), prover(strict)
    order = {"cpf": squatter.cpf, "paper": "cin"}
    waiting = (await operator.post(f"/users/{rightful.id}/cpf-proof", order)).json()["pending"]
    await prove(operator, squatter, squatter.cpf)
    failed = await prover(strict).post(f"/pending/{waiting['id']}/approve")
    assert (failed.status_code, failed.json()["code"]) == (409, "pending_failed")
    assert failed.json()["reason"]["code"] == "cpf_disputed"
    assert (await squatter.get("/users/me")).json()["cpf_state"] == "proven"


async def test_in_production_one_person_proves_a_cpf_that_moves_from_nobody(strict: RunningApp) -> None:
    person, operator = await register(strict), prover(strict)
    await prove(operator, person, person.cpf)
    themselves = strict.person("identity:prove", user_id=person.id)
    assert (await prove(themselves, person, new_cpf(), 403))["code"] == "own_cpf_proof"
    assert (await prove(operator, person, new_cpf(), 409))["code"] == "cpf_differs"


async def test_two_people_prove_their_own_cpf_that_the_other_typed(app: RunningApp) -> None:
    """Each proof changes the other's account: both lock the accounts in one order."""
    operator = prover(app)
    for _ in range(5):
        one, other = await register(app), await register(app)
        answers = await asyncio.gather(
            operator.post(f"/users/{one.id}/cpf-proof", {"cpf": other.cpf, "paper": "rg"}),
            operator.post(f"/users/{other.id}/cpf-proof", {"cpf": one.cpf, "paper": "rg"}),
        )
        assert [answer.status_code for answer in answers] == [200, 200]
        assert (await one.get("/users/me")).json()["cpf"] == other.cpf
        assert (await other.get("/users/me")).json()["cpf"] == one.cpf


async def test_a_withdrawal_locks_people_before_their_case_as_a_proof_does(app: RunningApp) -> None:
    holder, claimant, operator = await register(app), await without_cpf(app), prover(app)
    await prove(operator, holder, holder.cpf)
    await prove(operator, claimant, holder.cpf, 409)
    case = text("SELECT id FROM cpf_disputes WHERE claimant_id = :id")
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')")

    async def withdraw(dispute_id: UUID) -> None:
        async with app.database.transaction() as tx:
            await disputes.withdraw_holders(tx, Principal(operator.id), dispute_id)

    async with app.database.transaction() as tx:
        dispute_id = await tx.scalar(case, {"id": claimant.id})
        await tx.execute(text("SELECT 1 FROM users WHERE id = :id FOR UPDATE"), {"id": holder.id})
        withdrawal = asyncio.create_task(withdraw(dispute_id))
        while not await tx.scalar(waiting):
            assert not withdrawal.done()
            await asyncio.sleep(0.005)
        await tx.execute(text("UPDATE cpf_disputes SET proven_by = proven_by WHERE id = :id"), {"id": dispute_id})
    await withdrawal
    assert (await holder.get("/users/me")).json()["cpf_state"] == "declared"


async def test_a_proof_and_registrations_with_the_cpf_at_once_leave_it_with_one(app: RunningApp) -> None:
    cpf, rightful = new_cpf(), await without_cpf(app)
    proof = prover(app).post(f"/users/{rightful.id}/cpf-proof", {"cpf": cpf, "paper": "rg"})
    bodies = [new_person() | {"cpf": cpf} for _ in range(3)]
    proven, *registered = await asyncio.gather(proof, *(app.client.post("/users/register", json=b) for b in bodies))
    assert proven.status_code in {200, 409}
    assert sum(answer.status_code == 201 for answer in registered) <= 1
    if proven.status_code == 409:
        assert proven.json()["code"] == "cpf_taken"
        await prove(prover(app), rightful, cpf)
    assert (await rightful.get("/users/me")).json()["cpf"] == cpf
