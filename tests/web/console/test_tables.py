"""Tables of the console: their order along an index, either way, and their CSV, for GETs and for searches by POST."""

import csv
import io
import re
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from carteira.identity.roles.shipped import ADMINISTRATOR
from carteira.kit.values.clock import clock
from carteira.web.console import tables as mechanism
from tests.house.test_tables import tables
from tests.support.app import RunningApp
from tests.support.benefits import open_benefit_account
from tests.support.console import desk_of
from tests.support.machines import new_machine
from tests.support.pages import Shown
from tests.support.people import new_cpf, register

PRIVATE = {"/console/pessoas", "/console/contas", "/console/revendedores", "/console/cartoes"}
"""Lists that are searched, and downloaded, by POST."""
ASKS_WHO = "/console/consultas-de-credito"


def rows_of(answer: httpx.Response) -> list[list[str]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig")), delimiter=";"))


def rows_text(answer: httpx.Response) -> str:
    return str(rows_of(answer)[1:])


async def test_each_table_is_downloaded_with_its_columns_and_sorted_the_other_way(app: RunningApp) -> None:
    async with desk_of(app, ADMINISTRATOR) as browser:
        token = (await browser.open("/app/menu")).form("/app/sair").fields["csrf"]
        for name, table in tables().items():
            if not table.exports or "{" in table.path:
                continue
            titles = [column.name for column in table.columns]
            data = {"csrf": token, "ordem": table.order.turned if table.order else ""}
            if table.path == ASKS_WHO:
                answer = await browser.client.post(f"{table.path}.csv", data=data | {"cpf": new_cpf()})
            elif table.path in PRIVATE:
                answer = await browser.client.post(f"{table.path}.csv", data=data)
            else:
                answer = await browser.client.get(f"{table.path}.csv", params={"ordem": data["ordem"]})
                assert (await browser.get(f"{table.path}?ordem={data['ordem']}")).status == 200, name
            assert rows_of(answer)[0] == titles, name


async def test_a_list_goes_either_way_page_after_page(app: RunningApp) -> None:
    names = [f"máquina {number:02d} {uuid4().hex[:4]}" for number in range(52)]
    for name in names:
        await new_machine(app.operator(), name=name)

    def shown(page: Shown) -> list[str]:
        return [name for name in re.findall(r"máquina \d\d \w{4}", page.text) if name in names]

    async with desk_of(app, ADMINISTRATOR) as browser:
        first = await browser.get("/console/clientes")
        assert shown(first)[:2] == names[:-3:-1]
        assert 'aria-sort="descending"' in first.answer.text
        turn = next(link for link in first.links if "ordem=antigas" in link)
        page = await browser.get(turn)
        assert 'aria-sort="ascending"' in page.answer.text
        found = shown(page)
        while more := [link for link in page.links if "depois=" in link]:
            page = await browser.get(more[0])
            found += shown(page)
        assert found == names, "each once, the oldest first"


async def test_a_search_by_form_is_downloaded_by_form_and_the_audit_keeps_no_term(app: RunningApp) -> None:
    cpf, other = new_cpf(), await open_benefit_account(app.operator(), FOOD=0)
    account = f"c-{uuid4()}"
    opened = await app.operator().post("/benefits/accounts", {"account": account, "cpf": cpf, "name": "=1+1"})
    assert opened.status_code == 201, opened.text
    async with desk_of(app, "RH") as browser:
        page = await browser.get("/console/contas")
        found = await browser.send(page, "/console/contas", None, cpf=cpf)
        answer = await browser.send(found, "/console/contas.csv")
        rows = rows_of(answer.answer)
        assert [row[0] for row in rows[1:]] == [account]
        assert rows[1][1] == "'=1+1", "no formula"
        assert other not in answer.answer.text
        assert cpf not in str(answer.answer.url)
        assert (await browser.client.get("/console/contas.csv")).status_code == 404
        assert (await browser.client.post("/console/contas.csv", data={"cpf": cpf})).status_code == 403
    async with app.database.transaction() as tx:
        query = "SELECT details FROM audit_log WHERE action = 'list_exported' ORDER BY id DESC LIMIT 1"
        kept = await tx.scalar(text(query))
    assert kept == {"list": "contas", "filters": {"cpf": "•"}, "rows": 1}


async def test_operators_without_the_export_claim_are_offered_no_file(app: RunningApp) -> None:
    person = await register(app, full_name="Zuleica Exportada")
    async with desk_of(app, ADMINISTRATOR) as browser:
        page = await browser.get("/console/pessoas")
        found = await browser.send(page, "/console/pessoas", None, busca="Zuleica Exportada")
        rows = rows_of((await browser.send(found, "/console/pessoas.csv")).answer)
        assert rows[1][0] == "Zuleica Exportada"
        assert person.email not in str(rows), "masked as on the screen"
    async with desk_of(app, "atendente") as browser:
        page = await browser.get("/console/pessoas")
        found = await browser.send(page, "/console/pessoas", None, busca="Zuleica Exportada")
        assert "/console/pessoas.csv" not in {form.action for form in found.forms}


async def test_a_list_is_narrowed_by_days_either_way(app: RunningApp) -> None:
    account = await open_benefit_account(app.operator(), FOOD=0)
    day = clock.today() + timedelta(days=3)
    sent = await app.operator().call(
        "POST",
        f"/benefits/scheduled-credits?day={day}",
        json=[{"account": account, "category": "FOOD", "amount": 77_701}],
    )
    assert sent.status_code == 201, sent.text
    today, tomorrow = clock.today(), clock.today() + timedelta(days=1)
    async with desk_of(app, "RH") as browser:
        home = "/console/agendamentos"
        for order in ("", "&ordem=antigas"):
            found = await browser.get(f"{home}?de={today}&ate={today}{order}")
            assert "R$ 777,01" in found.text
            for other in (f"de={tomorrow}", f"ate={today - timedelta(days=1)}"):
                assert "R$ 777,01" not in (await browser.get(f"{home}?{other}{order}")).text
        assert "R$ 777,01" in (await browser.get(f"{home}?situacao=waiting")).text
        assert "R$ 777,01" not in (await browser.get(f"{home}?situacao=done")).text


async def test_whole_lists_are_narrowed_by_words_and_states(app: RunningApp) -> None:
    name = f"Zeladoria {uuid4().hex[:6]}"
    assert (await app.operator().post("/roles", {"description": name, "claim_ids": []})).status_code == 201
    async with desk_of(app, ADMINISTRATOR) as browser:
        found = await browser.get(f"/console/papeis?busca=zeladoria+{name[-6:]}&situacao=Desta+casa")
        assert name in found.text
        assert "atendente" not in found.text
        assert "atendente" in (await browser.get("/console/papeis?situacao=Do+produto")).text
        rows = rows_of(await browser.client.get(f"/console/papeis.csv?busca={name[-6:]}"))
        assert [row[0] for row in rows[1:]] == [name]
        assert (await browser.get("/console/papeis?situacao=nenhuma")).status == 422


async def test_the_few_rows_of_the_house_are_filtered_too(app: RunningApp) -> None:
    async with desk_of(app, ADMINISTRATOR) as browser:
        listed, behind, fine, nobody = [
            [row.split()[0] for row in (await browser.get(f"/console/eventos?{query}")).rows]
            for query in ("", "situacao=Atrasado", "situacao=Em+dia", "busca=ninguem+assim")
        ]
        assert listed, "somebody follows events"
        assert (sorted(behind + fine), nobody) == (sorted(listed), [])
        found = (await browser.get(f"/console/eventos?busca={listed[0]}")).rows
        assert listed[0] in [row.split()[0] for row in found]
        for wrong in ("eventos?situacao=x", "livro-razao?diferencas=x", "chaves-e-backups?atencao=x"):
            assert (await browser.get(f"/console/{wrong}")).status == 422, wrong


async def test_lists_have_the_filters_of_their_rows(app: RunningApp) -> None:
    gone, stays = await new_machine(app.operator()), await new_machine(app.operator())
    assert (await app.operator().call("DELETE", f"/clients/{gone.id}")).is_success
    employer = f"Mercearia {uuid4().hex[:8]}"
    added = await app.operator().post("/benefits/employers", {"name": employer, "cnpj": "19.131.243/0001-97"})
    assert added.status_code == 201, added.text
    async with desk_of(app, ADMINISTRATOR) as browser:
        assert str(gone.id) not in " ".join((await browser.get("/console/clientes?situacao=ativos")).links)
        revoked = " ".join((await browser.get("/console/clientes?situacao=revogados")).links)
        assert (str(gone.id) in revoked, str(stays.id) in revoked) == (True, False)
        assert employer in (await browser.get(f"/console/empresas?busca={employer[-8:]}")).text
        cnpj = added.json()["cnpj"]
        assert employer in (await browser.get(f"/console/empresas?busca={cnpj[:2]}.{cnpj[2:]}")).text
        assert employer not in (await browser.get("/console/empresas?busca=padaria+que+nao+ha")).text
        for path in (
            "meses?situacao=fechados",
            "webhooks?situacao=disabled",
            "contas-em-lote?situacao=prontos",
            "viagens?de=2026-01-01",
            "faixas?situacao=Vale+agora",
            "modelos?situacao=Em+vigor",
            "trabalhos?busca=nada",
            f"dividas?pessoa={uuid4()}",
        ):
            assert (await browser.get(f"/console/{path}")).status == 200, path
        assert "Nunca valeu" not in rows_text(await browser.client.get("/console/modelos.csv?situacao=Em+vigor"))


async def test_a_file_that_is_cut_says_so(app: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mechanism, "MOST_EXPORTED", 2)
    for _ in range(3):
        await new_machine(app.operator())
    async with desk_of(app, ADMINISTRATOR) as browser:
        rows = rows_of(await browser.client.get("/console/clientes.csv"))
        assert len(rows) == 1 + 2 + 1
        assert "há mais linhas" in rows[-1][0]


async def test_lists_of_one_thing_are_downloaded_too(app: RunningApp) -> None:
    operator, wrong = app.operator(), "123"
    sent = await operator.call(
        "POST",
        "/benefits/accounts/bulk",
        content=f"cpf;nome\n{new_cpf()};Maria\n{wrong};José\n",
        headers={"Content-Type": "text/csv"},
    )
    assert sent.status_code in {200, 201}, sent.text
    async with desk_of(app, "RH") as browser:
        path = f"/console/contas-em-lote/{sent.json()['id']}"
        page = await browser.get(path)
        assert any(link.startswith(f"{path}.csv") for link in page.links)
        rows = rows_of(await browser.client.get(f"{path}.csv"))
        assert [row[0] for row in rows[1:]] == ["1", "2"]
        turned = rows_of(await browser.client.get(f"{path}.csv?ordem=contrario"))
        assert [row[0] for row in turned[1:]] == ["2", "1"]
        assert (await browser.client.get(f"/console/contas-em-lote/{uuid4()}.csv")).status_code == 404
    async with desk_of(app, ADMINISTRATOR) as browser:
        employer = (await operator.get("/benefits/employers")).json()["items"][0]["id"]
        members = await browser.client.get(f"/console/empresas/{employer}/operadores.csv")
        assert rows_of(members)[0] == ["Nome", "O que é", "Desde"]


async def test_a_month_that_no_calendar_has_is_an_error_at_its_filter(app: RunningApp) -> None:
    async with desk_of(app, "aprovador") as browser:
        for month in ("0000-01", "2026-13", "9999-12"):
            page = await browser.get(f"/console/compras?mes={month}")
            assert (page.status, "Escreva o mês como 2026-11." in page.text) == (422, True), month
        assert (await browser.get("/console/compras?mes=2026-11")).status == 200
