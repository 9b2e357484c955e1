"""The assistant as a page: options are buttons, messages stay text, and a message sent twice acts once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from carteira.assistant.pages import PAGES
from carteira.embedded import Endpoints
from carteira.kit.values.clock import clock
from tests.support import files
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.databases import NewDatabase
from tests.support.pages import PlainBrowser, Shown
from tests.support.people import register

HERE = "/app/assistente"
PDF = ("cpf <b>.pdf", files.pdf(), "application/pdf")


@pytest.fixture(scope="module")
async def app(
    new_database: NewDatabase, endpoints: Endpoints, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningApp]:
    settings = settings_for(
        tmp_path_factory.mktemp("chat"),
        database_url=new_database("chatpages"),
        redis_url=redis_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
        carteira_modules="transit,documents,assistant,benefits,resellers",
        assistant_vectors=False,
    )
    async with running_app(settings) as running:
        await running.api.state.assistant.model_cache.ready(running.database)  # it may take longer than a request may
        yield running


async def test_a_conversation_works_by_buttons_and_by_words(app: RunningApp, browser: PlainBrowser) -> None:
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


async def test_pages_that_answers_send_to_are_there(app: RunningApp, browser: PlainBrowser) -> None:
    await browser.sign_in(await register(app))
    for link in PAGES.values():
        page = await browser.open(link.path)
        assert page.status == 200, link
        assert f"<h1>{link.title}</h1>" in page.answer.text, link


async def test_an_answer_offers_its_page(app: RunningApp, browser: PlainBrowser) -> None:
    await browser.sign_in(await register(app))
    page = await browser.open(HERE)
    answer = await browser.send(page, HERE, message="como troco minha senha?")
    assert 'href="/app/nova-senha"' in answer.answer.text
    assert "Abrir Trocar a senha" in answer.text


async def test_repeated_messages_act_once_with_the_same_answer(app: RunningApp, browser: PlainBrowser) -> None:
    person = await register(app)
    await browser.sign_in(person)
    asked = await browser.send(await browser.open(HERE), HERE, message="coloca dez reais no cartão")
    assert "Recarregar R$ 10,00" in asked.text
    first = await browser.send(asked, HERE, message="sim")
    second = await browser.send(asked, HERE, message="sim")
    assert "O saldo agora é R$ 10,00" in first.text
    assert "O saldo agora é R$ 10,00" in second.text
    assert "R$ 10,00" in (await browser.send(second, HERE, message="qual meu saldo")).text


async def test_a_script_gets_the_exchange_alone_with_the_key_of_the_next(
    app: RunningApp, browser: PlainBrowser
) -> None:
    await browser.sign_in(await register(app))
    page = await browser.open(HERE)
    fields = page.form(HERE).fields | {"message": "oi"}
    answer = await browser.client.post(HERE, data=fields, headers={"HX-Request": "true"})
    assert "<html" not in answer.text
    assert 'data-turn="' in answer.text
    assert fields["pedido"] not in answer.text


async def test_a_message_that_is_too_long_is_not_lost_in_silence(app: RunningApp, browser: PlainBrowser) -> None:
    await browser.sign_in(await register(app))
    answer = await browser.send(await browser.open(HERE), HERE, message="a" * 4_001)
    assert "mais de 4.000 letras" in answer.text
    assert (await browser.send(answer, HERE, message="é " * 2_000)).status == 200


async def test_a_file_is_sent_in_the_chat(app: RunningApp, browser: PlainBrowser) -> None:
    await browser.sign_in(await register(app))
    asked = await browser.send(await browser.open(HERE), HERE, message="guarda meu cpf")
    asked = await browser.send(asked, HERE, message="529.982.247-25")
    (form,) = [form for form in asked.forms if form.action.startswith(f"{HERE}/arquivo/")]
    fields = {name: value for name, value in form.fields.items() if name != "file"}
    wrong = await browser.client.post(form.action, data=fields, files={"file": ("a.pdf", b"nada", "text/plain")})
    assert 'role="alert"' in wrong.text
    for _ in range(2):
        kept = Shown(await browser.client.post(form.action, data=fields, files={"file": PDF}))
        assert "guardado com o arquivo" in kept.text
        assert "<b>" not in kept.answer.text
    other = PlainBrowser(app)
    await other.sign_in(await register(app))
    theirs = (await other.send(await other.open(HERE), HERE, message="oi")).form(HERE).fields
    theirs.pop("sobre")
    assert (await other.client.post(form.action, data=theirs, files={"file": PDF})).status_code == 404


async def test_a_yes_belongs_to_the_question_that_its_page_showed(app: RunningApp, browser: PlainBrowser) -> None:
    await browser.sign_in(await register(app))
    first = await browser.send(await browser.open(HERE), HERE, message="coloca dez reais no cartão")
    await browser.send(await browser.open(HERE), HERE, message="sair")
    second = await browser.send(await browser.open(HERE), HERE, message="coloca cem reais no cartão")
    assert "Recarregar R$ 100,00" in second.text
    for said in ("sim", "1. Sim, recarregar", "voltar"):
        late = await browser.send(first, HERE, message=said, pedido=f"late {said}")
        assert "seguiu em outra tela" in late.text
        assert "Recarregar R$ 100,00" in late.text
    assert "O saldo agora é R$ 100,00" in (await browser.send(second, HERE, message="sim")).text
    assert "O saldo" not in (await browser.send(late, HERE, message="sim")).text


async def test_two_pages_that_say_yes_at_once_act_once(app: RunningApp, browser: PlainBrowser) -> None:
    await browser.sign_in(await register(app))
    await browser.send(await browser.open(HERE), HERE, message="coloca dez reais no cartão")
    tabs = [await browser.open(HERE) for _ in range(4)]
    answers = await asyncio.gather(*(browser.send(tab, HERE, message="sim") for tab in tabs))
    assert [answer.status for answer in answers] == [200] * 4
    assert sum("O saldo agora é R$ 10,00" in answer.text for answer in answers) == 1
    assert "R$ 10,00" in (await browser.send(await browser.open(HERE), HERE, message="qual meu saldo")).text


async def test_a_yes_of_a_page_that_was_left_open_confirms_nothing(app: RunningApp, browser: PlainBrowser) -> None:
    await browser.sign_in(await register(app), keep="sim")
    asked = await browser.send(await browser.open(HERE), HERE, message="coloca dez reais no cartão")
    clock.advance(timedelta(minutes=31))
    late = await browser.send(asked, HERE, message="1. Sim, recarregar")
    assert "parada por muito tempo" in late.text
    assert "R$ 0,00" in (await browser.send(late, HERE, message="qual meu saldo")).text
    asked = await browser.send(late, HERE, message="coloca dez reais no cartão", pedido="another")
    await browser.send(await browser.open("/app/menu"), "/app/sair")
    assert (await browser.send(asked, HERE, message="sim")).status == 403


async def test_a_key_that_comes_back_with_another_message_does_nothing(app: RunningApp, browser: PlainBrowser) -> None:
    await browser.sign_in(await register(app))
    asked = await browser.send(await browser.open(HERE), HERE, message="coloca dez reais no cartão")
    assert "nada foi recarregado" in (await browser.send(asked, HERE, message="não")).text
    reused = await browser.send(asked, HERE, message="sim")
    assert reused.status == 422
    assert "R$ 0,00" in (await browser.send(await browser.open(HERE), HERE, message="qual meu saldo")).text


async def test_a_file_of_more_than_a_megabyte_is_taken(app: RunningApp, browser: PlainBrowser) -> None:
    await browser.sign_in(await register(app))
    asked = await browser.send(await browser.open(HERE), HERE, message="guarda meu cpf")
    asked = await browser.send(asked, HERE, message="529.982.247-25")
    (form,) = [form for form in asked.forms if form.action.startswith(f"{HERE}/arquivo/")]
    fields = {name: value for name, value in form.fields.items() if name != "file"}
    large = ("foto.pdf", files.pdf() + b"\n" * (2 * 2**20), "application/pdf")
    assert (
        "guardado com o arquivo"
        in Shown(await browser.client.post(form.action, data=fields, files={"file": large})).text
    )
