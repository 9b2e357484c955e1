"""Events of the modules reach people by e-mail: once, in Portuguese, and never an erased person."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from carteira import documents
from carteira.embedded import Endpoints
from carteira.kit.values.clock import clock
from carteira.modules import KIT_EMITS, REGISTRY
from carteira.notices import STALE
from tests.support import files
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.databases import NewDatabase
from tests.support.documents import upload
from tests.support.mail import mail_to, parts_of
from tests.support.people import Person, register


@pytest.fixture(scope="module")
def notices_url(new_database: NewDatabase) -> str:
    return new_database("notices")


@pytest.fixture
async def app(notices_url: str, endpoints: Endpoints, tmp_path: Path) -> AsyncIterator[RunningApp]:
    settings = settings_for(
        tmp_path, database_url=notices_url, smtp_url=endpoints.smtp_url, carteira_modules="documents,resellers,transit"
    )
    async with running_app(settings) as app:
        yield app
        await check_payloads(app)


async def check_payloads(app: RunningApp) -> None:
    """Compare emitted events with the registry's description of each topic."""
    told = [KIT_EMITS, *(entry.emits for entry in REGISTRY)]
    keys = {topic: sorted(payload) for emits in told for topic, payload in emits.items()}
    async with app.database.transaction() as tx:
        rows = await tx.execute(
            text(
                "SELECT DISTINCT topic, (SELECT array_agg(key ORDER BY key) FROM jsonb_object_keys(payload) key)"
                " FROM events"
            )
        )
    assert all(found == keys[topic] for topic, found in rows)


async def first_card(person: Person) -> str:
    number: str = (await person.get("/transport-cards")).json()["items"][0]["card_number"]
    return number


async def start_again(app: RunningApp) -> None:
    """Make the follower forget its place, as a restored database may."""
    async with app.database.transaction() as tx:
        await tx.execute(text("DELETE FROM event_followers WHERE name = 'notices'"))


async def test_a_cancelled_card_is_notified_once(app: RunningApp, endpoints: Endpoints) -> None:
    person = await register(app)
    email = person.email
    number = await first_card(person)
    assert (await person.post(f"/transport-cards/{number}/recharge", {"amount": 500})).status_code == 200
    assert (await person.post(f"/transport-cards/{number}/cancel")).status_code == 200
    for _ in range(2):
        await app.work_off()
    (mail,) = mail_to(endpoints.maildir, email)
    assert mail["Subject"] == "Seu cartão de transporte foi cancelado"
    plain, html = parts_of(mail)
    assert plain.startswith("Olá, Maria.\n")
    for part in (plain, html):
        assert f"final {number[-4:]}" in part.replace("<strong>", "")
        assert number not in part
        assert "continua seu" in part
    await start_again(app)
    await app.work_off()
    again = mail_to(endpoints.maildir, email)
    assert {message["Message-ID"] for message in again} == {mail["Message-ID"]}


async def emails_to(app: RunningApp, endpoints: Endpoints, email: str) -> dict[str, str]:
    """Return what a person was told so far: each e-mail's text by its subject."""
    await app.work_off()
    return {str(mail["Subject"]): parts_of(mail)[0] for mail in mail_to(endpoints.maildir, email)}


async def test_a_blocked_card_is_notified_and_an_ended_block_is_not(app: RunningApp, endpoints: Endpoints) -> None:
    person = await register(app)
    email = person.email
    number = await first_card(person)
    for action in ("block", "block"):
        assert (await person.post(f"/transport-cards/{number}/{action}")).status_code == 200
    letters = await emails_to(app, endpoints, email)
    assert list(letters) == ["Seu cartão de transporte foi bloqueado"]
    assert f"final {number[-4:]} " in letters["Seu cartão de transporte foi bloqueado"]
    for action in ("unblock", "block", "unblock"):
        assert (await person.post(f"/transport-cards/{number}/{action}")).status_code == 200
    await emails_to(app, endpoints, email)
    subjects = [str(mail["Subject"]) for mail in mail_to(endpoints.maildir, email)]
    assert subjects == ["Seu cartão de transporte foi bloqueado"] + ["Seu cartão de transporte foi desbloqueado"] * 2


async def test_a_reseller_is_notified_of_decisions_and_the_months_cashback(
    app: RunningApp, endpoints: Endpoints
) -> None:
    person = await register(app)
    email = person.email
    assert (await person.post("/resellers")).status_code == 201
    reseller, operator = app.person("reseller", user_id=person.id), app.person("purchases:approve")
    for code, verdict, body in (("n1", "approve", None), ("n2", "reject", {"reason": "Nota ilegível"})):
        bought = {"code": code, "amount": 100_000, "date": "2026-01-15", "cpf": person.cpf}
        made = await reseller.post("/purchases", bought)
        assert made.status_code == 201, made.text
        decided = await operator.post(f"/purchases/{made.json()['id']}/{verdict}", body)
        assert decided.status_code == 200, decided.text
    letters = await emails_to(app, endpoints, email)
    assert "compra n1, de R$ 1.000,00, foi aprovada" in letters["Sua compra foi aprovada"]
    assert "compra n2, de R$ 1.000,00, foi reprovada" in letters["Sua compra foi reprovada"]
    assert "Motivo: Nota ilegível\n" in letters["Sua compra foi reprovada"]
    for _ in range(2):
        assert (await operator.post("/cashback/months/2026-01/close")).status_code == 200
    letters = await emails_to(app, endpoints, email)
    assert "O mês de janeiro de 2026 foi fechado: R$ 100,00 de" in letters["Seu cashback do mês foi creditado"]
    assert len(mail_to(endpoints.maildir, email)) == 3


