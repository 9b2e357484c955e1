"""The wallet in Chromium: journeys on phone and desktop, resources loaded and blocked, accessibility."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import axe_playwright_python
import httpx
import pytest
from playwright.async_api import Browser, BrowserContext, Page, Request, ViewportSize, async_playwright

from carteira import demo
from carteira.demo import PASSWORD
from carteira.embedded import Endpoints
from tests.browser.conftest import CHROMIUM
from tests.browser.test_passkeys import CREATE, plug_in
from tests.support.benefits import AUTHORIZER, processor_headers, purchase
from tests.support.browser import call
from tests.support.databases import NewDatabase
from tests.support.oidc_provider import Provider
from tests.support.people import new_cpf, new_person
from tests.support.server import Server, running_server

MODULES = ("benefits", "transit", "resellers", "documents")
MARIA = "529.982.247-25"
PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1440, "height": 900}
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
RULES = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']"
COLOURS = "{type: 'rule', values: ['color-contrast']}"
"""The colours that another theme changes."""
LONG = "ESTABELECIMENTO COM NOME MUITO COMPRIDO DEMAIS LTDA"


@pytest.fixture(scope="module")
def server(
    endpoints: Endpoints, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory, provider: Provider
) -> Iterator[Server]:
    """The whole product with its demo people, at `localhost`."""
    url = new_database("wallet")
    asyncio.run(demo.seed(url, MODULES))
    with running_server(
        tmp_path_factory.mktemp("wallet"),
        workers=1,
        database_url=url,
        redis_url=endpoints.redis_url,
        smtp_url=endpoints.smtp_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
        carteira_modules=",".join(MODULES),
        log_level="warning",
        google_client_id="carteira-teste",
        google_client_secret="segredo",
        google_issuer=provider.url,
    ) as running:
        for reais, mcc, merchant in (("38.90", "5811", LONG), ("999999.00", "5811", "PANIFICADORA AURORA")):
            body = purchase("123", reais, mcc, merchant=merchant)
            httpx.post(running.url + AUTHORIZER, content=body, headers=processor_headers()).raise_for_status()
        running.url = running.url.replace("127.0.0.1", "localhost")
        yield running


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(viewport=PHONE, service_workers="block")
    yield context
    await context.close()


@pytest.fixture
async def page(context: BrowserContext) -> Page:
    return await context.new_page()


async def sign_in(page: Page, server: Server, name: str = MARIA, password: str = PASSWORD) -> None:
    await page.goto(server.url + "/app/entrar")
    await page.get_by_label("CPF ou e-mail").fill(name)
    await page.get_by_label("Senha", exact=True).fill(password)
    await page.get_by_role("button", name="Entrar", exact=True).click()
    await page.wait_for_url(server.url + "/app")


async def newcomer(server: Server) -> dict[str, str]:
    """Register a person by the API."""
    person = new_person()
    async with httpx.AsyncClient(base_url=server.url) as client:
        (await client.post("/users/register", json=person)).raise_for_status()
    return person


def listen(page: Page) -> list[str]:
    """Collect what the browser complains about."""
    said: list[str] = []

    def keep(kind: str, text: str) -> None:
        if kind in {"error", "warning"} and "blocked by Playwright" not in text:
            said.append(text)

    page.on("console", lambda message: keep(message.type, message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    return said


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_a_newcomer_registers_looks_around_and_signs_out(
    browser: Browser, server: Server, viewport: ViewportSize
) -> None:
    context = await browser.new_context(viewport=viewport, service_workers="block")
    page = await context.new_page()
    said = listen(page)
    person = new_person()
    await page.goto(server.url + "/")
    await page.get_by_role("link", name="Minha carteira").click()
    await page.get_by_role("link", name="Criar minha conta").click()
    await page.get_by_label("Nome completo").fill(person["full_name"])
    await page.get_by_label("CPF").fill(person["cpf"])
    await page.get_by_label("Data de nascimento").fill(person["birth_date"])
    await page.get_by_role("button", name="Continuar").click()
    await page.get_by_label("E-mail").fill(person["email"])
    await page.get_by_label("Celular com DDD").fill("(11) 98765-4321")
    await page.get_by_role("button", name="Continuar").click()
    await page.get_by_label("Crie uma senha").fill("Girassol")
    assert await page.locator("[data-met]").count() == 2
    await page.get_by_label("Crie uma senha").fill(PASSWORD)
    await page.get_by_role("button", name="Ver a senha").click()
    assert await page.get_by_label("Crie uma senha").get_attribute("type") == "text"
    await page.get_by_role("button", name="Criar conta").click()
    await page.get_by_role("heading", name="Maria").wait_for()
    await page.get_by_role("link", name="Extrato").click()
    await page.get_by_role("heading", name="Extrato").wait_for()
    await page.goto(server.url + "/app/menu")
    await page.get_by_role("button", name="Sair da conta").click()
    await page.get_by_text("Você saiu.").wait_for()
    await page.go_back()
    await page.get_by_role("heading", name="Entrar").wait_for()
    assert not said
    await context.close()


async def test_everything_works_without_scripts(browser: Browser, server: Server) -> None:
    context = await browser.new_context(viewport=PHONE, java_script_enabled=False)
    page = await context.new_page()
    await sign_in(page, server)
    await page.get_by_text("Panificadora Aurora").first.wait_for()
    await page.get_by_role("link", name="Entender e ver o que fazer").click()
    assert await page.locator("details[open] .why__lead").inner_text() != ""
    await page.get_by_role("link", name="Refeição", exact=True).click()
    await page.get_by_role("searchbox").fill("estabelecimento")
    await page.get_by_role("button", name="Buscar").click()
    assert "q=estabelecimento" in page.url
    assert "saldo=refeicao" in page.url
    assert await page.get_by_text("Estabelecimento com Nome").count() == 1
    await page.goto(server.url + "/app/menu")
    await page.get_by_role("button", name="Escuro").click()
    assert await page.locator("html").get_attribute("data-theme") == "dark"
    await page.get_by_role("button", name="Sair da conta").click()
    await page.goto(server.url + "/app")
    assert "/app/entrar" in page.url
    await context.close()


async def test_a_first_page_is_light_and_the_next_ones_lighter(context: BrowserContext, server: Server) -> None:
    page = await context.new_page()
    devtools = await context.new_cdp_session(page)
    await devtools.send("Network.enable")
    taken: list[float] = []
    devtools.on("Network.loadingFinished", lambda event: taken.append(event["encodedDataLength"]))
    hosts: set[str] = set()

    def note(request: Request) -> None:
        hosts.add(request.url.split("/")[2])

    page.on("request", note)

    async def weigh(path: str) -> float:
        taken.clear()
        await page.goto(server.url + path, wait_until="networkidle")
        return sum(taken)

    async with page.expect_response(re.compile(r"/htmx\.min\.js$")):
        first = await weigh("/app/entrar")
    assert 20_000 < first <= 60_000
    await sign_in(page, server)
    for path in ("/app", "/app/extrato", "/app/menu", "/app/dados", "/app/dados/cadastro", "/app/acesso", "/app"):
        assert 0 < await weigh(path) <= 15_000, path
    assert hosts == {server.url.split("/")[2]}


async def violations(page: Page, rules: str = RULES) -> list[str]:
    """Return axe's findings on the page in its present state."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE)
    found = await page.evaluate(f"axe.run(document, {{runOnly: {rules}, resultTypes: ['violations']}})")
    return [f"{item['id']}: {[node['html'][:160] for node in item['nodes']]}" for item in found["violations"]]


