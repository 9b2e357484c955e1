"""Every page of docs/reference/pages.md in Chromium: accessibility, layout on small screens, weight.

The test walks the rows of the reference; for each new page, this file has to say how it is reached.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pyotp
import pytest
from playwright.async_api import Browser, BrowserContext, Page

from carteira import demo
from carteira.embedded import Endpoints
from tests.browser.test_wallet import COLOURS, DESKTOP, LONG, PHONE, RULES, listen, sign_in, violations, wide_by
from tests.support import files
from tests.support.benefits import AUTHORIZER, processor_headers, purchase
from tests.support.browser import at_rest
from tests.support.databases import NewDatabase
from tests.support.oidc_provider import Provider
from tests.support.people import PASSWORD, new_person
from tests.support.server import Server, running_server
from tests.support.source import ROOT
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(900)
MODULES = ("assistant", "benefits", "documents", "resellers", "transit")
MOST_BYTES = 15_000
HOSTILE = "Maria <b>Wolfeschlegelsteinhausenbergerdorff</b> de Albuquerque e Cavalcanti do Espírito Santo Nepomuceno"
NO_PAGE = {
    "/app/entrar/com/{provider}": "leads to the provider",
    "/app/extrato.csv": "a download",
    "/app/manifest.webmanifest": "for the browser itself",
    "/app/sw.js": "for the browser itself",
    "/app/documentos/{document}/arquivo": "a download",
    "/app/sair": "signs out, or leads to the menu",
}
"""Rows whose address opens and shows no page, and why."""
BY_STEPS = {
    "/app/entrar/com/{provider}/volta": "the registration that a provider's account began",
    "/app/acesso/contas/{account_id}": "once such an account is linked",
    "/app/acesso/chaves/{passkey_id}": "once a passkey is kept: tests/browser/test_wallet.py",
    "/app/pagamentos/{charge_id}": "once a charge is made: tests/browser/test_payments.py",
}
"""Rows that the journeys at the end of this file reach and check in the same way."""


@pytest.fixture(scope="module")
def server(
    endpoints: Endpoints, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory, provider: Provider
) -> Iterator[Server]:
    """The whole product with its demo people, at `localhost`."""
    url = new_database("every_page")
    asyncio.run(demo.seed(url, MODULES))
    with running_server(
        tmp_path_factory.mktemp("every_page"),
        workers=1,
        database_url=url,
        redis_url=endpoints.redis_url,
        smtp_url=endpoints.smtp_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
        carteira_modules=",".join(MODULES),
        assistant_vectors=False,
        log_level="warning",
        google_client_id="carteira-teste",
        google_client_secret="segredo",
        google_issuer=provider.url,
    ) as running:
        for reais, merchant in (("38.90", LONG), ("999999.00", "PANIFICADORA <b>AURORA</b>")):
            body = purchase("123", reais, "5811", merchant=merchant)
            httpx.post(running.url + AUTHORIZER, content=body, headers=processor_headers()).raise_for_status()
        running.url = running.url.replace("127.0.0.1", "localhost")
        yield running


@asynccontextmanager
async def signed(server: Server, name: str, password: str = demo.PASSWORD) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of the API for the person who asks."""
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        answer = await client.post("/auth/login", data={"username": name, "password": password})
        client.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['access_token']}"
        yield client


async def filled(client: httpx.AsyncClient) -> dict[str, list[str]]:
    """Give a person cards, rides and documents in many states; return the addresses of each row that has ids."""
    card = (await client.get("/transport-cards")).json()["items"][0]
    await client.post(f"/transport-cards/{card['card_number']}/recharge", json={"amount": 999_999_999})
    await client.post(f"/transport-cards/{card['card_number']}/debit", json={"amount": 470})
    old, lost = [(await client.post("/transport-cards")).json() for _ in range(2)]
    await client.post(f"/transport-cards/{old['card_number']}/recharge", json={"amount": 1_760})
    await client.post(f"/transport-cards/{old['card_number']}/cancel")
    await client.post(f"/transport-cards/{lost['card_number']}/block")
    soon = (datetime.now(UTC) + timedelta(days=9)).date().isoformat()
    data = {"document_type": "CNH", "document_number": "62472927637", "expires_on": soon}
    name = f"uma fotografia <b> de nome muito comprido que alguém mandou {uuid4().hex}{uuid4().hex}.png"
    kept = (await client.post("/documents", data=data, files={"file": (name, files.png(60, 40))})).json()["id"]
    waiting = {"document_type": "comprovante de vacinação", "document_number": "lote " + "7" * 50}
    bare = (await client.post("/documents", json=waiting)).json()["id"]
    proof = (await client.post(f"/documents/{kept}/proof")).json()["url"].rpartition("/")[2]
    entry = (await client.get(f"/transport-cards/{card['card_number']}/history")).json()["items"][0]["id"]
    own = f"/app/documentos/{kept}"
    return {
        "/app/extrato/{entry_id}": [f"/app/extrato/{entry}"],
        "/app/transporte": ["/app/transporte", *(f"/app/transporte?cartao={one['id']}" for one in (old, lost))],
        "/app/transporte/{card}/cancelar": [f"/app/transporte/{card['id']}/cancelar"],
        "/app/documentos/enviar/{document}": [f"/app/documentos/enviar/{kept}"],
        "/app/documentos/{document}": [own, f"/app/documentos/{bare}"],
        "/app/documentos/{document}/mudar": [f"{own}/mudar"],
        "/app/documentos/{document}/apagar": [f"{own}/apagar"],
        "/app/documentos/{document}/mostrar": [f"{own}/mostrar"],
        "/p/{token}": [f"/p/{proof}", f"/p/{proof}x"],
    }


