"""What happens in the modules reaches people by e-mail: once, in Portuguese, and nobody who is gone."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from carteira import documents
from carteira.embedded import Endpoints
from carteira.kit.values.clock import clock
from carteira.modules import REGISTRY
from carteira.notices import STALE
from carteira.settings import Settings
from tests.background import mail_to, parts_of, work_off
from tests.identity.support import new_person
from tests.served import Served, Someone, serve
from tests.support.databases import NewDatabase


@pytest.fixture(scope="module")
def notices_url(new_database: NewDatabase) -> str:
    return new_database("notices")


@pytest.fixture
async def served(notices_url: str, endpoints: Endpoints, tmp_path: Path) -> AsyncIterator[Served]:
    settings = Settings.model_validate(
        {
            "database_url": notices_url,
            "smtp_url": endpoints.smtp_url,
            "carteira_home": tmp_path,
            "redis_url": None,
            "carteira_modules": "documents,resellers,transit",
        }
    )
    async with serve(settings) as served:
        yield served
        await check_payloads(served)


async def check_payloads(served: Served) -> None:
    """Compare what was emitted with what the registry tells of each topic."""
    keys = {topic: sorted(payload) for entry in REGISTRY for topic, payload in entry.emits.items()}
    async with served.database.transaction() as tx:
        rows = await tx.execute(
            text(
                "SELECT DISTINCT topic, (SELECT array_agg(key ORDER BY key) FROM jsonb_object_keys(payload) key)"
                " FROM events"
            )
        )
    assert all(found == keys[topic] for topic, found in rows)


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


async def told(served: Served, endpoints: Endpoints, email: str) -> dict[str, str]:
    """Give what a person was told so far: the text of each e-mail by its subject."""
    await work_off(served.settings, served.database)
    return {str(mail["Subject"]): parts_of(mail)[0] for mail in mail_to(endpoints.maildir, email)}


async def test_a_blocked_card_is_told_of_and_a_block_that_is_over_is_not(served: Served, endpoints: Endpoints) -> None:
    person, email = await register(served)
    number = await first_card(person)
    for action in ("block", "block"):
        assert (await person.post(f"/transport-cards/{number}/{action}")).status_code == 200
    letters = await told(served, endpoints, email)
    assert list(letters) == ["Seu cartão de transporte foi bloqueado"]
    assert f"final {number[-4:]} " in letters["Seu cartão de transporte foi bloqueado"]
    for action in ("unblock", "block", "unblock"):
        assert (await person.post(f"/transport-cards/{number}/{action}")).status_code == 200
    await told(served, endpoints, email)
    subjects = [str(mail["Subject"]) for mail in mail_to(endpoints.maildir, email)]
    assert subjects == ["Seu cartão de transporte foi bloqueado"] + ["Seu cartão de transporte foi desbloqueado"] * 2


async def test_a_reseller_is_told_what_was_decided_and_what_the_month_brought(
    served: Served, endpoints: Endpoints
) -> None:
    person, email = await register(served)
    assert (await person.post("/resellers")).status_code == 201
    reseller, operator = served.sign_in("reseller", user_id=person.id), served.sign_in("purchases:approve")
    for code, verdict, body in (("n1", "approve", None), ("n2", "reject", {"reason": "Nota ilegível"})):
        bought = {"code": code, "amount": 100_000, "date": "2026-01-15", "cpf": await cpf_of(served, person.id)}
        made = await reseller.post("/purchases", bought)
        assert made.status_code == 201, made.text
        decided = await operator.post(f"/purchases/{made.json()['id']}/{verdict}", body)
        assert decided.status_code == 200, decided.text
    letters = await told(served, endpoints, email)
    assert "compra n1, de R$ 1.000,00, foi aprovada" in letters["Sua compra foi aprovada"]
    assert "compra n2, de R$ 1.000,00, foi reprovada" in letters["Sua compra foi reprovada"]
    assert "Motivo: Nota ilegível\n" in letters["Sua compra foi reprovada"]
    for _ in range(2):
        assert (await operator.post("/cashback/months/2026-01/close")).status_code == 200
    letters = await told(served, endpoints, email)
    assert "O mês de janeiro de 2026 foi fechado: R$ 100,00 de" in letters["Seu cashback do mês foi creditado"]
    assert len(mail_to(endpoints.maildir, email)) == 3


async def test_of_a_reseller_who_is_gone_nobody_is_told(served: Served, endpoints: Endpoints) -> None:
    person, email = await register(served)
    assert (await person.post("/resellers")).status_code == 201
    reseller, operator = served.sign_in("reseller", user_id=person.id), served.sign_in("purchases:approve")
    bought = {"code": "n3", "amount": 1_000, "date": "2026-03-15", "cpf": await cpf_of(served, person.id)}
    made = await reseller.post("/purchases", bought)
    await operator.post(f"/purchases/{made.json()['id']}/reject", {"reason": "Repetida"})
    gone = await served.client.delete(f"/users/{person.id}", headers=person.headers)
    assert gone.status_code == 204, gone.text
    assert await told(served, endpoints, email) == {}


async def cpf_of(served: Served, user_id: UUID) -> str:
    async with served.database.transaction() as tx:
        cpf: str = await tx.scalar(text("SELECT cpf FROM users WHERE id = :id"), {"id": user_id})
    return cpf


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
