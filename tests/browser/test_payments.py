"""Pix in Chromium: from a code on the screen to a balance, and returns from an operator's desk."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser

from carteira import demo
from carteira.app import payments_of
from carteira.embedded import Endpoints
from carteira.kit.db.engine import open_database
from carteira.payments.jobs import run_round
from tests.browser.test_wallet import DESKTOP, PHONE, listen, sign_in, violations, wide_by
from tests.support.app import settings_for
from tests.support.browser import at_rest
from tests.support.databases import NewDatabase
from tests.support.pix import StandIn, standing_in
from tests.support.server import Server, running_server


@dataclass
class Shop:
    server: Server
    stand_in: StandIn
    url: str

    async def poll(self, home: Path) -> None:
        """Do what the worker does every half minute."""
        settings = settings_for(home, database_url=self.url, **self.stand_in.settings())
        async with open_database(self.url) as database:
            await run_round(database, payments_of(settings))


@pytest.fixture(scope="module")
def shop(endpoints: Endpoints, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    url = new_database("pays")
    asyncio.run(demo.seed(url, ("transit",)))
    with (
        standing_in(tmp_path_factory.mktemp("pix")) as stand_in,
        running_server(
            tmp_path_factory.mktemp("pays"),
            workers=1,
            database_url=url,
            redis_url=endpoints.redis_url,
            carteira_modules="payments,transit",
            recharge_without_payment="false",
            log_level="warning",
            **stand_in.settings(),
        ) as server,
    ):
        server.url = server.url.replace("127.0.0.1", "localhost")
        yield Shop(server, stand_in, url)


async def test_a_recharge_is_paid_and_the_page_shows_it(browser: Browser, shop: Shop, tmp_path: Path) -> None:
    context = await browser.new_context(viewport=PHONE, service_workers="block")
    page = await context.new_page()
    said = listen(page)
    await sign_in(page, shop.server)
    await page.goto(shop.server.url + "/app/transporte")
    await page.get_by_label("Ou digite outro valor").fill("12,34")
    await page.get_by_role("button", name="Pagar com Pix").click()
    await page.wait_for_url("**/app/pagamentos/*")
    assert await violations(page) == []
    assert await wide_by(page) <= 0
    assert await page.get_by_text("Simulação: nenhum dinheiro de verdade se move").is_visible()
    code = await page.locator("#codigo").inner_text()
    async with httpx.AsyncClient(base_url=shop.stand_in.pages, trust_env=False, follow_redirects=True) as bank:
        at = (await bank.post("/pagar", data={"codigo": code})).url
        assert "Pago." in (await bank.post(at)).text
    await shop.poll(tmp_path)
    await page.get_by_text("O saldo do cartão já mudou.").wait_for()
    assert await page.locator("#codigo").count() == 0
    await page.get_by_role("link", name="Continuar").click()
    await page.get_by_text("62,34").first.wait_for()
    assert said == []
    await context.close()


async def test_an_operator_returns_a_late_payment_by_keyboard(browser: Browser, shop: Shop, tmp_path: Path) -> None:
    shop.stand_in.behave(returns="fails")
    e2eid = shop.stand_in.pay(amount=4_321)
    await shop.poll(tmp_path)
    shop.stand_in.behave()
    context = await browser.new_context(viewport=DESKTOP, service_workers="block")
    page = await context.new_page()
    said = listen(page)
    await sign_in(page, shop.server, "davi@exemplo.com.br")
    await page.goto(shop.server.url + "/console")
    await page.get_by_role("link", name="1 Pix a devolver").click()
    await page.wait_for_url("**/console/recebidos")
    await at_rest(page)
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    panel = page.locator("#painel .panel")
    await panel.get_by_text("que o provedor não devolveu").wait_for()
    await at_rest(page)
    assert await violations(page) == []
    await panel.get_by_role("link", name="Devolver…").click()
    await page.get_by_role("heading", name="Devolver o Pix de").wait_for()
    assert await page.get_by_label("Valor a devolver").input_value() == "43,21"
    await page.get_by_label("Motivo").fill("pago sem cobrança")
    await at_rest(page)
    assert await violations(page) == []
    await page.get_by_role("button", name="Devolver").click()
    await page.get_by_text("a caminho de quem pagou").wait_for()
    await shop.poll(tmp_path)
    await page.goto(f"{shop.server.url}/console/recebidos/{e2eid}")
    await page.get_by_text("devolvidos", exact=False).first.wait_for()
    for path in ("cobrancas", "conferencia", "recebidos?situacao=todos"):
        await page.goto(f"{shop.server.url}/console/{path}")
        await at_rest(page)
        assert await violations(page) == [], path
        assert await wide_by(page) == 0, path
    assert said == []
    await context.close()
