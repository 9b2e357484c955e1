"""The page of notices: new ones are marked, shown ones are read, other people's texts stay text."""

from uuid import uuid4

from tests.support.app import RunningApp
from tests.support.benefits import AUTHORIZER, open_benefit_account, processor_headers, purchase
from tests.support.pages import PlainBrowser
from tests.support.people import Person, register

HOSTILE = "<img src=x onerror=alert(1)>"


async def refused(app: RunningApp, person: Person, merchant: str = "PADARIA") -> None:
    account = await open_benefit_account(app.operator(), user_id=person.id)
    body = purchase(account, "8.00", "5811", merchant=merchant)
    answer = await app.client.post(AUTHORIZER, content=body, headers=processor_headers())
    assert answer.json()["code"] == "51"


async def test_the_home_counts_new_notices_until_they_are_read(app: RunningApp, browser: PlainBrowser) -> None:
    person = await register(app)
    home = await browser.sign_in(person)
    assert ("aria-label", "Avisos") in home.attributes
    await refused(app, person)
    assert ("aria-label", "Avisos: 1 novo") in (await browser.get("/app")).attributes
    page = await browser.get("/app/avisos")
    assert "Sua compra de R$ 8,00 não passou" in page.text
    assert "Novo" in page.text
    read = await browser.follow(await browser.send(page, "/app/avisos/lidos"))
    assert "Novo" not in read.text
    assert ("aria-label", "Avisos") in (await browser.get("/app")).attributes


async def test_a_notice_leads_to_its_page(app: RunningApp, browser: PlainBrowser) -> None:
    person = await register(app)
    await browser.sign_in(person)
    await refused(app, person)
    page = await browser.get("/app/avisos")
    (address,) = [link for link in page.links if link.startswith("/app/extrato/")]
    assert "Faltaram R$ 8,00" in (await browser.get(address)).text


async def test_an_empty_list_and_its_end_say_so(app: RunningApp, browser: PlainBrowser) -> None:
    person = await register(app)
    await browser.sign_in(person)
    assert "Nenhum aviso ainda" in (await browser.get("/app/avisos")).text
    await refused(app, person)
    beginning = "/app/avisos?antes=00000000-0000-7000-8000-000000000000"
    assert "Não há avisos mais antigos." in (await browser.get(beginning)).text


async def test_names_of_merchants_and_lookers_stay_text(app: RunningApp, browser: PlainBrowser) -> None:
    person = await register(app)
    await browser.sign_in(person)
    await refused(app, person, HOSTILE)
    looker = await register(app, full_name=f"Zé {HOSTILE}")
    assert (await app.person("users:read", user_id=looker.id).get(f"/users/{person.id}")).status_code == 200
    page = await browser.get("/app/avisos")
    assert page.text.count(HOSTILE) == 2
    assert "<img" not in page.answer.text


async def test_an_invalid_mark_marks_nothing(app: RunningApp, browser: PlainBrowser) -> None:
    person = await register(app)
    await browser.sign_in(person)
    await refused(app, person)
    page = await browser.get("/app/avisos")
    for until in ("", "ontem", "\0"):
        sent = await browser.send(page, "/app/avisos/lidos", until=until)
        assert sent.status == 303
    assert "Novo" in (await browser.get("/app/avisos")).text
    foreign = await browser.get(f"/app/avisos?antes={uuid4()}x")
    assert foreign.status == 404
