"""Topics and the pages that they link to; `tests/web/test_chat.py` follows each."""

import re

from carteira.assistant.knowledge import package
from carteira.assistant.pages import PAGES
from tests.support.app import RunningApp
from tests.support.chat import ChatUser

TITLES = {page.title for page in PAGES.values()}


def test_a_topics_page_is_one_that_its_answer_names() -> None:
    questions = [topic for topic in package() if topic.kind == "faq"]
    assert sum(topic.page is not None for topic in questions) > 60
    for topic in questions:
        named = set(re.findall('"([^"]+)"', topic.answer)) & TITLES
        leads = {PAGES[topic.page].title} if topic.page else set()
        assert not named or leads & named, topic.slug


async def test_an_answer_has_its_page(talker: ChatUser) -> None:
    answer = await talker.say("como troco minha senha?")
    assert answer["page"] == {"path": "/app/nova-senha", "title": "Trocar a senha"}
    assert (await talker.say("o que é cashback?"))["page"] is None


async def test_a_topic_with_an_unknown_page_is_refused(app: RunningApp) -> None:
    operator = app.person("assistant:read", "assistant:write")
    topic = {"title": "Onde fica", "answer": "Ali.", "phrases": ["onde fica isso"], "page": "/app/nada"}
    refused = await operator.client.put("/chatbot/topics/onde-fica", json=topic, headers=operator.headers)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "page"
