"""Requests about a person's data: asked, listed, answered once by another operator, and gone with the person."""

from uuid import uuid4

from sqlalchemy import text

from carteira.identity.data_requests import service
from tests.support.app import RunningApp
from tests.support.machines import new_acting
from tests.support.people import Person, register, sign_in

OWN, ALL = "/users/me/data-requests", "/users/data-requests"
ASKED = {"kind": "copy", "message": "Quero uma cópia em papel."}


async def asked(person: Person) -> str:
    made = await person.post(OWN, ASKED)
    assert made.status_code == 201, made.text
    identifier: str = made.json()["id"]
    return identifier


async def test_a_person_asks_and_reads_the_answer(app: RunningApp) -> None:
    person = await sign_in(await register(app))
    request = await asked(person)
    mine = (await person.get(OWN)).json()["items"]
    assert [(one["id"], one["outcome"]) for one in mine] == [(request, None)]
    operator = app.person("users:read", "users:write")
    listed = (await operator.get(ALL, state="open", kind="copy", limit=100)).json()["items"]
    assert request in {one["id"] for one in listed}
    body = {"outcome": "fulfilled", "answer": "Enviada pelo correio."}
    answered = await operator.post(f"{ALL}/{request}/answer", body)
    assert (answered.status_code, answered.json()["outcome"]) == (200, "fulfilled")
    again = await operator.post(f"{ALL}/{request}/answer", body)
    assert (again.status_code, again.json()["code"]) == (409, "data_request_answered")
    assert (await person.get(OWN)).json()["items"][0]["answer"] == "Enviada pelo correio."
    notices = (await person.get("/inbox", limit=100)).json()["items"]
    assert "Respondemos o seu pedido sobre os seus dados" in {one["title"] for one in notices}
    looks = (await person.get("/users/me/accesses", limit=100)).json()["items"]
    assert "data_requests_listed" in {one["action"] for one in looks}


async def test_nobody_answers_their_own_request_or_without_the_right_to_write(app: RunningApp) -> None:
    operator = app.person("users:read", "users:write")
    somebody = await register(app)
    written = ASKED | {"kind": "erasure"}
    assert (await operator.post(f"/users/{somebody.id}/data-requests", written)).status_code == 403
    clerk = app.person("data_requests:write")
    made = await clerk.post(f"/users/{somebody.id}/data-requests", written)
    assert (made.status_code, made.json()["by_person"]) == (201, False)
    body = {"outcome": "refused", "answer": "Há saldo na conta."}
    path = f"{ALL}/{made.json()['id']}/answer"
    assert (await app.person("users:read").post(path, body)).status_code == 403
    writer = await register(app)
    itself = Person(app.client, writer.id, app.bearer("users:read", "users:write", user_id=writer.id), writer.cpf)
    own = await itself.post(f"{ALL}/{await asked(itself)}/answer", body)
    assert (own.status_code, own.json()["code"]) == (403, "own_data_request")
    assert (await operator.post(f"{ALL}/{uuid4()}/answer", body)).status_code == 404
    assert (await clerk.post(f"/users/{uuid4()}/data-requests", ASKED)).status_code == 404


async def test_nobody_answers_their_own_through_a_client_of_theirs(app: RunningApp) -> None:
    writer = await register(app)
    request = await asked(writer)
    body = {"outcome": "fulfilled", "answer": "Feito."}
    maker = Person(app.client, writer.id, app.bearer("*", user_id=writer.id), writer.cpf)
    machine = await new_acting(maker, "users:read", "users:write")
    own = await machine.post(f"{ALL}/{request}/answer", body)
    assert (own.status_code, own.json()["code"]) == (403, "own_data_request")
    others = await new_acting(app.operator(), "users:read", "users:write")
    assert (await others.post(f"{ALL}/{request}/answer", body)).status_code == 200


async def test_a_person_has_few_open_requests(app: RunningApp) -> None:
    person = await register(app)
    for _ in range(service.MOST_OPEN):
        await asked(person)
    late = await person.post(OWN, ASKED)
    assert (late.status_code, late.json()["code"]) == (409, "too_many_data_requests")


async def test_requests_are_exported_and_deleted_with_the_person(app: RunningApp) -> None:
    person = await sign_in(await register(app))
    await asked(person)
    held = (await person.get("/users/me/data")).json()["identity"]["data_requests"]
    assert [one["message"] for one in held] == [ASKED["message"]]
    gone = await person.call("DELETE", f"/users/{person.id}")
    assert gone.status_code == 204, gone.text
    async with app.database.transaction() as tx:
        left = await tx.scalar(text("SELECT count(*) FROM data_requests WHERE user_id = :id"), {"id": person.id})
    assert left == 0


async def test_requests_that_an_erasure_left_behind_are_deleted(app: RunningApp) -> None:
    person, other = await sign_in(await register(app)), await sign_in(await register(app))
    await asked(person)
    kept = await asked(other)
    async with app.database.transaction() as tx:  # as a server of the former release erases
        await tx.execute(
            text(
                "UPDATE users SET erased_at = now(), full_name = NULL, email = NULL, cpf = NULL, phone = NULL,"
                " password_hash = NULL, birth_date = NULL WHERE id = :id"
            ),
            {"id": person.id},
        )
    async with app.database.transaction() as tx:
        assert await service.forget_erased(tx) >= 1
    async with app.database.transaction() as tx:
        left = await tx.scalars(
            text("SELECT id::text FROM data_requests WHERE user_id IN (:erased, :other)"),
            {"erased": person.id, "other": other.id},
        )
        assert list(left) == [kept]
