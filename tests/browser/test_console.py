"""The console in Chromium: a story of each role that ships, on a desktop and a tablet, some by keyboard alone."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from uuid import uuid4

import httpx
import pytest
from playwright.async_api import Browser, Page
from validate_docbr import CNPJ

from carteira import demo
from carteira.benefits.models import FIRST_EMPLOYER
from carteira.embedded import Endpoints
from carteira.web.console.screens import GROUPS
from tests.browser.test_wallet import listen, sign_in, violations, wide_by
from tests.support.benefits import AUTHORIZER, processor_headers, purchase
from tests.support.browser import at_rest
from tests.support.credit import store_model
from tests.support.databases import NewDatabase, open_database
from tests.support.files import hostile_pdf
from tests.support.people import new_person
from tests.support.receiver import receiving
from tests.support.server import Server, running_server

pytestmark = pytest.mark.timeout(300)
MODULES = ("assistant", "benefits", "credit", "documents", "resellers", "transit")
THEMES: Iterator[Literal["light", "dark"]] = itertools.cycle(("light", "dark"))
DESKTOP, TABLET = {"width": 1440, "height": 900}, {"width": 820, "height": 1180}
each_size = pytest.mark.parametrize("size", [DESKTOP, TABLET], ids=["desktop", "tablet"])


def buy(server: Server, reais: str, merchant: str, mcc: str = "5811", account: str = "123") -> None:
    body = purchase(account, reais, mcc, merchant=merchant)
    httpx.post(server.url + AUTHORIZER, content=body, headers=processor_headers()).raise_for_status()


async def train(url: str) -> None:
    async with open_database(url, pool_size=1) as database:
        await store_model(database, "story", -15)


@pytest.fixture(scope="module")
def server(
    endpoints: Endpoints, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The whole product with its demo people; one server for all of these stories."""
    url = new_database("console_pages")
    asyncio.run(demo.seed(url, MODULES))
    asyncio.run(train(url))
    with running_server(
        tmp_path_factory.mktemp("console_pages"),
        workers=1,
        database_url=url,
        redis_url=endpoints.redis_url,
        smtp_url=endpoints.smtp_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
        carteira_modules=",".join(MODULES),
        assistant_vectors=False,
        log_level="warning",
    ) as running:
        buy(running, "38.90", "<b>PANIFICADORA</b> AURORA")
        buy(running, "99999.00", "UBER TRIP", "4121")
        yield running


@asynccontextmanager
async def at_desk(browser: Browser, server: Server, name: str, size: dict[str, int] = DESKTOP) -> AsyncIterator[Page]:
    """Open a page as a signed-in demo operator; the browser's console must stay empty."""
    context = await browser.new_context(viewport=size, service_workers="block")  # type: ignore[arg-type] # a plain dict
    page = await context.new_page()
    await sign_in(page, server, f"{name}@exemplo.com.br")
    said = listen(page)
    yield page
    assert not said, said
    await context.close()


async def looks_well(page: Page, *others: dict[str, int]) -> None:
    """Check the open page with axe, in light and dark alternately, and its width; in other sizes too."""
    size = page.viewport_size
    for shown in (size, *others):
        await page.set_viewport_size(shown)  # type: ignore[arg-type] # a plain dict
        theme = next(THEMES)
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        await at_rest(page)
        assert await violations(page) == [], (page.url, theme, shown)
        assert await wide_by(page) == 0, (page.url, shown)
    await page.set_viewport_size(size)  # type: ignore[arg-type] # it has one


async def entries(page: Page) -> set[str]:
    return set(await page.locator(".sidenav li a").all_inner_texts())


async def test_the_auditor_finds_a_decision_by_keyboard_alone_and_sees_new_ones_arrive(
    browser: Browser, server: Server
) -> None:
    async with at_desk(browser, server, "gilda") as page:
        for size in (DESKTOP, TABLET):
            await page.set_viewport_size(size)  # type: ignore[arg-type] # a plain dict
            await find_a_decision(page, server)
        await page.goto(server.url + "/console/auditoria")
        await looks_well(page, DESKTOP)
        assert (await page.request.get(server.url + "/console/papeis")).status == 403