async def sold(client: httpx.AsyncClient) -> dict[str, list[str]]:
    """Return the addresses of a demo reseller's purchases."""
    month = f"{datetime.now(UTC) - timedelta(hours=3):%Y-%m}"
    items = (await client.get("/purchases", params={"month": month})).json()["items"]
    by_status = {item["status"]: f"/app/vendas/{item['id']}" for item in items}
    pending = by_status["Em validação"]
    return {
        "/app/vendas/{purchase_id}": [*by_status.values()],
        "/app/vendas/{purchase_id}/alterar": [f"{pending}/alterar"],
        "/app/vendas/{purchase_id}/excluir": [f"{pending}/excluir"],
    }


MARIAS: Mapping[str, list[str]] = {
    "/app/extrato": ["/app/extrato", "/app/extrato?de=2020-01-01", "/app/extrato?saldo=nao-passou", "/app/extrato?q=x"],
    "/app/dados/contato/{name}": ["/app/dados/contato/email", "/app/dados/contato/telefone"],
    "/app/beneficios": ["/app/beneficios", "/app/beneficios?lugar=uber"],
    "/app/beneficios/convite": ["/app/beneficios/convite?convite=abc"],
    "/app/dados": ["/app/dados", "/app/dados?periodo=tudo"],
}
"""Rows that are checked in more than one state."""


def rows(who: str) -> list[str]:
    """Return the addresses of the reference that can be opened, of pages for one kind of person."""
    text = (ROOT / "docs" / "reference" / "pages.md").read_text()
    found = re.findall(r"^\| `(/[^`]*)` \| ([A-Z, ]+) \| ([^|]*?) \|", text, re.MULTILINE)
    return [path for path, methods, whose in found if "GET" in methods and whose.startswith(who)]


@dataclass
class PageCheck:
    """A check of pages, which collects their faults by address."""

    page: Page
    origin: str
    taken: list[float] = field(default_factory=list)
    under_way: dict[str, str] = field(default_factory=dict)
    """The page load of each request that has begun and not ended; requests of a page that was left may never end."""
    load: str = ""
    """The number of the open page's load."""
    hosts: set[str] = field(default_factory=set)
    wrong: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    async def at(cls, context: BrowserContext, server: Server) -> "PageCheck":
        page = await context.new_page()
        looked = cls(page, server.url)
        devtools = await context.new_cdp_session(page)
        await devtools.send("Network.enable")
        devtools.on("Network.requestWillBeSent", looked._begin)
        devtools.on("Network.loadingFailed", looked._end)
        devtools.on("Network.loadingFinished", looked._take)
        page.on("request", lambda request: looked.hosts.add(request.url.split("/")[2]))
        return looked

    def _begin(self, event: Mapping[str, Any]) -> None:
        self.under_way[event["requestId"]] = event["loaderId"]
        if event.get("type") == "Document":
            self.load = event["loaderId"]

    def _end(self, event: Mapping[str, Any]) -> None:
        self.under_way.pop(event["requestId"], None)

    def _take(self, event: Mapping[str, Any]) -> None:
        self._end(event)
        self.taken.append(event["encodedDataLength"])

    async def open(self, path: str) -> None:
        self.taken.clear()
        self.under_way.clear()
        await self.page.goto(self.origin + path)
        await at_rest(self.page)
        await until(lambda: self.load not in self.under_way.values(), "what the page asks for ends")
        if (weight := sum(self.taken)) > MOST_BYTES:
            self._say(path, f"weighs {weight:.0f} bytes")
        await self.look(path)

    async def look(self, path: str) -> None:
        """Check the open page: on a phone in light, on a desktop in dark, at 320 px, and there with large letters."""
        page = self.page
        for viewport, theme, rules in ((PHONE, "light", RULES), (DESKTOP, "dark", COLOURS)):
            await page.set_viewport_size(viewport)
            await page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
            await at_rest(page)
            self._say(path, *(f"{theme} {viewport['width']}: {found}" for found in await violations(page, rules)))
        await page.set_viewport_size({"width": 320, "height": 640})
        for size in ("100%", "200%"):
            await page.evaluate("size => { document.documentElement.style.fontSize = size; }", size)
            if wide := await wide_by(page):
                self._say(path, f"is wider by {wide} px than a small phone, letters at {size}")
            self._say(path, *(f"{text} is cut, letters at {size}" for text in await page.evaluate(_CUT)))
        await page.evaluate("document.documentElement.style.fontSize = ''")
        await page.set_viewport_size(PHONE)

    def _say(self, path: str, *what: str) -> None:
        if what:
            self.wrong.setdefault(path, []).extend(what)


