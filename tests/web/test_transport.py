"""Transport: recharge, rides, blocking, cancelling and moving a balance, as forms without scripts."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from carteira.embedded import Endpoints
from carteira.kit.values.clock import clock
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.databases import NewDatabase
from tests.support.pages import PlainBrowser, Shown
from tests.support.people import Person, register

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
async def person(app: RunningApp, browser: PlainBrowser) -> Person:
    person = await register(app)
    await browser.sign_in(person)
    return person


async def first_card(person: Person) -> tuple[str, str]:
    card = (await person.get("/transport-cards")).json()["items"][0]
    return card["id"], card["card_number"]


async def balance_of(person: Person, number: str) -> int:
    return int((await person.get(f"/transport-cards/{number}/balance")).json()["balance"])


def address(card_id: str, act: str) -> str:
    return f"/app/transporte/{card_id}/{act}"


async def recharged(browser: PlainBrowser, card_id: str, **typed: str) -> Shown:
    page = await browser.open(f"/app/transporte?cartao={card_id}")
    return await browser.follow(await browser.send(page, address(card_id, "recarga"), None, **typed))


async def tapped(app: RunningApp, number: str, amount: int, line: str, *, ago: int = 0) -> None:
    at = clock.now() - timedelta(seconds=ago)
    tap = {"id": str(uuid4()), "card_number": number, "amount": amount, "tapped_at": at.isoformat(), "line": line}
    answer = await app.person("transit:validate").post("/transit/taps", {"taps": [tap]})
    assert answer.status_code == 200, answer.text


async def test_a_card_exists_from_the_first_visit_and_is_recharged(browser: PlainBrowser, person: Person) -> None:
    page = await browser.open("/app/transporte")
    assert page.answer.headers["cache-control"] == "no-store"
    assert "Nenhuma viagem ainda" in page.text
    card_id, number = await first_card(person)
    page = await recharged(browser, card_id, choice="20")
    assert "Recarga feita." in page.text
    assert "+ R$ 20,00" in page.text
    page = await recharged(browser, card_id, choice="20", amount="1.200,5")
    assert await balance_of(person, number) == 2_000 + 120_050
    assert len(page.answer.content) < 60_000


async def test_a_form_that_is_sent_again_moves_nothing(browser: PlainBrowser, person: Person) -> None:
    card_id, number = await first_card(person)
    page = await browser.open("/app/transporte")
    for _ in range(2):
        done = await browser.send(page, address(card_id, "recarga"), choice="10")
    assert "Já recebemos este pedido às" in (await browser.follow(done)).text
    assert await balance_of(person, number) == 1_000


@pytest.mark.parametrize(
    ("typed", "said"),
    [({}, "Escolha um valor"), ({"amount": "vinte"}, "Escreva um valor em reais"), ({"amount": "-5"}, "Escreva")],
)
async def test_a_wrong_amount_is_reported_and_stays(
    browser: PlainBrowser, person: Person, typed: dict[str, str], said: str
) -> None:
    card_id, number = await first_card(person)
    page = await browser.send(await browser.open("/app/transporte"), address(card_id, "recarga"), None, **typed)
    assert page.status == 422
    assert said in page.text
    assert page.form(address(card_id, "recarga")).fields["amount"] == typed.get("amount", "")
    assert await balance_of(person, number) == 0


async def test_rides_name_their_line_and_the_debt(app: RunningApp, browser: PlainBrowser, person: Person) -> None:
    card_id, number = await first_card(person)
    await recharged(browser, card_id, choice="10")
    await tapped(app, number, 470, "474 Jacaré", ago=30)
    await tapped(app, number, 470, HOSTILE, ago=20)
    await tapped(app, number, 470, "111", ago=10)
    page = await browser.open("/app/transporte")
    assert "Linha 474 Jacaré" in page.text
    assert "− R$ 4,70" in page.text
    assert HOSTILE in page.text
    assert "<img" not in page.answer.text
    assert "Falta pagar R$ 4,10 de uma viagem" in page.text
    page = await recharged(browser, card_id, choice="20")
    assert "Falta pagar" not in page.text
    assert await balance_of(person, number) == 1_590
    assert "Dá para 3 viagens como a última, de R$ 4,70." in page.text


async def test_a_lost_card_is_blocked_in_one_tap_and_unblocked(
    app: RunningApp, browser: PlainBrowser, person: Person
) -> None:
    card_id, number = await first_card(person)
    await recharged(browser, card_id, choice="10")
    page = await browser.send(await browser.open("/app/transporte"), address(card_id, "bloquear"))
    page = await browser.follow(page)
    assert "Cartão bloqueado. Seu saldo está guardado." in page.text
    assert not [form for form in page.forms if form.action.endswith("recarga")]
    await tapped(app, number, 470, "474")
    page = await browser.open("/app/transporte")
    assert "O cartão estava bloqueado." in page.text
    page = await browser.follow(await browser.send(page, address(card_id, "desbloquear")))
    assert "Ativo" in page.text
    assert await balance_of(person, number) == 1_000


async def test_a_card_is_cancelled_with_its_balance_moved_then_or_later(browser: PlainBrowser, person: Person) -> None:
    first, number = await first_card(person)
    await recharged(browser, first, choice="50")
    page = await browser.open(address(first, "cancelar"))
    assert "ficam guardados" in page.text
    page = await browser.follow(await browser.send(page, address(first, "cancelar")))
    assert "O saldo continua seu." in page.text
    assert "Você não tem outro cartão ativo." in page.text

    page = await browser.follow(await browser.send(page, "/app/transporte/novo"))
    assert "Cartão novo pronto para usar." in page.text
    second = page.answer.url.params["cartao"]
    page = await browser.open(f"/app/transporte?cartao={first}")
    page = await browser.follow(await browser.send(page, address(first, "mover"), target=second))
    assert "Saldo movido." in page.text
    assert "Saldo entre cartões" in page.text
    assert await balance_of(person, number) == 0

    page = await browser.follow(await browser.send(page, "/app/transporte/novo"))
    third = page.answer.url.params["cartao"]
    page = await browser.open(address(second, "cancelar"))
    assert "Para onde vão os R$ 50,00" in page.text
    page = await browser.follow(await browser.send(page, address(second, "cancelar"), target=third))
    assert "Cartão cancelado." in page.text
    assert "R$ 50,00" in page.text
    gone = await browser.open(address(second, "cancelar"))
    assert "Este cartão já foi cancelado." in gone.text


async def test_moving_cancels_no_card_that_works(browser: PlainBrowser, person: Person) -> None:
    first, _ = await first_card(person)
    page = await browser.follow(await browser.send(await browser.open("/app/transporte"), "/app/transporte/novo"))
    second = page.answer.url.params["cartao"]
    form = page.form("/app/transporte/novo").fields | {"target": first}
    assert (await browser.client.post(address(second, "mover"), data=form)).status_code == 404
    form["target"] = second
    same = await browser.client.post(address(second, "cancelar"), data=form)
    assert same.status_code == 422
    assert "Escolha outro cartão para receber o saldo." in same.text
    assert "Ativo" in (await browser.open(f"/app/transporte?cartao={second}")).text


async def test_another_persons_card_is_not_there(app: RunningApp, browser: PlainBrowser, person: Person) -> None:
    stranger = await register(app)
    theirs, number = await first_card(stranger)
    fields = (await browser.open("/app/transporte")).form("/app/transporte/novo").fields
    assert (await browser.get(f"/app/transporte?cartao={theirs}")).status == 404
    assert (await browser.get(address(theirs, "cancelar"))).status == 404
    for act in ("recarga", "bloquear", "desbloquear", "cancelar", "mover"):
        data = fields | {"choice": "10", "target": theirs}
        assert (await browser.client.post(address(theirs, act), data=data)).status_code == 404
    mine, _ = await first_card(person)
    moved = await browser.client.post(address(mine, "cancelar"), data=fields | {"target": theirs})
    assert moved.status_code == 404
    card = (await stranger.get("/transport-cards")).json()["items"][0]
    assert (card["status"], card["balance"], card["card_number"]) == ("active", 0, number)


async def test_hidden_balances_stay_hidden(browser: PlainBrowser, person: Person) -> None:
    card_id, _ = await first_card(person)
    await recharged(browser, card_id, choice="50")
    await browser.send(await browser.open("/app"), "/app/saldos")
    assert 'money--xl" value' not in (await browser.open("/app/transporte")).answer.text


@pytest.fixture
async def paying(
    new_database: NewDatabase, endpoints: Endpoints, redis_url: str, tmp_path: Path
) -> AsyncIterator[RunningApp]:
    """A city where a recharge has to be paid for, and documents are off."""
    settings = settings_for(
        tmp_path,
        database_url=new_database("paying"),
        redis_url=redis_url,
        smtp_url=endpoints.smtp_url,
        carteira_modules="transit",
        recharge_without_payment=False,
    )
    async with running_app(settings) as running:
        yield running


async def test_where_recharges_are_paid_for_the_page_says_where(paying: RunningApp) -> None:
    browser = PlainBrowser(paying)
    person = await register(paying)
    await browser.sign_in(person)
    card_id, number = await first_card(person)
    page = await browser.open("/app/transporte")
    assert "Num posto de atendimento do transporte você recarrega em dinheiro" in page.text
    assert " ".join(number[place : place + 4] for place in range(0, 16, 4)) in page.text
    fields = page.form("/app/transporte/novo").fields
    refused = await browser.client.post(address(card_id, "recarga"), data=fields | {"choice": "10"})
    assert refused.status_code == 422
    assert await balance_of(person, number) == 0
    await browser.client.aclose()
