"""The home page: balances by purpose, the last movements of all products, and refused purchases."""

import pytest
from sqlalchemy import event

from tests.support.app import RunningApp
from tests.support.benefits import AUTHORIZER, open_benefit_account, processor_headers, purchase
from tests.support.pages import PlainBrowser, Shown
from tests.support.people import Person, register

HOSTILE = '"><script>alert(1)</script>'


async def buy(app: RunningApp, account: str, reais: str, mcc: str, merchant: str) -> str:
    body = purchase(account, reais, mcc, merchant=merchant)
    answer = await app.client.post(AUTHORIZER, content=body, headers=processor_headers())
    code: str = answer.json()["code"]
    return code


async def shown_home(app: RunningApp, browser: PlainBrowser) -> tuple[Person, str, Shown]:
    person = await register(app)
    account = await open_benefit_account(app.operator(), user_id=person.id, FOOD=41236, MEAL=3250)
    return person, account, await browser.sign_in(person)


async def test_pockets_stand_apart_and_are_never_added_up(app: RunningApp, browser: PlainBrowser) -> None:
    _, account, home = await shown_home(app, browser)
    assert "Alimentação" in home.text
    assert "R$ 412,36" in home.text
    assert "R$ 32,50" in home.text
    assert "444,86" not in home.text
    assert account not in home.answer.text
    card = next(line for line in home.text.split("Cartão de transporte") if "final" in line)
    assert "R$ 0,00" in card


async def test_purchases_and_declined_ones_are_notified(app: RunningApp, browser: PlainBrowser) -> None:
    _, account, _ = await shown_home(app, browser)
    assert await buy(app, account, "10.00", "5411", "MERCADO BOM                  SAO PAULO BR") == "00"
    assert await buy(app, account, "38.90", "5811", "PANIFICADORA AURORA          SAO PAULO BR") == "51"
    home = await browser.get("/app")
    assert "Mercado Bom" in home.text
    assert "− R$ 10,00" in home.text
    assert "Sua compra de R$ 38,90 não passou" in home.text
    assert "Faltaram R$ 6,40 no saldo de Refeição." in home.text
    assert "O saldo Livre também não cobria" in home.text


async def test_merchants_names_stay_text(app: RunningApp, browser: PlainBrowser) -> None:
    _, account, _ = await shown_home(app, browser)
    assert await buy(app, account, "1.00", "5411", HOSTILE.replace('"', "'")) == "00"
    home = await browser.get("/app")
    assert "<script>alert" not in home.answer.text
    assert "alert(1)" in home.text
    assert not [name for name, _ in home.attributes if name == "style" or name.startswith("on")]


async def test_balances_are_hidden_where_they_are_drawn(app: RunningApp, browser: PlainBrowser) -> None:
    _, _, home = await shown_home(app, browser)
    hidden = await browser.follow(await browser.send(home, "/app/saldos"))
    assert 'money--lg" value="41236"' in home.answer.text
    assert 'money--lg" value' not in hidden.answer.text
    assert "R$••••" in hidden.text.replace(" ", "")
    assert "R$ 412,36" in (await browser.follow(await browser.send(hidden, "/app/saldos"))).text


async def test_another_persons_money_is_not_there(app: RunningApp, browser: PlainBrowser) -> None:
    await shown_home(app, browser)
    other = PlainBrowser(app)
    home = await other.sign_in(await register(app))
    assert "412,36" not in home.text
    assert "Nada por aqui ainda" in home.text
    await other.client.aclose()


async def test_the_home_takes_three_transactions(app: RunningApp, browser: PlainBrowser) -> None:
    await shown_home(app, browser)
    begun: list[object] = []

    def count(connection: object) -> None:
        begun.append(connection)

    engine = app.database.engine.sync_engine
    event.listen(engine, "begin", count)
    try:
        assert (await browser.get("/app")).status == 200
    finally:
        event.remove(engine, "begin", count)
    assert 1 <= len(begun) <= 3


@pytest.mark.parametrize("theme", ["light", "dark", "device"])
async def test_the_server_sets_the_theme(app: RunningApp, browser: PlainBrowser, theme: str) -> None:
    await browser.sign_in(await register(app))
    menu = await browser.open("/app/menu")
    chosen = await browser.follow(await browser.send(menu, "/app/tema", ("theme", theme)))
    assert (("data-theme", theme) in chosen.attributes) is (theme != "device")