SERVICE_AWAY = {"/app/vendas/acumulado"}
"""Pages that need the external service, which does not run beside these tests: they say so."""
_CUT = """[...document.querySelectorAll('.money, .btn, h1, h2')].filter((one) => {
    const box = one.getBoundingClientRect();
    for (let up = one.parentElement; up && up !== document.body; up = up.parentElement) {
        const style = getComputedStyle(up);
        if (style.overflowX === 'auto' || style.overflowX === 'scroll') return false;
        const outer = up.getBoundingClientRect();
        if (style.overflowX !== 'visible' && box.width > 1 && box.right > outer.right + 1) return true;
    }
    return false;
}).map((one) => one.innerText.slice(0, 40))"""
"""Finds figures, buttons and headings that an element around them cuts off."""


def test_each_row_is_reached() -> None:
    told = {*rows("anyone"), *rows("signed in")}
    assert set(NO_PAGE) | set(BY_STEPS) | set(MARIAS) <= told


async def walk(looked: PageCheck, paths: list[str], known: Mapping[str, list[str]]) -> None:
    for path in paths:
        if path in NO_PAGE or path in BY_STEPS:
            continue
        assert path in known or "{" not in path, f"add how {path} is reached"
        for address in known.get(path, [path]):
            await looked.open(address)


async def test_everybody_can_use_each_page_of_their_own(browser: Browser, server: Server) -> None:
    context = await browser.new_context(viewport=PHONE, service_workers="block")
    looked = await PageCheck.at(context, server)
    said = listen(looked.page)
    await sign_in(looked.page, server)
    async with signed(server, "davi@exemplo.com.br") as operator:
        await operator.get(f"/users/{demo.PERSON_ID}")
    async with (
        signed(server, "maria@exemplo.com.br") as maria,
        signed(server, "helena@exemplo.com.br") as her,
    ):
        known = {**MARIAS, **await filled(maria), **await sold(her)}
    own = [path for path in rows("signed in") if not path.startswith("/app/vendas/{")]
    await looked.page.goto(server.url + "/app/beneficios/convite?convite=abc")  # cached from here on
    await walk(looked, [*own, "/p/{token}"], known)
    assert looked.wrong == {}
    assert looked.hosts == {server.url.split("/")[2]}
    assert not [text for text in said if "403" not in text and "404" not in text], said
    await context.close()


async def test_everybody_can_use_each_page_of_a_reseller(browser: Browser, server: Server) -> None:
    context = await browser.new_context(viewport=PHONE, service_workers="block")
    looked = await PageCheck.at(context, server)
    await sign_in(looked.page, server, "helena@exemplo.com.br")
    async with signed(server, "helena@exemplo.com.br") as client:
        known = await sold(client)
    await walk(looked, ["/app", *(path for path in rows("signed in") if path.startswith("/app/vendas"))], known)
    assert looked.wrong == {}
    await context.close()


async def test_everybody_can_use_each_page_before_signing_in(browser: Browser, server: Server) -> None:
    context = await browser.new_context(viewport=PHONE, service_workers="block")
    looked = await PageCheck.at(context, server)
    await looked.page.goto(server.url + "/app/entrar", wait_until="networkidle")
    await walk(looked, [path for path in rows("anyone") if path != "/p/{token}"], {})
    for path in ("/app/nada", "/auth/code?code=abc", "/auth/contacts/confirm?token=x", "/auth/invitation?token=x"):
        await looked.open(path)
    assert looked.wrong == {}
    await context.close()


async def test_somebody_with_a_hostile_name_and_nothing_yet(browser: Browser, server: Server) -> None:
    person = new_person() | {"full_name": HOSTILE}
    async with httpx.AsyncClient(base_url=server.url) as client:
        (await client.post("/users/register", json=person)).raise_for_status()
    context = await browser.new_context(viewport=PHONE, service_workers="block")
    looked = await PageCheck.at(context, server)
    await sign_in(looked.page, server, person["cpf"])
    for path in (
        "/app",
        "/app/extrato",
        "/app/avisos",
        "/app/documentos",
        "/app/vendas",
        "/app/dados/cadastro",
        "/app/dados/cpf",
    ):
        await looked.open(path)
        assert await looked.page.locator("main b").count() == 0, path
    assert looked.wrong == {}
    await context.close()