async def find_a_decision(page: Page, server: Server) -> None:
    await page.goto(server.url + "/console/autorizacoes")
    assert "Papéis e permissões" not in await entries(page)
    await page.locator("[data-state]", has_text="Ao vivo").wait_for()
    buy(server, "12.34", "CHEGOU <i>AGORA</i>")
    await page.locator("tr.is-new", has_text="CHEGOU <i>AGORA</i>").wait_for()
    assert await page.locator("tbody i, tbody b").count() == 0
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await page.locator("#painel .panel").wait_for()
    assert "Respondemos" in await page.locator("#painel").inner_text()
    await looks_well(page)
    await page.keyboard.press("Escape")
    assert await page.locator("#painel .panel").count() == 0
    await page.keyboard.press("/")
    await page.keyboard.type("uber")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/console/autorizacoes?*estabelecimento=uber*")
    assert await page.locator("tbody tr").count() == 1
    await page.keyboard.press("?")
    assert await page.locator("#ajuda").is_visible()


async def new_employer(server: Server, operator: dict[str, str]) -> str:
    """Register an HR operator of a new employer that has one account; return the account."""
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        login = {"username": demo.ADMINISTRATOR.email, "password": demo.PASSWORD}
        signed = (await client.post("/auth/login", data=login)).raise_for_status().json()
        client.headers["Authorization"] = f"Bearer {signed['access_token']}"
        user_id = (await client.post("/users/register", json=operator)).raise_for_status().json()["id"]
        roles = (await client.get("/roles", params={"limit": 100})).raise_for_status().json()["items"]
        role = next(one["id"] for one in roles if one["description"] == "RH")
        (await client.put(f"/users/{user_id}/role", json={"role_id": role})).raise_for_status()
        body = {"cnpj": CNPJ().generate(), "name": "Confeitaria"}
        employer = (await client.post("/benefits/employers", json=body)).raise_for_status().json()["id"]
        (await client.put(f"/benefits/employers/{employer}/members/{user_id}")).raise_for_status()
        name = f"t-{uuid4()}"
        account = {"account": name, "user_id": user_id, "employer_id": employer}
        (await client.post("/benefits/accounts", json=account)).raise_for_status()
    return name


async def test_an_employers_first_authorization_arrives_in_an_empty_list(browser: Browser, server: Server) -> None:
    operator = new_person() | {"email": f"{uuid4()}@exemplo.com.br", "password": demo.PASSWORD}
    account = await new_employer(server, operator)
    async with at_desk(browser, server, operator["email"].partition("@")[0]) as page:
        await page.goto(server.url + "/console/autorizacoes")
        await page.locator("[data-state]", has_text="Ao vivo").wait_for()
        assert await page.locator("[data-rows]").is_hidden()
        buy(server, "12.34", "DE OUTRA EMPRESA")
        buy(server, "12.34", "A PRIMEIRA", account=account)
        await page.locator("tr.is-new", has_text="A PRIMEIRA").wait_for()
        assert await page.locator("tbody tr").count() == 1
        assert await page.get_by_text("Nenhuma autorização ainda").is_hidden()
        await looks_well(page, TABLET)


def sell(server: Server, day: date) -> str:
    """Have the demo reseller register a purchase of a past month; return the month."""
    helena = next(one for one in demo.PEOPLE if one.person.email.startswith("helena"))
    with httpx.Client(base_url=server.url, timeout=60) as client:
        login = {"username": helena.person.email, "password": demo.PASSWORD}
        signed = client.post("/auth/login", data=login).raise_for_status().json()
        client.headers["Authorization"] = f"Bearer {signed['access_token']}"
        purchase = {"code": f"NF-{uuid4().hex[:6]}", "amount": 50_000, "date": day.isoformat()}
        client.post("/purchases", json=purchase | {"cpf": helena.person.cpf}).raise_for_status()
    return f"{day:%Y-%m}"


async def test_the_approver_decides_purchases_with_the_keyboard(browser: Browser, server: Server) -> None:
    today = datetime.now(UTC).date()
    async with at_desk(browser, server, "elisa", TABLET) as page:
        await decide_a_purchase(page, server)
        await close_a_month(page, server, f"{today.replace(day=1) - timedelta(days=1):%Y-%m}")
        await page.set_viewport_size(DESKTOP)  # type: ignore[arg-type] # a plain dict
        month = sell(server, today - timedelta(days=150))
        await decide_a_purchase(page, server)
        await close_a_month(page, server, month)


async def decide_a_purchase(page: Page, server: Server) -> None:
    await page.goto(server.url + "/console")
    assert "compra a decidir" in await page.locator("main").inner_text()
    await looks_well(page)
    await page.get_by_role("link", name="compra a decidir").click()
    assert await page.locator("[data-bulk]").is_hidden()
    await page.keyboard.press("j")
    await page.keyboard.press("x")
    assert "1 marcada" in await page.locator("[data-bulk]").inner_text()
    await looks_well(page)
    await page.keyboard.press("a")
    await page.get_by_role("heading", name="Aprovar a compra").wait_for()
    await looks_well(page)
    await page.get_by_role("button", name="Aprovar").click()
    await page.get_by_text("1 aprovada.").wait_for()
    assert "Nada a decidir" in await page.locator("main").inner_text()


