"""The knowledge base: imported once, edited by operators, versioned, and checked for gaps."""

import asyncio
import hashlib
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from carteira.assistant import intents, knowledge
from carteira.credit.training import BANDS
from carteira.documents import UPLOAD_SECONDS, links, service
from carteira.documents.service import REMIND_DAYS
from carteira.identity import config
from carteira.identity.passkeys import service as passkeys
from carteira.kit.db.session import Tx
from carteira.kit.security import codes, rate_limits
from carteira.kit.web import access
from carteira.transit.service import MAX_CARDS
from tests.support.app import RunningApp
from tests.support.chat import UNKNOWN, ChatUser

TOPICS = Path(__file__).parent / "evaluation" / "topics.json"


def test_every_topic_has_one_answer_and_many_phrases() -> None:
    questions = {topic.slug: topic for topic in knowledge.package() if topic.kind == "faq"}
    assert set(questions) == {item["topic"] for item in json.loads(TOPICS.read_text())}
    assert len(questions) >= 150
    for topic in questions.values():
        assert len(topic.answer) > 40, topic.slug
        assert len(topic.phrases) >= 8, topic.slug
        assert topic.action is None or topic.action in intents.ALL, topic.slug
    named = {topic.slug for topic in knowledge.package() if topic.kind == "intent"}
    assert named == set(intents.ALL) | {"menu", "thanks"}


def test_changed_texts_have_a_higher_version() -> None:
    """Otherwise servers that were there before would continue with their texts."""
    files = sorted(Path(knowledge.__file__).with_suffix("").glob("*.toml"))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    assert (knowledge.PACKAGE_VERSION, digest) == (9, "8ff24c81dd39ccd9"), "raise the version, and write both here"


async def test_the_package_is_imported_once_however_many_ask(app: RunningApp) -> None:
    async def read_version() -> int:
        async with app.database.transaction() as tx:
            return await knowledge.current_version(tx)

    assert len(set(await asyncio.gather(*(read_version() for _ in range(5))))) == 1
    async with app.database.transaction() as tx:
        count = await tx.scalar(text("SELECT count(*) FROM chatbot_topics WHERE from_package"))
        versions = await tx.scalar(text("SELECT count(*) FROM chatbot_topic_versions WHERE author_id IS NULL"))
    assert count == versions == len(knowledge.package())


async def test_an_upgrade_brings_new_texts_and_keeps_the_operators(tx: Tx) -> None:
    await knowledge.current_version(tx)
    await tx.execute(text("UPDATE chatbot_topics SET answer = 'velha' WHERE slug IN ('tarifas', 'ouvidoria')"))
    await tx.execute(text("UPDATE chatbot_topics SET from_package = false WHERE slug = 'ouvidoria'"))
    await tx.execute(text("UPDATE chatbot_knowledge SET package_version = 0"))
    await knowledge.current_version(tx)
    assert (await knowledge.topic(tx, "tarifas")).answer != "velha"
    assert (await knowledge.topic(tx, "tarifas")).version == 2
    assert (await knowledge.topic(tx, "ouvidoria")).answer == "velha"


async def test_an_operators_topic_is_answered_soon(app: RunningApp, talker: ChatUser) -> None:
    operator = app.person("assistant:read", "assistant:write")
    question = "posso pagar com conchinhas do mar?"
    await talker.say("5")
    assert (await talker.say(question))["message"] == UNKNOWN
    await talker.say("sair")
    body: dict[str, Any] = {
        "title": "Aceitam conchinhas do mar?",
        "answer": "Ainda não aceitamos conchinhas.",
        "phrases": ["posso pagar com conchinhas", "conchinhas do mar servem de pagamento"],
    }
    path = "/chatbot/topics/conchinhas"
    client, headers = operator.client, operator.headers
    assert (await client.put(path, json=body, headers=talker.headers)).status_code == 403
    assert (await client.put(path, json=body | {"action": "voar"}, headers=headers)).status_code == 422
    assert (await client.put(path, json=body, headers=headers)).json()["version"] == 1
    for _ in range(200):
        answer = await talker.say(question)
        if answer["message"] != UNKNOWN:
            break
        await asyncio.sleep(0.05)
    assert answer["message"] == body["answer"]
    assert (await client.put(path, json=body | {"active": False}, headers=headers)).json()["version"] == 2
    versions = (await operator.get(f"{path}/versions")).json()["items"]
    assert [(item["version"], item["active"], item["author_id"]) for item in versions] == [
        (2, False, str(operator.id)),
        (1, True, str(operator.id)),
    ]
    found = (await operator.get("/chatbot/topics", q="conchinha", limit=5)).json()["items"]
    assert [item["slug"] for item in found] == ["conchinhas"]
    assert (await operator.get("/chatbot/topics/nao-existe")).status_code == 404


