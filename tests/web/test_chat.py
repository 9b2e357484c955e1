"""The assistant as a page: options are buttons, what is said stays text, and a message sent twice acts once."""

from collections.abc import AsyncIterator

import pytest

from carteira.embedded import Endpoints
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.databases import NewDatabase
from tests.support.pages import PlainBrowser
from tests.support.people import register

HERE = "/app/assistente"


@pytest.fixture(scope="module")
async def app(
    new_database: NewDatabase, endpoints: Endpoints, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningApp]:
    settings = settings_for(
        tmp_path_factory.mktemp("chat"),
        database_url=new_database("chatpages"),
        redis_url=redis_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
        carteira_modules="transit,documents,assistant",
    )
    async with running_app(settings) as running:
        yield running


async def test_one_talks_by_buttons_and_by_words(app: RunningApp, browser: PlainBrowser) -> None:
    await browser.sign_in(await register(app))
    page = await browser.open(HERE)
    options = [value for form in page.forms for name, value in form.buttons if name == "message"]
    assert options[0] == "1. Consultar o saldo do meu cartão"
    answer = await browser.send(page, HERE, ("message", options[0]))
    assert answer.status == 200
    assert "R$ 0,00" in answer.text
    hostile = await browser.send(answer, HERE, message="<script>alert(1)</script>")
    assert "<script>alert" not in hostile.answer.text
    assert "<script>alert(1)</script>" in hostile.text
    assert hostile.answer.headers["cache-control"] == "no-store"
    again = await browser.follow(await browser.send(hostile, f"{HERE}/recomecar"))
    assert "Como posso ajudar?" in again.text


async def test_a_conversation_goes_on_where_it_stands(app: RunningApp, browser: PlainBrowser) -> None:
    await browser.sign_in(await register(app))
    page = await browser.open(HERE)
    asked = await browser.send(page, HERE, message="cancelar um cartão")
    resumed = await browser.open(HERE)
    for form in resumed.forms:
        for name, value in form.buttons:
            if name == "message":
                assert value in asked.text
