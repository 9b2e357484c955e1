"""A document is vouched for by its owner's statement, or by an operator who saw it."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from carteira import documents
from carteira.documents import Vault
from carteira.kit.values.clock import clock
from tests.support import files
from tests.support.app import RunningApp
from tests.support.documents import FIELDS, upload
from tests.support.people import Person

CLAIM = "documents:review"


async def decide(operator: Person, document: dict[str, Any], verb: str = "review", **body: str) -> httpx.Response:
    words = {"compared": "Foto e nome com a pessoa"} if verb == "review" else {"reason": "A foto está ilegível"}
    return await operator.post(
        f"/documents/reviews/{document['id']}/{verb}", words | {"updated_at": document["updated_at"]} | body
    )


async def new_document(person: Person, **fields: str) -> dict[str, Any]:
    answer = await upload(person, files.pdf(), **fields)
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def state_of(person: Person, document: dict[str, Any]) -> str:
    state: str = (await person.get(f"/documents/{document['id']}")).json()["state"]
    return state


async def audit_of(app: RunningApp, person: Person) -> list[tuple[str, UUID]]:
    async with app.database.transaction() as tx:
        rows = await tx.execute(
            text("SELECT action, actor_id FROM audit_log WHERE subject_id = :id ORDER BY id"), {"id": person.id}
        )
        return [(action, actor) for action, actor in rows]


async def test_an_operator_reviews_the_seen_version_and_every_look_is_recorded(app: RunningApp) -> None:
    person, operator = app.person(), app.person(CLAIM)
    document = await new_document(person)
    assert (document["state"], document["decided_at"], document["refusal_reason"]) == ("declared", None, None)
    await person.post("/documents", FIELDS)  # without a file there is nothing to review

    async def waiting(state: str) -> list[str]:
        found: list[str] = []
        params: dict[str, str | int] = {"state": state, "limit": 100}
        while True:
            page = (await operator.get("/documents/reviews", **params)).json()
            found += [item["id"] for item in page["items"] if item["user_id"] == str(person.id)]
            if page["next_cursor"] is None:
                break
            params["cursor"] = page["next_cursor"]
        return found

    assert await waiting("declared") == [document["id"]]
    seen = (await operator.get(f"/documents/reviews/{document['id']}")).json()
    assert (seen["document_number"], seen["user_id"]) == (document["document_number"], str(person.id))
    link = await operator.post(f"/documents/reviews/{document['id']}/link")
    assert (await app.client.get(link.json()["url"])).content.startswith(b"%PDF")
    reviewed = await decide(operator, seen)
    assert reviewed.status_code == 200, reviewed.text
    assert (reviewed.json()["state"], reviewed.json()["decision"]) == ("reviewed", "Foto e nome com a pessoa")
    assert await waiting("declared") == []
    assert await waiting("reviewed") == [document["id"]]
    assert await state_of(person, document) == "reviewed"
    assert await audit_of(app, person) == [
        ("document_listed", operator.id),
        ("document_read", operator.id),
        ("document_file_read", operator.id),
        ("document_reviewed", operator.id),
        ("document_listed", operator.id),
    ]
    again = await decide(operator, seen)
    assert (again.status_code, again.json()["code"]) == (409, "document_already_decided")
    stale = await decide(app.person(CLAIM), seen, "refuse", state="declared")
    assert (stale.status_code, stale.json()["code"]) == (409, "document_already_decided")


async def test_a_refusal_says_why_and_a_change_brings_the_document_back(app: RunningApp) -> None:
    person, operator = app.person(), app.person(CLAIM)
    document = await new_document(person)
    refused = await decide(operator, document, "refuse")
    assert refused.status_code == 200, refused.text
    read = (await person.get(f"/documents/{document['id']}")).json()
    assert (read["state"], read["refusal_reason"]) == ("refused", "A foto está ilegível")
    proof = await person.post(f"/documents/{document['id']}/proof")
    assert (proof.status_code, proof.json()["code"]) == (409, "document_refused")
    file = {"file": ("novo.pdf", files.pdf(), "application/pdf")}
    replaced = await app.client.put(f"/documents/{document['id']}/file", files=file, headers=person.headers)
    assert (replaced.json()["state"], replaced.json()["refusal_reason"]) == ("declared", None)
    assert (await person.post(f"/documents/{document['id']}/proof")).status_code == 200


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"document_number": "34167211071"}, "declared"),
        ({"document_type": "outro"}, "declared"),
        ({"expires_on": "2031-01-01"}, "declared"),
        ({"file_name": "outro nome.pdf"}, "reviewed"),
        ({}, "reviewed"),
    ],
)
async def test_a_changed_reviewed_document_is_declared_again(
    app: RunningApp, change: dict[str, str], state: str
) -> None:
    person, operator = app.person(), app.person(CLAIM)
    document = await new_document(person)
    assert (await decide(operator, document)).status_code == 200
    changed = await app.client.put(f"/documents/{document['id']}", json=FIELDS | change, headers=person.headers)
    assert changed.status_code == 200, changed.text
    assert changed.json()["state"] == state


async def test_nobody_reviews_their_own_and_nobody_without_the_claim(app: RunningApp) -> None:
    operator, stranger = app.person(CLAIM), app.person("documents:read")
    document = await new_document(operator)
    path = f"/documents/reviews/{document['id']}"
    own = [
        await operator.get(path),
        await operator.post(f"{path}/link"),
        await decide(operator, document),
        await decide(operator, document, "refuse"),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in own] == [(403, "own_document")] * 4
    assert await state_of(operator, document) == "declared"
    for state in ("declared", "reviewed", "refused"):
        rows = (await operator.get("/documents/reviews", state=state, limit=100)).json()["items"]
        assert str(operator.id) not in {row["user_id"] for row in rows}
    refused = [
        await stranger.get("/documents/reviews"),
        await stranger.get(path),
        await stranger.post(f"{path}/link"),
        await decide(stranger, document),
        await decide(stranger, document, "refuse"),
    ]
    assert {answer.status_code for answer in refused} == {403}


async def test_a_decision_applies_to_the_seen_version(app: RunningApp) -> None:
    person, operator = app.person(), app.person(CLAIM)
    document = await new_document(person)
    file = {"file": ("novo.pdf", files.pdf(), "application/pdf")}
    await app.client.put(f"/documents/{document['id']}/file", files=file, headers=person.headers)
    stale = await decide(operator, document)
    assert (stale.status_code, stale.json()["code"]) == (409, "document_changed")
    assert await state_of(person, document) == "declared"
    bare = (await person.post("/documents", FIELDS)).json()
    unseen = await decide(operator, bare)
    assert (unseen.status_code, unseen.json()["code"]) == (404, "document_has_no_file")
    gone = await decide(operator, {"id": str(person.id), "updated_at": document["updated_at"]})
    assert (gone.status_code, gone.json()["code"]) == (404, "document_not_found")


@pytest.mark.parametrize(
    "body", [{"compared": " "}, {"compared": "x" * 501}, {"compared": "a\nb c"}, {"updated_at": "ontem"}, {"more": "x"}]
)
async def test_a_review_without_words_is_refused(app: RunningApp, body: dict[str, str]) -> None:
    person, operator = app.person(), app.person(CLAIM)
    document = await new_document(person)
    assert (await decide(operator, document, **body)).status_code == 422
    assert await state_of(person, document) == "declared"


async def test_a_review_and_a_concurrent_change_never_vouch_for_an_unseen_version(app: RunningApp) -> None:
    """In either order: a document that counts as reviewed has the number that the operator saw."""
    operator = app.person(CLAIM)
    for _ in range(10):
        person = app.person()
        document = await new_document(person)
        await asyncio.gather(
            decide(operator, document),
            app.client.put(
                f"/documents/{document['id']}",
                json=FIELDS | {"document_number": "34167211071"},
                headers=person.headers,
            ),
        )
        after = (await person.get(f"/documents/{document['id']}")).json()
        assert (after["state"], after["document_number"]) == ("declared", "34167211071")


async def test_a_proof_names_who_vouches_for_the_document(app: RunningApp, vault: Vault) -> None:
    person, operator = app.person(), app.person(CLAIM)
    names = {person.id: "Maria da Silva", operator.id: "Ana <Operadora>"}

    async def name(_tx: object, user_id: UUID) -> str | None:
        return names.get(user_id)

    vault.holder_name = name
    bare = (await person.post("/documents", FIELDS)).json()
    needs_file = await person.post(f"/documents/{bare['id']}/proof")
    assert (needs_file.status_code, needs_file.json()["code"]) == (409, "proof_needs_file")
    document = await new_document(person)
    clock.set(datetime.fromisoformat("2026-12-01T01:30:00+00:00"))
    url = (await person.post(f"/documents/{document['id']}/proof")).json()["url"]
    declared = (await app.client.get(url)).json()
    assert (declared["valid"], declared["state"], declared["reviewed_by"]) == (True, "declared", None)
    assert declared["checked_at"] == "2026-11-30T22:30:00-03:00"
    browser = {"accept": "text/html"}
    page = (await app.client.get(url, headers=browser, follow_redirects=True)).text
    assert "Declarado pelo titular, não conferido" in page
    assert "Válido" not in page
    assert "22h30, horário de São Paulo" in page
    assert (await decide(operator, document)).status_code == 200
    reviewed = (await app.client.get(url)).json()
    assert (reviewed["state"], reviewed["reviewed_by"]) == ("reviewed", "Ana <Operadora>")
    assert reviewed["reviewed_at"] == "2026-11-30T22:30:00-03:00"
    page = (await app.client.get(url, headers=browser, follow_redirects=True)).text
    assert "Conferido por Ana &lt;Operadora&gt;, " in page
    assert "Foto e nome" not in page
    clock.advance(timedelta(minutes=1))
    assert (await decide(operator, document, "refuse")).status_code == 200
    refused = (await app.client.get(url)).json()
    assert (refused["valid"], refused["state"], refused["reviewed_by"]) == (False, "refused", None)
    assert "Recusado na conferência" in (await app.client.get(url, headers=browser, follow_redirects=True)).text


async def test_the_export_has_the_decision(app: RunningApp) -> None:
    person, operator = app.person(), app.person(CLAIM)
    document = await new_document(person)
    await decide(operator, document, "refuse")
    async with app.database.transaction() as tx:
        (told,) = (await documents.export_person(tx, person.id))["documents"]
    assert (told["state"], told["decision"]) == ("refused", "A foto está ilegível")
    assert str(operator.id) not in str(told)
