"""What happens in the modules reaches people by e-mail: once, in Portuguese, and nobody who is gone."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from carteira import documents
from carteira.embedded import Endpoints
from carteira.kit.values.clock import clock
from carteira.notices import STALE
from carteira.settings import Settings
from tests.background import mail_to, parts_of, work_off
from tests.identity.support import new_person
from tests.served import Served, Someone, serve


@pytest.fixture(scope="module")
def notices_url(new_database: Callable[[str], str]) -> str:
    return new_database("notices")


@pytest.fixture
async def served(notices_url: str, endpoints: Endpoints, tmp_path: Path) -> AsyncIterator[Served]:
    settings = Settings.model_validate(
        {
            "database_url": notices_url,
            "smtp_url": endpoints.smtp_url,
            "carteira_home": tmp_path,
            "redis_url": None,
            "carteira_modules": "documents,transit",
        }
    )
    async with serve(settings) as served:
        yield served


async def register(served: Served, name: str = "Maria <Açucena> da Silva") -> tuple[Someone, str]:
    body = new_person() | {"full_name": name}
    answer = await served.client.post("/users/register", json=body)
    assert answer.status_code == 201, answer.text
    return served.sign_in(user_id=UUID(answer.json()["id"])), body["email"]


async def first_card(person: Someone) -> str:
    number: str = (await person.get("/transport-cards")).json()["items"][0]["card_number"]
    return number


async def start_again(served: Served) -> None:
    """Make the follower forget its place, as a restored database may."""
    async with served.database.transaction() as tx:
        await tx.execute(text("DELETE FROM event_followers WHERE name = 'notices'"))


async def test_a_cancelled_card_is_told_of_once(served: Served, endpoints: Endpoints) -> None:
    person, email = await register(served)
    number = await first_card(person)
    assert (await person.post(f"/transport-cards/{number}/recharge", {"amount": 500})).status_code == 200
    assert (await person.post(f"/transport-cards/{number}/cancel")).status_code == 200
    for _ in range(2):
        await work_off(served.settings, served.database)
    (mail,) = mail_to(endpoints.maildir, email)
    assert mail["Subject"] == "Seu cartão de transporte foi cancelado"
    plain, html = parts_of(mail)
    assert plain.startswith("Olá, Maria.\n")
    for part in (plain, html):
        assert f"final {number[-4:]}" in part.replace("<strong>", "")
        assert number not in part
        assert "continua seu" in part
    await start_again(served)
    await work_off(served.settings, served.database)
    again = mail_to(endpoints.maildir, email)
    assert {message["Message-ID"] for message in again} == {mail["Message-ID"]}


async def expiring(served: Served, person: Someone, days: int) -> str:
    expires_on = (clock.today() + timedelta(days=days)).isoformat()
    body = {"document_type": "CNH", "document_number": "62472927637", "expires_on": expires_on}
    answer = await person.post("/documents", body)
    assert answer.status_code == 201, answer.text
    async with served.database.transaction() as tx:
        await documents.remind(tx)
    document_id: str = answer.json()["id"]
    return document_id


async def test_a_document_that_expires_is_told_of_once(served: Served, endpoints: Endpoints) -> None:
    person, email = await register(served)
    await expiring(served, person, 1)
    for _ in range(2):
        await work_off(served.settings, served.database)
    (mail,) = mail_to(endpoints.maildir, email)
    plain, html = parts_of(mail)
    for part in (plain, html.replace("<strong>", "").replace("</strong>", "")):
        assert "(CNH) vence amanhã: " in part
        assert "62472927637" not in part


async def test_what_is_gone_renewed_or_old_is_not_told_of(served: Served, endpoints: Endpoints) -> None:
    erased, erased_email = await register(served)
    number = await first_card(erased)
    await erased.post(f"/transport-cards/{number}/cancel")
    gone = await served.client.delete(f"/users/{erased.id}", headers=erased.headers)
    assert gone.status_code == 204, gone.text
    deleter, deleter_email = await register(served)
    document_id = await expiring(served, deleter, 5)
    await served.client.delete(f"/documents/{document_id}", headers=deleter.headers)
    late, late_email = await register(served)
    await late.post(f"/transport-cards/{await first_card(late)}/cancel")
    async with served.database.transaction() as tx:
        await tx.execute(
            text("UPDATE events SET occurred_at = :at WHERE payload ->> 'user_id' = :id"),
            {"at": clock.now() - STALE - timedelta(minutes=1), "id": str(late.id)},
        )
    await work_off(served.settings, served.database)
    for email in (erased_email, deleter_email, late_email):
        assert mail_to(endpoints.maildir, email) == []


async def test_a_proof_names_its_holder(served: Served) -> None:
    person, _ = await register(served, "João das Neves")
    document_id = await expiring(served, person, 90)
    made = await person.post(f"/documents/{document_id}/proof")
    assert made.status_code in {200, 201}, made.text
    checked = await served.client.get(made.json()["url"], headers={"accept": "application/json"})
    assert checked.json()["holder_name"] == "João das Neves"
    assert (await served.client.delete(f"/users/{person.id}", headers=person.headers)).status_code == 204
    assert "João" not in (await served.client.get(made.json()["url"])).text