async def test_steps_that_forms_lead_to(browser: Browser, server: Server, provider: Provider) -> None:
    context = await browser.new_context(viewport=PHONE, service_workers="block")
    looked = await PageCheck.at(context, server)
    page, person = looked.page, new_person()
    await page.goto(server.url + "/app/criar-conta")
    await page.get_by_label("Nome completo").fill(person["full_name"])
    await page.get_by_label("CPF").fill(person["cpf"])
    await page.get_by_label("Data de nascimento").fill(person["birth_date"])
    await page.get_by_role("button", name="Continuar").click()
    await page.get_by_label("E-mail").fill(person["email"])
    await looked.look("register, step 2")
    await page.get_by_label("Celular com DDD").fill("11 98765-4321")
    await page.get_by_role("button", name="Continuar").click()
    await page.get_by_label("Crie uma senha").fill(PASSWORD)
    await looked.look("register, step 3")
    await page.get_by_role("button", name="Criar conta").click()
    await page.wait_for_url(server.url + "/app")
    await _turn_on_a_second_factor(looked, server)
    await _link_google(looked, server, provider)
    await page.goto(server.url + "/app/menu")
    await page.get_by_role("button", name="Sair da conta").click()
    await page.get_by_label("CPF ou e-mail").fill(person["cpf"])
    await page.get_by_label("Senha", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Entrar", exact=True).click()
    await page.get_by_label("Código").wait_for()
    await looked.look("sign in, the second factor")
    await page.goto(server.url + "/app/senha")
    await page.locator("input[name=name]").fill(person["email"])
    await page.get_by_role("button", name="Enviar código").click()
    await page.get_by_label("Código").wait_for()
    await looked.look("recovery, the code")
    assert looked.wrong == {}
    await context.close()


async def _turn_on_a_second_factor(looked: PageCheck, server: Server) -> None:
    page = looked.page
    await page.goto(server.url + "/app/acesso/duas-etapas")
    await page.get_by_role("button", name="Começar").click()
    secret = await page.locator("#secret").inner_text()
    await looked.look("the second factor, its code")
    await page.get_by_label("Código de 6 números").fill(pyotp.TOTP(secret).now())
    await page.get_by_role("button", name="Ligar verificação").click()
    await page.get_by_role("heading", name="Guarde estes códigos").wait_for()
    assert await page.locator("#codes li").count() == 10
    await looked.look("recovery codes")


async def _link_google(looked: PageCheck, server: Server, provider: Provider) -> None:
    """Link a provider's account while signed in; it can sign in from then on, and be unlinked."""
    page, subject = looked.page, uuid4().hex
    provider.knows(subject, name="Joana <b>Prado</b>", email=f"joana.{subject}@gmail.com", email_verified=True)
    await page.goto(server.url + "/app/acesso")
    await page.get_by_role("link", name="Ligar Google").click()
    await page.fill("input[name=sub]", subject)
    await page.click("button:text-is('Authorize')")
    await page.get_by_role("heading", name="Ligar esta conta à sua carteira?").wait_for()
    assert await page.locator("main b").count() == 0
    await looked.look("/app/entrar/com/{provider}/volta")
    await page.get_by_role("button", name="Ligar à minha carteira").click()
    await page.wait_for_url(server.url + "/app/acesso")
    await looked.look("access, with an account linked")
    await page.locator("a[href*='/app/acesso/contas/']").click()
    await page.get_by_role("button", name="Desligar").wait_for()
    await looked.look("/app/acesso/contas/{account_id}")


@pytest.mark.parametrize("who", ["anyone", "signed in"])
async def test_each_page_is_readable_without_scripts(browser: Browser, server: Server, who: str) -> None:
    context = await browser.new_context(viewport=PHONE, java_script_enabled=False)
    page = await context.new_page()
    known: dict[str, Any] = {}
    if who == "signed in":
        await sign_in(page, server, "helena@exemplo.com.br")
        async with signed(server, "helena@exemplo.com.br") as client:
            known = {**MARIAS, **await filled(client), **await sold(client)}
    for path in rows(who):
        if path in NO_PAGE or path in BY_STEPS or (path == "/p/{token}" and not known):
            continue
        for address in known.get(path, [path]):
            answer = await page.goto(server.url + address)
            assert answer is not None, address
            away = address in SERVICE_AWAY and answer.status == 503
            assert answer.status < 400 or away, (address, answer.status)
            assert await page.locator("h1").first.is_visible(), address
            dead = page.locator("main button[type=button]:visible, main [hidden]:visible")
            assert await dead.count() == 0, f"{address}: a button does nothing without scripts"
    await context.close()
