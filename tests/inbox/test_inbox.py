"""A person's notices are in one list, once each, newest first; nobody else reads it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from carteira.embedded import Endpoints
from carteira.inbox import texts
from carteira.inbox.service import UNREAD_DAYS
from carteira.kit.values.clock import clock
from carteira.modules import REGISTRY
from carteira.notices import TOPICS
from tests.support import files
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.benefits import AUTHORIZER, open_benefit_account, processor_headers, purchase
from tests.support.databases import NewDatabase
from tests.support.documents import upload
from tests.support.people import Person, register, sign_in


@pytest.fixture(scope="module")
def inbox_url(new_database: NewDatabase) -> str:
    return new_database("inbox")


@pytest.fixture
async def app(inbox_url: str, endpoints: Endpoints, tmp_path: Path) -> AsyncIterator[RunningApp]:
    settings = settings_for(
        tmp_path,
        database_url=inbox_url,
        smtp_url=endpoints.smtp_url,
        carteira_modules="benefits,documents,resellers,transit",
    )
    async with running_app(settings) as app:
        yield app
    clock.run()


async def listed(person: Person, **params: str | int) -> list[dict[str, Any]]:
    answer = await person.get("/inbox", **params)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def unread(person: Person) -> int:
    count: int = (await person.get("/inbox/unread")).json()["unread"]
    return count


async def blocked_card(person: Person) -> str:
    number: str = (await person.get("/transport-cards")).json()["items"][0]["card_number"]
    assert (await person.post(f"/transport-cards/{number}/block")).status_code == 200
    return number


async def test_a_newcomer_gets_no_notice(app: RunningApp) -> None:
    person = await register(app)
    assert await listed(person) == []
    assert await unread(person) == 0


async def test_each_source_has_its_notices_newest_first(app: RunningApp) -> None:
    person = await register(app)
    number = (await person.get("/transport-cards")).json()["items"][0]["card_number"]
    assert (await person.post(f"/transport-cards/{number}/recharge", {"amount": 1_000})).status_code == 200
    account = await open_benefit_account(app.operator(), user_id=person.id, MEAL=3_250)
    bought = purchase(account, "38.90", "5811", merchant="PANIFICADORA AURORA")
    refused = await app.client.post(AUTHORIZER, content=bought, headers=processor_headers())
    assert refused.json()["code"] == "51"
    operator = await register(app, full_name="Davi Rocha")
    looked = await app.person("users:read", user_id=operator.id).get(f"/users/{person.id}")
    assert looked.status_code == 200, looked.text
    password = {"current_password": person.password, "new_password": "Margarida8azul"}
    changed = await (await sign_in(person)).call("PUT", "/users/me/password", json=password)
    assert changed.status_code == 204, changed.text
    told = await listed(person)
    assert [item["topic"] for item in told] == [
        "account.password_changed",
        "look.user_read",
        "benefits.declined",
        "benefits.credit",
        "transit.recharged",
    ]
    password_changed, look, declined, credit, recharged = told
    assert password_changed["page"] == "/app/acesso"
    assert look["title"] == "Davi Rocha consultou seus dados"
    assert look["text"] == "Seu cadastro."
    assert declined["title"] == "Sua compra de R$ 38,90 não passou"
    assert declined["text"] == "Panificadora Aurora: nada foi cobrado. Abra para ver por quê."
    assert (credit["title"], credit["text"]) == ("Crédito do benefício: R$ 32,50", "No saldo de Refeição.")
    assert recharged["title"] == "Recarga de R$ 10,00 no seu cartão de transporte"
    assert all(item["unread"] for item in told)
    assert await unread(person) == len(told)


async def test_a_cursor_goes_through_all_sources_once(app: RunningApp) -> None:
    person = await register(app)
    number = await blocked_card(person)
    account = await open_benefit_account(app.operator(), user_id=person.id, FOOD=100, MEAL=100, CASH=100)
    for action in ("unblock", "block", "unblock"):
        assert (await person.post(f"/transport-cards/{number}/{action}")).status_code == 200
        await app.client.post(AUTHORIZER, content=purchase(account, "9.00"), headers=processor_headers())
    whole = await listed(person)
    assert len(whole) == 10
    seen: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await person.get("/inbox", limit=1, **cursor)).json()
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == whole
    assert len({item["id"] for item in seen}) == len(seen)


async def test_read_notices_stay_read_and_later_ones_are_new(app: RunningApp) -> None:
    person = await register(app)
    number = await blocked_card(person)
    (first,) = await listed(person)
    for until in (first["id"], first["id"]):
        assert (await person.post("/inbox/read", {"until": until})).status_code == 204
    assert await unread(person) == 0
    assert (await person.post(f"/transport-cards/{number}/unblock")).status_code == 200
    second, former = await listed(person)
    assert (second["unread"], former["unread"]) == (True, False)
    beyond = "ffffffff-ffff-7fff-bfff-ffffffffffff"
    assert (await person.post("/inbox/read", {"until": beyond})).status_code == 204
    assert await unread(person) == 0
    await blocked_card(person)
    assert await unread(person) == 1, "marking the last instant reads no future notice"
    older = "00000000-0000-7000-8000-000000000000"
    assert (await person.post("/inbox/read", {"until": older})).status_code == 204
    assert await unread(person) == 1, "a read notice does not become unread"


async def test_news_of_last_month_count_as_read(app: RunningApp) -> None:
    person = await register(app)
    await blocked_card(person)
    assert await unread(person) == 1
    clock.advance(timedelta(days=UNREAD_DAYS + 1))
    assert await unread(person) == 0


async def test_a_list_is_its_persons_alone(app: RunningApp) -> None:
    person, other = await register(app), await register(app)
    await blocked_card(person)
    assert await listed(other) == []
    assert await listed(app.person("*")) == []
    (notice,) = await listed(person)
    assert (await other.post("/inbox/read", {"until": notice["id"]})).status_code == 204
    assert await unread(person) == 1
    assert (await app.client.get("/inbox")).status_code == 401


@pytest.mark.parametrize("body", [None, {}, {"until": "ontem"}, {"until": 7}, {"until": str(uuid4()), "more": 1}])
async def test_invalid_marks_are_refused(app: RunningApp, body: object) -> None:
    person = await register(app)
    answer = await person.post("/inbox/read", body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "invalid_input"


async def test_a_decided_document_leads_to_its_page(app: RunningApp) -> None:
    person = await register(app)
    document = (await upload(person, files.pdf(2_000))).json()
    refusal = {"reason": "Foto escura", "updated_at": document["updated_at"]}
    decided = await app.person("documents:review").post(f"/documents/reviews/{document['id']}/refuse", refusal)
    assert decided.status_code == 200, decided.text
    refused = next(item for item in await listed(person) if item["topic"] == "documents.refused")
    assert refused["page"] == f"/app/documentos/{document['id']}"


async def test_an_erased_person_leaves_no_mark(app: RunningApp) -> None:
    person = await register(app)
    await blocked_card(person)
    (notice,) = await listed(person)
    assert (await person.post("/inbox/read", {"until": notice["id"]})).status_code == 204
    exported = (await person.get("/users/me/data")).json()
    assert exported["inbox"]["read_at"]
    assert (await person.call("DELETE", f"/users/{person.id}")).status_code == 204


def test_every_topic_with_an_email_has_a_notice() -> None:
    """Except operations that an operator proposed and somebody else decided, which are at `GET /pending`."""
    assert set(TOPICS) - set(texts.EVENTS) == {"operations.decided"}
    emitted = {topic: keys for entry in REGISTRY for topic, keys in entry.emits.items()}
    assert all("user_id" in emitted[topic] for topic in texts.EVENTS)
