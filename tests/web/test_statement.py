"""The statement: a month's movements, searched, filtered, downloaded, and each as a receipt."""

import csv
import io
import re
from datetime import date, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event

from carteira.kit.values.clock import clock
from carteira.web.charts import bars
from tests.support.app import RunningApp
from tests.support.benefits import open_benefit_account
from tests.support.pages import PlainBrowser
from tests.support.people import Person, register
from tests.web.test_home import buy


@pytest.fixture
async def person(app: RunningApp, browser: PlainBrowser) -> Person:
    """A signed-in person with three purchases and one refusal."""
    person = await register(app)
    account = await open_benefit_account(app.operator(), user_id=person.id, FOOD=50000, MEAL=3250, CASH=100)
    for reais, mcc, merchant, code in (
        ("87.64", "5411", "SUPERMERCADO BOA VISTA", "00"),
        ("12.00", "5811", "CANTINA DA PRACA", "00"),
        ("0.50", "5999", "=SOMA(A1)", "00"),
        ("38.90", "5811", "PANIFICADORA AURORA", "51"),
    ):
        assert await buy(app, account, reais, mcc, merchant) == code
    await browser.sign_in(person)
    return person


@pytest.mark.usefixtures("person")
async def test_a_month_is_listed_with_its_sums_in_and_out(browser: PlainBrowser) -> None:
    shown = await browser.get("/app/extrato")
    for said in ("Supermercado Boa Vista", "Cantina da Praca", "Panificadora Aurora", "Não passou", "Hoje"):
        assert said in shown.text
    for pocket, came, went in (
        ("Alimentação", "500,00", "87,64"),
        ("Refeição", "32,50", "12,00"),
        ("Livre", "1,00", "0,50"),
    ):
        assert re.search(rf"{pocket}\S* ?[a-zç]+ Entrou\+ R\$ {came}Saiu− R\$ {went}", shown.text), shown.text
    assert "533,50" not in shown.text, "categories are never added up"
    assert "100,14" not in shown.text, "categories are never added up"
    assert "Faltaram R$ 18,40 no saldo de Refeição." in shown.text


@pytest.mark.usefixtures("person")
@pytest.mark.parametrize(
    ("query", "there", "gone"),
    [
        ("saldo=refeicao", "Cantina", "Supermercado"),
        ("saldo=nao-passou", "Panificadora", "Cantina"),
        ("q=boa+vista", "Supermercado", "Cantina"),
        ("q=12,00", "Cantina", "Supermercado"),
        ("q=BOA&saldo=alimentacao", "Supermercado", "Panificadora"),
    ],
)
async def test_filters_are_in_the_address(browser: PlainBrowser, query: str, there: str, gone: str) -> None:
    shown = await browser.get(f"/app/extrato?{query}")
    assert there in shown.text
    assert gone not in shown.text


@pytest.mark.usefixtures("person")
async def test_a_filter_that_finds_nothing_can_be_cleared(browser: PlainBrowser) -> None:
    shown = await browser.get("/app/extrato?q=" + "%3Cscript%3Ealert(1)%3C/script%3E")
    assert "Nenhum movimento com esses filtros" in shown.text
    assert "<script>alert" not in shown.answer.text
    assert any(link.startswith("/app/extrato?mes=") for link in shown.links)


@pytest.mark.usefixtures("person")
@pytest.mark.parametrize(
    "query",
    [
        "mes=2026-13",
        "mes=x",
        "mes=9999-12",
        "mes=0001-01",
        "saldo=x",
        "mes=%00",
        "de=x",
        "ate=0000-00-00",
        "de=9999-12-31",
        "ate=0001-01-01",
    ],
)
async def test_an_odd_address_shows_a_statement(browser: PlainBrowser, query: str) -> None:
    shown = await browser.get(f"/app/extrato?{query}")
    assert shown.status == 200
    assert "Extrato" in shown.text
    assert (await browser.get("/app/extrato?q=" + "x" * 101)).status == 404