async def test_topics_are_listed_page_by_page(app: RunningApp) -> None:
    operator = app.person("assistant:read")
    slugs: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await operator.get("/chatbot/topics", limit=100, **cursor)).json()
        slugs += [item["slug"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert slugs == sorted(set(slugs))
    assert len(slugs) >= len(knowledge.package())


async def test_unanswered_questions_are_kept_without_personal_data(app: RunningApp, talker: ChatUser) -> None:
    await talker.say(
        "meu nome é Joana Prado, cpf 529.982.247-25, joana@exemplo.com, fone 11 98765-4321: quantas luas tem Netuno?"
    )
    operator = app.person("assistant:read", "assistant:write")
    kept = (await operator.get("/chatbot/unanswered")).json()["items"][0]
    assert "luas" in kept["question"]
    for personal in ("529", "247", "Joana", "Prado", "exemplo.com", "98765"):
        assert personal not in kept["question"]
    path = f"/chatbot/unanswered/{kept['id']}"
    assert (await talker.client.delete(path, headers=talker.headers)).status_code == 403
    assert (await operator.client.delete(path, headers=operator.headers)).status_code == 204
    assert (await operator.client.delete(path, headers=operator.headers)).status_code == 404


def minutes(span: timedelta) -> int:
    return int(span.total_seconds() // 60)


# What an answer says, and where the product says it.
NUMBERS = {
    "limite-de-documentos": (service.MAX_DOCUMENTS, service.MAX_VERSIONS),
    "versoes-do-documento": (service.MAX_VERSIONS,),
    "lembrete-de-vencimento": REMIND_DAYS,
    "envio-de-documento-trava": ("cinco" if UPLOAD_SECONDS == 300 else UPLOAD_SECONDS,),
    "baixar-documento": ("cinco" if minutes(links.LIFETIME["file"]) == 5 else minutes(links.LIFETIME["file"]),),
    "comprovante-qr": ("dez" if minutes(links.LIFETIME["proof"]) == 10 else minutes(links.LIFETIME["proof"]),),
    "varios-cartoes-transporte": (MAX_CARDS,),
    "criar-passkey": (passkeys.MOST, minutes(access.RECENT)),
    "excluir-conta": (minutes(access.RECENT),),
    "sessao-expira-sozinha": (config.REFRESH_DAYS, config.SESSION_DAYS),
    "esqueci-senha": (minutes(codes.TTL),),
    "codigo-vencido-ou-errado": (minutes(codes.TTL), "cinco" if codes.MAX_TRIES == 5 else codes.MAX_TRIES),
    "codigo-email-nao-chega": (rate_limits.PER_RECOVERY.amount, rate_limits.WINDOW_MINUTES),
    "conta-bloqueada-tentativas": (rate_limits.PER_ACCOUNT.amount, rate_limits.WINDOW_MINUTES),
    "codigo-da-empresa-invalido": (minutes(codes.TTL),),
    "faixas-do-score": tuple(least for _, least, _ in BANDS if least),
}


@pytest.mark.parametrize("slug", NUMBERS)
def test_answers_match_the_product(slug: str) -> None:
    (topic,) = (topic for topic in knowledge.package() if topic.slug == slug)
    for number in NUMBERS[slug]:
        assert re.search(rf"\b{number}\b", topic.answer), number