async def wide_by(page: Page) -> int:
    wide: int = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return wide


async def test_a_wrong_form_moves_the_focus_to_its_errors(page: Page, server: Server) -> None:
    await page.goto(server.url + "/app/criar-conta")
    await page.get_by_label("Nome completo").fill("Só")
    await page.get_by_label("Data de nascimento").fill("1990-05-17")
    await page.get_by_role("button", name="Continuar").click()
    name = page.get_by_label("Nome completo")
    assert await name.get_attribute("aria-invalid") == "true"
    described = await name.get_attribute("aria-describedby")
    assert described
    assert await page.locator(f"#{described.split(maxsplit=1)[0]}").inner_text() == "Informe nome e sobrenome."
    assert await name.evaluate("field => field === document.activeElement")


async def test_a_passkey_signs_in_on_the_page(page: Page, server: Server) -> None:
    await page.goto(server.url + "/docs")
    await plug_in(page)
    person = new_person()
    assert (await call(page, "POST", "/users/register", person))[0] == 201
    login = {"username": person["cpf"], "password": person["password"]}
    async with httpx.AsyncClient(base_url=server.url) as client:
        token = (await client.post("/auth/login", data=login)).json()["access_token"]
    _, options = await call(page, "POST", "/auth/passkeys/register/options", token=token)
    body = {"credential": await page.evaluate(CREATE, options), "name": "Chromium"}
    assert (await call(page, "POST", "/auth/passkeys/register/verify", body, token))[0] == 201
    await page.goto(server.url + "/app/extrato")
    await page.get_by_role("button", name="Digital ou rosto").click()
    await page.wait_for_url(server.url + "/app/extrato")
    await page.get_by_role("heading", name="Extrato").wait_for()


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_a_passkey_is_made_identifies_its_person_and_is_deleted(
    browser: Browser, server: Server, viewport: ViewportSize
) -> None:
    context = await browser.new_context(viewport=viewport, service_workers="block")
    page = await context.new_page()
    said = listen(page)
    person = await newcomer(server)
    await sign_in(page, server, person["cpf"], person["password"])
    await plug_in(page)
    await page.goto(server.url + "/app/acesso")
    await page.get_by_role("link", name="Guardar uma chave de acesso").click()
    await page.get_by_label("Nome, para").fill("<b>Meu</b> celular")
    await page.get_by_role("button", name="Guardar chave").click()
    await page.get_by_text("Chave de acesso guardada.").wait_for()
    await page.goto(server.url + "/app/confirmar?para=/app/dados/baixar")
    await page.get_by_role("button", name="Digital ou rosto").click()
    await page.wait_for_url(server.url + "/app/dados/baixar")
    async with page.expect_download() as began:
        await page.get_by_role("button", name="Baixar meus dados").click()
    assert (await began.value).suggested_filename == "meus-dados.json"
    await page.goto(server.url + "/app/acesso")
    await page.get_by_role("link", name="<b>Meu</b> celular").click()
    await page.get_by_role("button", name="Apagar chave").click()
    await page.get_by_text("Chave de acesso apagada.").wait_for()
    assert not said
    await context.close()


