"""What the checker of a file sees: its totals, each line with the balance before and after it, and the CSV."""

import csv
import io
import re

import pytest

from carteira.web.console.words import facts_of as order_facts
from carteira.web.console.words import faults_of
from tests.support.app import RunningApp
from tests.support.benefits import open_benefit_account
from tests.support.console import desk_of

LARGE = "400000,00"
"""Three of these exceed the limit of one operator."""


async def proposed(app: RunningApp, path: str, text: str) -> str:
    sent = await app.operator().call("POST", path, content=text, headers={"Content-Type": "text/csv"})
    assert sent.status_code == 202, sent.text
    return str(sent.json()["pending"]["id"])


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ({"amount": 5_000, "day": "2026-12-01"}, [("Valor", "R$ 50,00"), ("Dia", "01/12/2026")]),
        ({"balances": {"FOOD": 1}}, [("Saldos · FOOD", "R$ 0,01")]),
        (
            {"tiers": [{"above": 100, "percentage": 7}]},
            [("Faixa 1 · Acima de", "R$ 1,00"), ("Faixa 1 · Percentual", "7")],
        ),
        ({"description": "2026-99-99"}, [("Descrição", "2026-99-99")]),
        ({"description": "0001-01-01T00:00:00Z"}, [("Descrição", "0001-01-01T00:00:00Z")]),
        ({"invite": True, "reason": None}, [("Convida cada contato", "sim")]),
    ],
)
def test_an_orders_fields_are_in_words_and_reais(order: object, told: list[tuple[str, str]]) -> None:
    assert [(name, text.replace("\N{NO-BREAK SPACE}", " ")) for name, text in order_facts(order)] == told


def test_a_files_failures_are_told_line_by_line_up_to_twenty() -> None:
    failed = [{"line": n, "account": "a", "status": "failed", "detail": "Não há."} for n in range(1, 24)]
    told = faults_of({"results": [{"line": 0, "account": "b", "status": "credited"}, *failed]})
    assert told[0] == ("Linha 1, conta a", "Não há.")
    assert told[-1] == ("Outras com erro", "3 linhas")
    assert len(told) == 21
    assert faults_of({"amount": 1}) == faults_of(None) == []


async def some_lines(app: RunningApp) -> tuple[str, str]:
    """Return an account, and a file of top-ups with an error."""
    account = await open_benefit_account(app.operator(), FOOD=500, MEAL=0)
    lines = [f"{account};FOOD;{LARGE}", f"{account};FOOD;10,50", f"{account};MEAL;{LARGE}", f"{account};MEAL;{LARGE}"]
    return account, "\n".join(["conta;categoria;valor", *lines, f"{account};FOOD;dez", "nenhuma;FOOD;1,00"]) + "\n"


async def test_a_checker_sees_a_files_totals_and_each_line_with_its_balance(app: RunningApp) -> None:
    account, text = await some_lines(app)
    one = await proposed(app, "/benefits/credits", text)
    async with desk_of(app, "aprovador") as browser:
        page = await browser.get(f"/console/pendencias/{one}")
        facts = page.facts
        assert facts["Linhas"] == "6"
        assert facts["Soma"] == "R$ 1.200.010,50"
        assert facts["Menor e maior"] == "R$ 10,50 e R$ 400.000,00"
        assert facts["Saldo Refeição"] == "2 linhas, R$ 800.000,00"
        assert facts["Saldo Alimentação"] == "2 linhas, R$ 400.010,50"
        assert next(text for name, text in facts.items() if name.startswith("Empresa ")).startswith("4 linhas")
        assert facts["Com erro"] == "2 linhas: não são feitas"
        assert "centavos" not in page.text
        assert "campos" not in page.text

        listed = await browser.get(f"/console/pendencias/{one}/linhas")
        assert account in listed.text
        assert "Conta de benefícios não encontrada." in listed.text
        answer = await browser.client.get(f"/console/pendencias/{one}/linhas.csv")
        assert answer.status_code == 200, answer.text
        rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig")), delimiter=";"))
        assert [row[4:7] for row in rows[1:5]] == [
            ["400000,00", "5,00", "400005,00"],
            ["10,50", "400005,00", "400015,50"],
            [LARGE, "0,00", "400000,00"],
            [LARGE, "400000,00", "800000,00"],
        ]
        assert [row[-1] for row in rows[1:]] == [*["Certa"] * 4, *["Com erro"] * 2]
        wrong = await browser.get(f"/console/pendencias/{one}/linhas?situacao=wrong")
        assert "400.000,00" not in wrong.text, "only lines with an error"
        refusal = f"/console/pendencias/{one}/recusar"
        assert (await browser.send(await browser.get(refusal), refusal, None, reason="Não")).status == 303
        decided = await browser.get(f"/console/pendencias/{one}/linhas")
        assert "Nenhuma linha" in decided.text
    async with desk_of(app, "atendente") as browser:
        assert (await browser.get(f"/console/pendencias/{one}/linhas")).status == 404
        assert (await browser.client.get(f"/console/pendencias/{one}/linhas.csv")).status_code == 403


async def test_the_lines_come_in_pages_either_way(app: RunningApp) -> None:
    account = await open_benefit_account(app.operator(), FOOD=0)
    lines = [f"{account};FOOD;20000,{number:02d}" for number in range(60)]
    one = await proposed(app, "/benefits/credits", "\n".join(["conta;categoria;valor", *lines]) + "\n")
    async with desk_of(app, "aprovador") as browser:
        path = f"/console/pendencias/{one}/linhas"
        first = await browser.get(path)
        (more,) = [link for link in first.links if "depois=" in link]
        last = await browser.get(more)
        assert [len(re.findall(r"20\.000,\d\d", page.text)) > 9 for page in (first, last)] == [True, True]
        assert "10 nesta página" in last.text
        assert not [link for link in last.links if "depois=" in link]
        turned = await browser.get(f"{path}?ordem=contrario")
        assert turned.text.index("20.000,59") < turned.text.index("20.000,58")
        assert "20.000,00" not in turned.text
