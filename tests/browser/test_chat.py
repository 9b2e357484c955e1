"""The chat in Chromium: the messages in order, buttons, a file, and a message that got no answer."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.async_api import Browser, FilePayload, Route, ViewportSize, expect

from carteira.embedded import Endpoints
from tests.browser.test_wallet import DESKTOP, PHONE, listen, sign_in, violations, wide_by
from tests.support import files
from tests.support.databases import NewDatabase
from tests.support.people import PASSWORD, new_person
from tests.support.server import Server, running_server

PDF: FilePayload = {"name": "cpf <b>.pdf", "mimeType": "application/pdf", "buffer": files.pdf()}


@pytest.fixture(scope="module")
def server(
    endpoints: Endpoints, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with running_server(
        tmp_path_factory.mktemp("chat"),
        workers=1,
        database_url=new_database("chatbrowser"),
        redis_url=endpoints.redis_url,
        smtp_url=endpoints.smtp_url,
        carteira_modules="transit,documents,assistant",
        assistant_vectors="false",
        log_level="warning",
    ) as running:
        running.url = running.url.replace("127.0.0.1", "localhost")
        while "learning" in httpx.get(f"{running.url}/health/ready", timeout=60).text:
            pass  # each answer takes its time; training on a busy machine takes longer than a message may wait
        yield running


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_a_conversation_goes_on_in_one_page(browser: Browser, server: Server, viewport: ViewportSize) -> None:
    person = new_person()
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        (await client.post("/users/register", json=person)).raise_for_status()
    context = await browser.new_context(viewport=viewport, service_workers="block")
    page = await context.new_page()
    said = listen(page)
    await sign_in(page, server, person["cpf"], PASSWORD)
    await page.goto(f"{server.url}/app/assistente")
    field = page.get_by_label("Escreva sua mensagem")
    await page.evaluate("window.sameDocument = true")

    await field.fill("<img src=x onerror=alert(1)>")
    await field.press("Enter")
    log = page.get_by_role("log")
    await expect(log.locator(".bubble--me").last).to_have_text("<img src=x onerror=alert(1)>")
    await expect(log.locator("[data-waiting]")).to_have_count(0, timeout=25_000)

    await field.fill("coloca dez reais no cartão")
    await field.press("Enter")
    await page.get_by_role("button", name="Sim, recarregar").wait_for()

    async def lose_the_answer(route: Route) -> None:
        await route.fetch()
        await route.abort()

    await page.route("**/app/assistente", lose_the_answer, times=1)
    await page.get_by_role("button", name="Sim, recarregar").click()
    await page.get_by_role("button", name="Tentar de novo").click()
    await expect(log.locator(".bubble").last).to_contain_text("O saldo agora é R$ 10,00", timeout=25_000)

    await field.fill("guarda meu cpf")
    await field.press("Enter")
    await expect(log.locator(".bubble").last).to_contain_text("Qual é o número", timeout=25_000)
    await field.fill("529.982.247-25")
    await field.press("Enter")
    await page.get_by_label("Foto ou PDF").set_input_files(PDF)
    await page.get_by_role("button", name="Enviar o arquivo").click()
    await expect(log.locator(".bubble").last).to_contain_text("guardado com o arquivo", timeout=25_000)

    assert await page.evaluate("window.sameDocument") is True
    assert await wide_by(page) == 0
    assert await violations(page) == []
    assert [line for line in said if "ERR_FAILED" not in line] == []
    await context.close()
