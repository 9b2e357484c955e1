"""The tasks of a person who has never seen the wallet, one after the other, each in few taps."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from playwright.async_api import Browser, FilePayload, Locator, Page, ViewportSize

from carteira.embedded import Endpoints
from tests.browser.test_wallet import DESKTOP, PHONE
from tests.support import files
from tests.support.databases import NewDatabase
from tests.support.people import PASSWORD, new_person
from tests.support.server import Server, running_server

pytestmark = pytest.mark.timeout(600)
MOST_TAPS = 6
"""The most taps and fields of a task, after registration."""
PHOTO: FilePayload = {"name": "cnh.png", "mimeType": "image/png", "buffer": files.png(60, 40)}


@pytest.fixture(scope="module")
def server(
    endpoints: Endpoints, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A city's product with the assistant, at `localhost`."""
    with running_server(
        tmp_path_factory.mktemp("task_list"),
        workers=1,
        database_url=new_database("task_list"),
        redis_url=endpoints.redis_url,
        smtp_url=endpoints.smtp_url,
        carteira_modules="transit,documents,assistant",
        assistant_vectors=False,
        log_level="warning",
    ) as running:
        running.url = running.url.replace("127.0.0.1", "localhost")
        yield running


@dataclass
class TapCounter:
    """A person's hand: its taps and inputs, counted by task."""

    page: Page
    taps: dict[str, int] = field(default_factory=dict)
    task: str = ""

    def begin(self, task: str) -> None:
        self.task = task
        self.taps[task] = 0

    async def tap(self, what: Locator) -> None:
        self.taps[self.task] += 1
        await what.click()

    async def fill(self, label: str, text: str) -> None:
        self.taps[self.task] += 1
        await self.page.get_by_label(label).fill(text)

    async def link(self, name: str) -> None:
        await self.tap(self.page.get_by_role("link", name=name).first)

    async def button(self, name: str) -> None:
        await self.tap(self.page.get_by_role("button", name=name).first)

    async def home(self) -> None:
        await self.page.get_by_role("link", name="Início").first.click()


async def register(hand: TapCounter, server: Server, person: dict[str, str]) -> None:
    hand.begin("register")
    await hand.page.goto(server.url)
    await hand.link("Minha carteira")
    await hand.link("Criar minha conta")
    await hand.fill("Nome completo", person["full_name"])
    await hand.fill("CPF", person["cpf"])
    await hand.fill("Data de nascimento", person["birth_date"])
    await hand.button("Continuar")
    await hand.fill("E-mail", person["email"])
    await hand.fill("Celular com DDD", "11 98765-4321")
    await hand.button("Continuar")
    await hand.fill("Crie uma senha", PASSWORD)
    await hand.button("Criar conta")
    await hand.page.get_by_role("heading", name="Maria").wait_for()


async def keep_a_document(hand: TapCounter) -> None:
    hand.begin("document")
    await hand.link("Documentos")
    await hand.link("Guardar documento")
    await hand.page.get_by_label("Tipo").select_option("CNH")
    await hand.fill("Número", "62472927637")
    await hand.page.get_by_label("Tirar foto ou escolher arquivo").set_input_files(PHOTO)
    await hand.button("Guardar documento")
    await hand.page.get_by_text("Documento guardado.").wait_for()


async def recharge(hand: TapCounter) -> None:
    hand.begin("recharge")
    await hand.link("Recarregar")
    await hand.fill("Ou digite outro valor", "20")
    await hand.button("Recarregar")
    await hand.page.get_by_text("Recarga feita.").wait_for()


async def ask_for_a_recharge(hand: TapCounter) -> None:
    hand.begin("assistant")
    await hand.link("Perguntar ao assistente")
    await hand.fill("Escreva sua mensagem", "coloca dez reais no bilhete")
    await hand.button("Enviar")
    await hand.page.get_by_role("button", name="Sim").first.wait_for()
    await hand.button("Sim")
    await hand.page.get_by_text("30,00").first.wait_for()


async def block(hand: TapCounter) -> None:
    hand.begin("block")
    await hand.link("Transporte")
    await hand.button("Bloquear")
    await hand.page.get_by_text("Cartão bloqueado. Seu saldo está guardado.").wait_for()


async def find_looks(hand: TapCounter) -> None:
    hand.begin("who looked")
    await hand.link("Quem viu os meus dados")
    await hand.page.get_by_role("heading", name="Ninguém consultou seus dados").wait_for()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "plain"])
@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_a_newcomer_does_each_task(
    browser: Browser, server: Server, viewport: ViewportSize, *, scripts: bool
) -> None:
    context = await browser.new_context(viewport=viewport, java_script_enabled=scripts, service_workers="block")
    context.set_default_timeout(120_000)
    hand, person = TapCounter(await context.new_page()), new_person()
    await register(hand, server, person)
    for task in (keep_a_document, recharge, ask_for_a_recharge, block, find_looks):
        await hand.home()
        await task(hand)
    assert {task: taps for task, taps in hand.taps.items() if task != "register" and taps > MOST_TAPS} == {}
    async with httpx.AsyncClient(base_url=server.url) as client:
        login = {"username": person["cpf"], "password": PASSWORD}
        token = (await client.post("/auth/login", data=login)).json()["access_token"]
        cards = (await client.get("/transport-cards", headers={"Authorization": f"Bearer {token}"})).json()["items"]
    assert [(card["balance"], card["status"]) for card in cards] == [(3_000, "blocked")]
    await context.close()