async def close_a_month(page: Page, server: Server, month: str) -> None:
    """Close a month, and adjust what it credited."""
    await page.goto(f"{server.url}/console/meses/{month}")
    await page.get_by_role("link", name=re.compile("Fechar .+…")).click()
    await page.get_by_role("button", name="Fechar").click()
    await page.get_by_text("fechado:").wait_for()
    await page.goto(server.url + "/console/revendedores")
    await page.get_by_role("link", name="Helena").click()
    await page.get_by_role("link", name="Ajustar").first.click()
    await page.get_by_label("O que houve").select_option("owing")
    await page.get_by_label("Quanto").fill("1,50")
    await page.get_by_label("Motivo").fill("Nota lançada em dobro")
    await looks_well(page)
    await page.get_by_role("button", name="Fazer o ajuste").click()
    await page.get_by_text("Ajuste feito").wait_for()
    assert "Espera o fechamento" in await page.locator("main").inner_text()
    await looks_well(page)


@each_size
async def test_hr_checks_a_file_and_sends_it(browser: Browser, server: Server, size: dict[str, int]) -> None:
    async with at_desk(browser, server, "clara", size) as page:
        await page.goto(server.url + "/console/recargas")
        assert not {"Auditoria", "Pessoas", "Compras"} & await entries(page)
        await page.get_by_label("Linhas, com títulos").fill("conta;categoria;valor\n123;FOOD;10,50\n999x;FOOD;1,00\n")
        await page.get_by_role("button", name="Conferir").click()
        await page.get_by_text("1 linha não pode ser creditada").wait_for()
        await looks_well(page)
        await page.get_by_role("button", name="Enviar 1 linha").click()
        await page.get_by_text("Creditado.").wait_for()
        await page.goto(server.url + "/console/contas")
        await looks_well(page)
        await page.get_by_role("link", name="123", exact=True).click()
        await page.get_by_role("heading", name="Conta 123").wait_for()
        await looks_well(page)
        assert (await page.request.get(f"{server.url}/console/empresas/{FIRST_EMPLOYER}/operadores")).status == 403


async def compare_a_hostile_pdf(page: Page, server: Server) -> None:
    """The newest document's PDF is drawn beside what was declared, and its script reaches nobody."""
    said: list[str] = []
    page.on("dialog", lambda dialog: said.append(dialog.message))
    async with receiving() as outside, httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        login = {"username": demo.PERSON.email, "password": demo.PASSWORD}
        signed = (await client.post("/auth/login", data=login)).raise_for_status().json()
        declared = {"document_type": "passaporte", "document_number": "FZ123456"}
        sent = await client.post(
            "/documents",
            data=declared,
            files={"file": ("passaporte.pdf", hostile_pdf(outside.url), "application/pdf")},
            headers={"Authorization": f"Bearer {signed['access_token']}"},
        )
        assert sent.status_code == 201, sent.text
        address = f"{server.url}/console/documentos/{sent.json()['id']}/comparar"
        await page.goto(address)
        assert "FZ123456" in await page.locator("main").inner_text()
        async with asyncio.timeout(60):
            while not any(frame.url.startswith("chrome-extension:") for frame in page.frames):  # noqa: ASYNC110 - the viewer announces nothing
                await asyncio.sleep(0.05)
        await looks_well(page)
        assert (page.url, len(page.context.pages)) == (address, 1)
        assert (outside.requests, said) == ([], [])


