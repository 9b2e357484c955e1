"""Transport and documents in Chromium: journeys on phone and desktop, and without scripts."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx
import pytest
from playwright.async_api import Browser, FilePayload, Page, ViewportSize

from carteira.embedded import Endpoints
from tests.browser.test_wallet import DESKTOP, PHONE, listen, sign_in
from tests.support import files
from tests.support.databases import NewDatabase
from tests.support.people import PASSWORD, new_person
from tests.support.server import Server, running_server

CNH = "62472927637"
PHOTO: FilePayload = {"name": "cnh frente <b>.png", "mimeType": "image/png", "buffer": files.png(60, 40)}


@pytest.fixture(scope="module")
def server(
    endpoints: Endpoints, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A city's product: transport and documents, at `localhost`."""
    with running_server(
        tmp_path_factory.mktemp("city"),
        workers=1,
        database_url=new_database("city"),
        redis_url=endpoints.redis_url,
        smtp_url=endpoints.smtp_url,
        carteira_modules="transit,documents",
        log_level="warning",
    ) as running:
        running.url = running.url.replace("127.0.0.1", "localhost")
        yield running


@dataclass
class Citizen:
    """A registered person with a token of the API."""

    cpf: str
    headers: dict[str, str]


@pytest.fixture
async def citizen(server: Server) -> AsyncIterator[Citizen]:
    person = new_person()
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        (await client.post("/users/register", json=person)).raise_for_status()
        login = {"username": person["cpf"], "password": person["password"]}
        token = (await client.post("/auth/login", data=login)).json()["access_token"]
        yield Citizen(person["cpf"], {"Authorization": f"Bearer {token}"})


async def enter(page: Page, server: Server, citizen: Citizen) -> None:
    await sign_in(page, server, citizen.cpf, PASSWORD)


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_a_card_is_recharged_blocked_and_replaced(
    browser: Browser, server: Server, citizen: Citizen, viewport: ViewportSize
) -> None:
    context = await browser.new_context(viewport=viewport, service_workers="block")
    page = await context.new_page()
    said = listen(page)
    await enter(page, server, citizen)
    await page.get_by_role("link", name="Transporte").first.click()
    await page.get_by_text("R$ 20", exact=True).click()
    await page.get_by_role("button", name="Recarregar").click()
    await page.get_by_text("Recarga feita.").wait_for()
    assert await page.locator(".tcard .money").get_attribute("value") == "2000"
    await page.get_by_role("button", name="Bloquear").click()
    await page.get_by_text("Cartão bloqueado. Seu saldo está guardado.").wait_for()
    await page.get_by_role("button", name="Desbloquear").click()
    await page.get_by_text("Cartão desbloqueado.").wait_for()
    await page.get_by_role("button", name="Pedir outro cartão").click()
    await page.get_by_text("Cartão novo pronto para usar.").wait_for()
    await page.get_by_role("navigation", name="Meus cartões").get_by_role("link").first.click()
    await page.get_by_role("link", name="Cancelar cartão").click()
    await page.get_by_role("button", name="Cancelar cartão").click()
    await page.get_by_text("Cartão cancelado.").wait_for()
    assert await page.locator(".tcard .money").get_attribute("value") == "2000"
    assert not said
    await context.close()


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_a_document_is_kept_shown_and_read(
    browser: Browser, server: Server, citizen: Citizen, viewport: ViewportSize
) -> None:
    context = await browser.new_context(viewport=viewport, service_workers="block")
    page = await context.new_page()
    said = listen(page)
    await enter(page, server, citizen)
    await page.get_by_role("link", name="Documentos").first.click()
    await page.get_by_role("link", name="Guardar documento").click()
    await page.get_by_label("Tipo").select_option("CNH")
    await page.get_by_label("Número").fill(CNH[:-1])
    large: FilePayload = {"name": "g.pdf", "mimeType": "application/pdf", "buffer": bytes(11 * files.MIB)}
    await page.get_by_label("Tirar foto ou escolher arquivo").set_input_files(large)
    await page.get_by_text("O arquivo tem 11 MB e o limite é 10 MB.").wait_for()
    await page.get_by_label("Tirar foto ou escolher arquivo").set_input_files(PHOTO)
    await page.get_by_text(PHOTO["name"]).wait_for()
    picture = page.locator("[data-thumb] img")
    await page.wait_for_function("document.querySelector('[data-thumb] img').naturalWidth === 60")
    assert (await picture.get_attribute("src") or "").startswith("blob:")
    await page.get_by_role("button", name="Guardar documento").click()
    await page.get_by_text("A CNH tem 11 números. Aqui há 10.").wait_for()
    await page.get_by_label("Número").fill(CNH)
    await page.get_by_role("button", name="Guardar documento").click()
    await page.get_by_text("Documento guardado.").wait_for()
    await page.get_by_text(PHOTO["name"]).wait_for()
    async with page.expect_download() as download:
        await page.get_by_role("link", name=PHOTO["name"]).click()
    assert (await (await download.value).path()).read_bytes() == PHOTO["buffer"]
    await page.get_by_role("link", name="Mostrar a CNH").click()
    await page.get_by_role("img", name="Código da prova da CNH").wait_for()
    await page.get_by_role("link", name="Ver como quem lê").click()
    await page.get_by_text("Declarado pelo titular, não conferido").wait_for()
    assert CNH not in await page.content()
    await page.go_back()
    await page.get_by_role("link", name="Fechar").click()
    await page.get_by_role("link", name="Apagar").click()
    await page.get_by_role("button", name="Apagar a CNH").click()
    await page.get_by_text("Documento apagado.").wait_for()
    assert not [text for text in said if "422" not in text], said
    await context.close()


async def test_both_work_without_scripts(browser: Browser, server: Server, citizen: Citizen) -> None:
    context = await browser.new_context(viewport=PHONE, java_script_enabled=False)
    page = await context.new_page()
    await enter(page, server, citizen)
    await page.goto(server.url + "/app/transporte")
    await page.get_by_label("Ou digite outro valor").fill("12,34")
    await page.get_by_role("button", name="Recarregar").click()
    assert await page.locator(".tcard .money").get_attribute("value") == "1234"
    await page.get_by_role("button", name="Bloquear").click()
    await page.get_by_role("button", name="Desbloquear").click()
    await page.goto(server.url + "/app/documentos/enviar")
    await page.get_by_label("Tipo").select_option("CNH")
    await page.get_by_label("Número").fill("1")
    assert await page.locator("input[type=file]").evaluate("field => getComputedStyle(field).opacity") == "1"
    await page.get_by_label("Tirar foto ou escolher arquivo").set_input_files(PHOTO)
    await page.get_by_role("button", name="Guardar documento").click()
    await page.get_by_text("A CNH tem 11 números. Aqui há 1.").wait_for()
    await page.get_by_label("Número").fill(CNH)
    await page.get_by_label("Tirar foto ou escolher arquivo").set_input_files(PHOTO)
    await page.get_by_role("button", name="Guardar documento").click()
    await page.get_by_text("Documento guardado.").wait_for()
    await page.get_by_role("link", name="Mostrar a CNH").click()
    await page.get_by_role("img", name="Código da prova da CNH").wait_for()
    await context.close()