@pytest.mark.usefixtures("person")
async def test_days_are_chosen_freely(browser: PlainBrowser) -> None:
    today = clock.today()
    for query in (f"de={today}&ate={today}", f"de={today}", f"ate={today}", f"de={today}&ate=2020-01-01"):
        shown = await browser.get(f"/app/extrato?{query}")
        assert "Cantina da Praca" in shown.text, query
        assert f"{today:%d/%m/%Y}" in shown.text
    before = await browser.get(f"/app/extrato?de=2020-01-01&ate={today - timedelta(days=1)}")
    assert "Nenhum movimento nestas datas" in before.text
    chosen = await browser.get(f"/app/extrato?de={today}&ate={today}&saldo=refeicao&q=cantina")
    assert "Supermercado" not in chosen.text
    download = next(link for link in chosen.links if link.startswith("/app/extrato.csv"))
    answer = await browser.client.get(download)
    assert f'filename="extrato-{today}-a-{today}.csv"' in answer.headers["content-disposition"]
    assert answer.text.count("\r\n") == 2
    alone = await browser.get(f"/app/extrato?de={today}&ate={today}&saldo=refeicao")
    assert "+ R$ 20,50" in alone.text.split("Hoje")[1][:20], "a day of one category is added up"


@pytest.mark.usefixtures("person")
async def test_a_day_of_several_pockets_has_no_total(browser: PlainBrowser) -> None:
    shown = await browser.get("/app/extrato")
    assert "432,86" not in shown.text
    assert "433,36" not in shown.text


@pytest.mark.usefixtures("person")
async def test_a_month_with_nothing_says_so(browser: PlainBrowser) -> None:
    assert "Nenhum movimento neste mês" in (await browser.get("/app/extrato?mes=2020-01")).text


@pytest.mark.usefixtures("person")
async def test_the_csv_is_the_page_and_holds_no_formula(browser: PlainBrowser) -> None:
    answer = await browser.client.get("/app/extrato.csv")
    assert re.search(r'filename="extrato-\d{4}-\d\d\.csv"', answer.headers["content-disposition"])
    assert answer.headers["cache-control"] == "no-store"
    rows = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff")), delimiter=";"))
    assert rows[0][:4] == ["Data", "Hora", "Descrição", "Saldo de"]
    by_name = {row[2]: row for row in rows[1:]}
    assert by_name["Supermercado Boa Vista"][4:6] == ["-87,64", "412,36"]
    assert by_name["Panificadora Aurora"][6] == "Não passou"
    assert "'=soma(a1)" in by_name


async def test_a_movement_is_a_receipt_for_its_person_alone(
    app: RunningApp, browser: PlainBrowser, person: Person
) -> None:
    shown = await browser.get("/app/extrato")
    (link, *_) = [link for link in shown.links if re.fullmatch(r"/app/extrato/[0-9a-f-]{36}", link)]
    receipt = await browser.get(link)
    assert receipt.status == 200
    assert "Saldo depois" in receipt.text
    assert f"***.{person.cpf[3:6]}.{person.cpf[6:9]}-**" in receipt.text
    assert person.cpf not in receipt.answer.text
    other = PlainBrowser(app)
    await other.sign_in(await register(app))
    assert (await other.get(link)).status == 404
    assert (await other.get(f"/app/extrato/{uuid4()}")).status == 404
    assert (await other.get("/app/extrato/x")).status == 404
    assert UUID(link.rpartition("/")[2]).version == 7
    await other.client.aclose()


async def test_the_statement_takes_two_transactions(app: RunningApp, browser: PlainBrowser, person: Person) -> None:
    assert person.cpf
    begun: list[object] = []

    def count(connection: object) -> None:
        begun.append(connection)

    engine = app.database.engine.sync_engine
    event.listen(engine, "begin", count)
    try:
        assert (await browser.get("/app/extrato")).status == 200
    finally:
        event.remove(engine, "begin", count)
    assert 1 <= len(begun) <= 2


def test_bars_fill_their_box_and_small_amounts_are_visible() -> None:
    day = date(2026, 1, 1)
    drawn = bars([(day, 0), (day, 1), (day, 1_000_000)])
    assert [bar.height for bar in drawn] == [0, 2, 96]
    assert all(bar.x >= 0 and bar.x + bar.width <= 320 for bar in drawn)
    assert bars([]) == []