@each_size
async def test_the_attendant_helps_a_person_and_no_address_identifies_them(
    browser: Browser, server: Server, size: dict[str, int]
) -> None:
    async with at_desk(browser, server, "davi", size) as page:
        await page.goto(server.url + "/console/pessoas")
        await page.get_by_label("Nome, e-mail ou CPF inteiro").fill("529.982.247-25")
        await page.get_by_role("button", name="Filtrar").click()
        await page.get_by_role("link", name="Maria da Silva").wait_for()
        assert "529" not in page.url
        await looks_well(page)
        await page.get_by_role("link", name="Maria da Silva").click()
        await page.get_by_role("heading", name="Maria da Silva").wait_for()
        await looks_well(page)
        person = page.url
        await page.get_by_role("link", name="O que a pessoa vê").click()
        await page.get_by_role("heading", name="O que Maria da Silva vê").wait_for()
        assert "Últimos movimentos" in await page.locator("main").inner_text()
        await looks_well(page)
        await page.goto(person)
        await page.get_by_role("link", name="Aparelhos conectados").click()
        await page.get_by_role("heading", name="Aparelhos de Maria da Silva").wait_for()
        await looks_well(page)
        await page.goto(person)
        await page.get_by_role("link", name="Anotar pedido").click()
        await page.get_by_label("O que pede").select_option("copy")
        await page.get_by_label("O que a pessoa disse").fill("Quero uma cópia <b>de tudo</b>")
        await looks_well(page)
        await page.get_by_role("button", name="Anotar o pedido").click()
        await page.get_by_text("Pedido anotado.").wait_for()
        await looks_well(page)
        await compare_a_hostile_pdf(page, server)
        for path in ("pedidos", "cpfs-em-disputa", "atendimentos"):
            await page.goto(f"{server.url}/console/{path}")
            await looks_well(page)


@each_size
async def test_the_analyst_gives_a_purpose_before_a_cpf_and_proposes_a_model(
    browser: Browser, server: Server, size: dict[str, int]
) -> None:
    async with at_desk(browser, server, "fabio", size) as page:
        await page.goto(server.url + "/console")
        await page.goto(server.url + "/console/credito")
        assert "Autorizações" not in await entries(page)
        await page.get_by_label("Para que").select_option("credit_analysis")
        await page.get_by_label("CPF").fill("52998224725")
        await page.get_by_role("button", name="Consultar").click()
        await page.get_by_role("heading", name="Pontuação").wait_for()
        assert "52998224725" not in page.url
        await looks_well(page)
        await page.goto(server.url + "/console/modelos")
        await page.get_by_role("link", name="scorecard-story-15").click()
        await page.locator("#painel .panel").wait_for()
        await looks_well(page)
        await page.get_by_role("link", name="Pôr em vigor").click()
        await page.get_by_label("Motivo").fill("Doze meses de desfechos")
        await looks_well(page)
        await page.get_by_role("button", name="Pôr em vigor").click()
        await page.get_by_text("Enviado: outra pessoa aprova aqui.").wait_for()


async def test_the_administrator_changes_a_role_after_a_preview(browser: Browser, server: Server) -> None:
    async with at_desk(browser, server, "admin") as page:
        for size, told in ((DESKTOP, "Passa a trazer"), (TABLET, "Deixa de trazer")):
            await page.set_viewport_size(size)  # type: ignore[arg-type] # a plain dict
            await page.goto(server.url + "/console/papeis")
            await looks_well(page)
            await page.get_by_role("link", name="atendente").click()
            await page.get_by_label("ledger:read").set_checked(size is DESKTOP)
            await looks_well(page)
            await page.get_by_role("button", name="Ver o que muda").click()
            await page.locator("main").get_by_text(told).wait_for()
            await page.get_by_role("button", name="Mudar o papel").click()
            await page.get_by_text("O papel mudou").wait_for()
        await page.set_viewport_size(DESKTOP)  # type: ignore[arg-type] # a plain dict
        await page.goto(server.url + "/console/empresas")
        await page.get_by_role("link", name="Padaria").click()
        await page.get_by_label("Quem").fill("davi@exemplo.com.br")
        await looks_well(page, TABLET)
        await page.get_by_role("button", name="Procurar").click()
        await page.get_by_role("heading", name="Vincular Davi").wait_for()
        await looks_well(page, TABLET)
        await page.get_by_role("link", name="Voltar").click()
        await page.get_by_role("link", name="Clara").click()
        await page.get_by_label("Foi vinculado por engano").wait_for()
        await looks_well(page, TABLET)
        for path in ("configuracao", "trabalhos", "clientes", "meses", "empresas", "estabelecimentos", "simulador"):
            await page.goto(f"{server.url}/console/{path}")
            await looks_well(page, TABLET)


async def test_every_screen_of_the_side_bar_is_accessible(browser: Browser, server: Server) -> None:
    async with at_desk(browser, server, "admin") as page:
        await page.goto(server.url + "/console")
        links = page.locator(".sidenav li a")
        drawn: list[str] = await links.evaluate_all("found => found.map(one => one.getAttribute('href'))")
        screens = [screen for group in GROUPS for screen in group.screens]
        assert drawn == [one.path for one in screens if not one.module or one.module in MODULES]
        for path in drawn:
            await page.goto(server.url + path)
            await looks_well(page)