async def test_own_data_are_seen_and_changed_without_scripts(browser: Browser, server: Server) -> None:
    context = await browser.new_context(viewport=PHONE, java_script_enabled=False)
    page = await context.new_page()
    person = await newcomer(server)
    await sign_in(page, server, person["cpf"], person["password"])
    await page.goto(server.url + "/app/menu")
    await page.get_by_role("link", name="Meus dados").click()
    await page.get_by_role("heading", name="Ninguém consultou seus dados").wait_for()
    await page.get_by_role("link", name="12 meses").click()
    await page.get_by_role("link", name="Consentimentos").click()
    await page.get_by_role("button", name="Aceitar novidades e ofertas", exact=True).click()
    await page.get_by_text("Consentimento dado.").wait_for()
    await page.goto(server.url + "/app/acesso/duas-etapas")
    await page.get_by_role("button", name="Começar").click()
    code = page.locator(".qr svg")
    assert await code.get_attribute("viewBox"), "it is drawn completely at any size"
    await page.goto(server.url + "/app/dados/encerrar")
    await page.get_by_label("Para confirmar").fill(person["email"])
    await page.get_by_role("button", name="Encerrar conta").click()
    await page.get_by_text("Conta encerrada.").wait_for()
    await context.close()


async def test_google_signs_up_and_in_on_the_page(page: Page, server: Server, provider: Provider) -> None:
    subject = uuid4().hex
    provider.knows(subject, name="Joana Prado", email=f"joana.{subject}@gmail.com", email_verified=True)

    async def go() -> None:
        await page.goto(server.url + "/app/menu")
        await page.get_by_role("link", name="Google").click()
        await page.fill("input[name=sub]", subject)
        await page.click("button:text-is('Authorize')")

    await go()
    assert await page.get_by_label("Nome completo").input_value() == "Joana Prado"
    await page.get_by_label("CPF").fill(new_cpf())
    await page.get_by_label("Data de nascimento").fill("1991-02-03")
    await page.get_by_label("Celular com DDD").fill("11 91234-5678")
    await page.get_by_role("button", name="Criar conta").click()
    await page.get_by_role("heading", name="Joana").wait_for()
    await page.goto(server.url + "/app/menu")
    await page.get_by_role("button", name="Sair da conta").click()
    await page.get_by_text("Você saiu.").wait_for()
    await go()
    await page.wait_for_url(server.url + "/app/menu")


async def test_without_a_network_a_page_says_so_and_keeps_nothing_of_anybody(browser: Browser, server: Server) -> None:
    context = await browser.new_context(viewport=PHONE)
    page = await context.new_page()
    await sign_in(page, server)
    await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    kept: list[str] = await page.evaluate(
        "(async () => { const found = []; for (const name of await caches.keys())"
        " for (const request of await (await caches.open(name)).keys()) found.push(new URL(request.url).pathname);"
        " return found; })()"
    )
    assert "/app/sem-internet" in kept
    assert not [path for path in kept if not re.match(r"/static/|/app/sem-internet$", path)]
    await context.set_offline(True)
    await page.goto(server.url + "/app")
    await page.get_by_role("heading", name="Sem internet").wait_for()
    await context.set_offline(False)
    await page.goto(server.url + "/app/menu")
    await page.get_by_role("button", name="Sair da conta").click()
    await page.get_by_text("Você saiu.").wait_for()
    assert await page.evaluate("caches.keys().then(names => names.length)") == 0
    await context.close()


async def test_no_other_site_frames_a_page(page: Page, server: Server, provider: Provider) -> None:
    await page.goto(provider.url)
    await page.evaluate(
        "address => { const frame = document.createElement('iframe'); frame.src = address;"
        " document.body.append(frame); return new Promise(done => { frame.onload = done; }); }",
        server.url + "/app/entrar",
    )
    framed = page.frames[-1]
    assert await framed.evaluate("document.querySelector('form') === null")


@pytest.mark.usefixtures("browser")
async def test_a_shared_computer_shows_nothing_after_a_sign_out(server: Server) -> None:
    """Going back finds no page in the browser's memory (which the other tests switch off), nor in its cache."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], ignore_default_args=["--disable-back-forward-cache"]
        )
        page = await browser.new_page()
        await sign_in(page, server)
        await page.goto(server.url + "/app/extrato")
        await page.goto(server.url + "/app/menu")
        await page.get_by_role("button", name="Sair da conta").click()
        await page.get_by_text("Você saiu.").wait_for()
        for _ in range(3):
            await page.go_back()
            await page.get_by_role("heading", name="Entrar").wait_for()
            assert await page.locator("main .money").count() == 0
        await browser.close()