async def test_nobody_is_notified_of_an_erased_reseller(app: RunningApp, endpoints: Endpoints) -> None:
    person = await register(app)
    email = person.email
    assert (await person.post("/resellers")).status_code == 201
    reseller, operator = app.person("reseller", user_id=person.id), app.person("purchases:approve")
    bought = {"code": "n3", "amount": 1_000, "date": "2026-03-15", "cpf": person.cpf}
    made = await reseller.post("/purchases", bought)
    await operator.post(f"/purchases/{made.json()['id']}/reject", {"reason": "Repetida"})
    gone = await app.client.delete(f"/users/{person.id}", headers=person.headers)
    assert gone.status_code == 204, gone.text
    assert await emails_to(app, endpoints, email) == {}


async def expiring(app: RunningApp, person: Person, days: int) -> str:
    expires_on = (clock.today() + timedelta(days=days)).isoformat()
    body = {"document_type": "CNH", "document_number": "62472927637", "expires_on": expires_on}
    answer = await person.post("/documents", body)
    assert answer.status_code == 201, answer.text
    async with app.database.transaction() as tx:
        await documents.remind(tx)
    document_id: str = answer.json()["id"]
    return document_id


async def test_an_expiring_document_is_notified_once(app: RunningApp, endpoints: Endpoints) -> None:
    person = await register(app)
    email = person.email
    await expiring(app, person, 1)
    for _ in range(2):
        await app.work_off()
    (mail,) = mail_to(endpoints.maildir, email)
    plain, html = parts_of(mail)
    for part in (plain, html.replace("<strong>", "").replace("</strong>", "")):
        assert "(CNH) vence amanhã: " in part
        assert "62472927637" not in part


async def test_decisions_on_documents_are_notified(app: RunningApp, endpoints: Endpoints) -> None:
    person, operator = await register(app), app.person("documents:review")

    async def decide(verb: str, **words: str) -> None:
        document = (await upload(person, files.pdf())).json()
        body = words | {"updated_at": document["updated_at"]}
        answer = await operator.post(f"/documents/reviews/{document['id']}/{verb}", body)
        assert answer.status_code == 200, answer.text

    await decide("review", compared="Foto com a pessoa")
    await decide("refuse", reason="A foto está ilegível")
    letters = await emails_to(app, endpoints, person.email)
    assert set(letters) == {"Um documento seu foi conferido", "Um documento seu foi recusado"}
    assert "Motivo: A foto está ilegível\n" in letters["Um documento seu foi recusado"]
    accesses = (await person.get("/users/me/accesses")).json()["items"]
    assert accesses == []  # a decision is an act and shows in the audit; no look was recorded
    await operator.get("/documents/reviews", state="refused", limit=100)
    seen = (await person.get("/users/me/accesses")).json()["items"]
    assert [(item["action"], item["what"]) for item in seen] == [("document_listed", "Um documento seu, em uma lista")]


async def test_deleted_renewed_and_old_documents_are_not_notified(app: RunningApp, endpoints: Endpoints) -> None:
    erased = await register(app)
    erased_email = erased.email
    number = await first_card(erased)
    await erased.post(f"/transport-cards/{number}/cancel")
    gone = await app.client.delete(f"/users/{erased.id}", headers=erased.headers)
    assert gone.status_code == 204, gone.text
    deleter = await register(app)
    deleter_email = deleter.email
    document_id = await expiring(app, deleter, 5)
    await app.client.delete(f"/documents/{document_id}", headers=deleter.headers)
    late = await register(app)
    late_email = late.email
    await late.post(f"/transport-cards/{await first_card(late)}/cancel")
    async with app.database.transaction() as tx:
        await tx.execute(
            text("UPDATE events SET occurred_at = :at WHERE payload ->> 'user_id' = :id"),
            {"at": clock.now() - STALE - timedelta(minutes=1), "id": str(late.id)},
        )
    await app.work_off()
    for email in (erased_email, deleter_email, late_email):
        assert mail_to(endpoints.maildir, email) == []


async def test_a_proof_names_its_holder(app: RunningApp) -> None:
    person = await register(app, full_name="João das Neves")
    document_id = (await upload(person, files.pdf())).json()["id"]
    made = await person.post(f"/documents/{document_id}/proof")
    assert made.status_code in {200, 201}, made.text
    checked = await app.client.get(made.json()["url"], headers={"accept": "application/json"})
    assert checked.json()["holder_name"] == "João das Neves"
    assert (await app.client.delete(f"/users/{person.id}", headers=person.headers)).status_code == 204
    assert "João" not in (await app.client.get(made.json()["url"])).text
