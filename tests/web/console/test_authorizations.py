"""Decisions on the console: filters in the address, pages, reasons, and the CSV; without scripts."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from sqlalchemy import text
from starlette.types import Message

from carteira.web.console import live
from tests.support.app import RunningApp
from tests.support.benefits import AUTHORIZER, open_benefit_account, processor_headers, purchase
from tests.support.console import desk_of, operator_of
from tests.support.pages import PlainBrowser
from tests.support.people import Person, register

HOME = "/console/autorizacoes"
HOSTILE = "<b>BAR</b> =1+1"


@pytest.fixture(scope="module")
async def holder(app: RunningApp) -> Person:
    return await register(app, full_name="Zulmira Quaresma")


@pytest.fixture(scope="module")
async def account(app: RunningApp, holder: Person) -> str:
    """An account with a refusal for lack of balance, one for a malformed MCC, and 55 purchases."""
    reference = await open_benefit_account(app.operator(), user_id=holder.id, FOOD=1_000_000, MEAL=3_250, CASH=0)
    asked = [purchase(reference, "10.00", "5411", merchant=f"MERCADO {number:02d}") for number in range(55)]
    asked += [purchase(reference, "38.90", "5811", merchant=HOSTILE), purchase(reference, "5.00", "58A1")]
    for body in asked:
        answer = await app.client.post(AUTHORIZER, content=body, headers=processor_headers())
        assert answer.status_code == 200
    return reference


@pytest.fixture
async def desk(app: RunningApp) -> AsyncIterator[PlainBrowser]:
    async with desk_of(app, "auditor") as browser:
        yield browser


@asynccontextmanager
async def streamed(app: RunningApp, browser: PlainBrowser) -> AsyncIterator[asyncio.Queue[str]]:
    """Open the live stream as a server does, until the block ends; return its parts as they arrive."""
    headers = browser.client.build_request("GET", live.PATH).headers.raw
    parts, ended, asked = asyncio.Queue[str](), asyncio.Event(), iter([True])
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": live.PATH,
        "raw_path": live.PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in headers],
        "client": ("127.0.0.1", 1),
        "server": ("carteira", 80),
    }

    async def receive() -> Message:
        if next(asked, False):
            return {"type": "http.request", "body": b"", "more_body": False}
        await ended.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        parts.put_nowait(message.get("body", b"").decode())

    serving = asyncio.create_task(app.application(scope, receive, send))
    try:
        await read_until(parts, "event: abriu")
        yield parts
    finally:
        ended.set()
        await serving


async def read_until(parts: asyncio.Queue[str], awaited: str) -> str:
    """Read a stream until a text has arrived; return all that was read."""
    read = ""
    async with asyncio.timeout(60):
        while awaited not in read:
            read += await parts.get()
    return read


async def test_filters_stand_in_the_address_and_pages_go_on(desk: PlainBrowser, account: str) -> None:
    first = await desk.get(f"{HOME}?conta={account}")
    assert first.status == 200
    assert "MERCADO 54" in first.text
    assert "MERCADO 00" not in first.text
    further = next(link for link in first.links if "depois=" in link)
    assert f"conta={account}" in further
    second = await desk.get(further)
    assert "MERCADO 00" in second.text
    oldest = await desk.get(f"{HOME}?conta={account}&ordem=antigas")
    assert "MERCADO 00" in oldest.text
    declined = await desk.get(f"{HOME}?conta={account}&resposta=recusadas")
    assert "Refeição: faltaram R$ 6,40" in declined.text
    assert "MERCADO" not in declined.text
    by_name = await desk.get(f"{HOME}?estabelecimento=mercado+54&conta={account}")
    assert "MERCADO 54" in by_name.text
    assert "MERCADO 53" not in by_name.text
    none = await desk.get(f"{HOME}?conta={account}&ate=2020-01-01")
    assert "Nada com esses filtros" in none.text


async def test_an_account_and_a_person_are_both_asked_for(
    app: RunningApp, desk: PlainBrowser, account: str, holder: Person
) -> None:
    other = await register(app)
    theirs = await desk.get(f"{HOME}?conta={account}&pessoa={holder.id}")
    assert "MERCADO 54" in theirs.text
    none = await desk.get(f"{HOME}?conta={account}&pessoa={other.id}")
    assert (none.rows, "Nada com esses filtros" in none.text) == ([], True)


async def test_decisions_are_filtered_by_reason_and_the_bound_stands_beside_a_short_result(
    desk: PlainBrowser, account: str
) -> None:
    found = await desk.get(f"{HOME}?conta={account}&motivo=invalid_mcc")
    assert found.answer.text.count('class="code-badge code-badge--07"') == 1
    assert "code-badge--51" not in found.answer.text
    assert "MERCADO" not in found.text
    assert "Foram olhadas só as 20.000 transações mais novas que não passaram" in found.text
    turned = await desk.get(f"{HOME}?conta={account}&estabelecimento=mercado+54&ordem=antigas")
    assert "MERCADO 54" in turned.text
    assert "Foram olhadas só as 20.000 transações mais antigas do período" in turned.text
    many = await desk.get(f"{HOME}?conta={account}&estabelecimento=mercado")
    assert "Foram olhadas" not in many.text, "there is a next page"
    last = await desk.get(next(link for link in many.links if "depois=" in link))
    assert "Foram olhadas só as 20.000 transações seguintes do período" in last.text
    assert (await desk.get(f"{HOME}?motivo=nenhum")).status == 422
    for query in ("motivo=account_blocked", "estabelecimento=nenhum+assim"):
        none = await desk.get(f"{HOME}?conta={account}&{query}")
        assert "Nada com esses filtros" in none.text
        assert "Foram olhadas só as 20.000 transações mais novas" in none.text
    other = await desk.get(f"{HOME}?conta={account}&ate=2020-01-01")
    assert "Foram olhadas" not in other.text, "nothing is walked"


async def test_the_numbers_of_the_panel_lead_to_their_lists(desk: PlainBrowser, account: str) -> None:
    panel = await desk.get("/console")
    assert {f"{HOME}?resposta=00", "#h-lat", "/console/livro-razao", "/console/eventos"} <= set(panel.links)
    led = [link for link in panel.links if "?motivo=" in link]
    assert f"{HOME}?motivo=insufficient_funds" in led
    listed = await desk.get(f"{HOME}?motivo=insufficient_funds")
    assert account in listed.text
    for link in [*led, "/console/livro-razao", "/console/eventos"]:
        assert (await desk.get(link)).status == 200, link
    assert "Quem segue" in (await desk.get("/console/eventos")).text


async def test_the_panel_draws_how_long_answers_took(desk: PlainBrowser, account: str) -> None:
    panel = await desk.get("/console")
    _, _, drawn = panel.answer.text.partition('id="h-lat"')
    assert "<svg" in drawn.partition("</figure>")[0]
    assert " ms</td>" in drawn, f"the answers of {account} took longer than expected"


async def test_errors_of_a_filter_stand_beside_it(desk: PlainBrowser, account: str) -> None:
    wrong = await desk.get(f"{HOME}?conta=a+b&resposta=99&de=31/02/2026&cor=azul")
    assert wrong.status == 422
    for told in ("Uma conta tem letras", "Escolha uma das opções.", "Escreva um dia", "não tem: cor"):
        assert told in wrong.text
    assert (await desk.get(f"{HOME}?conta={account}&depois=nada")).status == 404
    assert "Nada com esses filtros" in (await desk.get(f"{HOME}?conta={uuid4()}")).text, (
        "an account that does not exist"
    )


async def test_a_decision_shows_its_steps_and_the_person_sees_the_look(
    desk: PlainBrowser, account: str, holder: Person
) -> None:
    found = await desk.get(f"{HOME}?conta={account}&resposta=51")
    assert HOSTILE in found.text
    assert HOSTILE not in found.answer.text, "a merchant's name stays text"
    shown = await desk.get(next(link for link in found.links if link.startswith(f"{HOME}/")))
    for told in ("Faltaram R$ 6,40", "Refeição tinha R$ 32,50", "Respondemos 51", "Zulmira Quaresma"):
        assert told in shown.text
    part = await desk.client.get(shown.answer.url.path, headers={"HX-Request": "true"})
    assert "Respondemos 51" in part.text
    assert "<nav" not in part.text
    seen = (await holder.get("/users/me/accesses", limit=100)).json()["items"]
    assert {"transactions_listed", "transaction_read"} <= {item["action"] for item in seen}
    broken = await desk.get(f"{HOME}?conta={account}&resposta=07")
    why = await desk.get(next(link for link in broken.links if link.startswith(f"{HOME}/")))
    assert "O código do estabelecimento (MCC) não tem quatro dígitos." in why.text


async def test_a_list_is_downloaded_whole_and_the_audit_keeps_it(
    app: RunningApp, desk: PlainBrowser, account: str
) -> None:
    answer = await desk.client.get(f"{HOME}.csv?conta={account}")
    assert answer.headers["content-disposition"].startswith('attachment; filename="autorizacoes-')
    rows = list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig")), delimiter=";"))
    assert len(rows) == 58
    assert rows[0][:3] == ["Hora", "Conta", "Estabelecimento"]
    assert "38,90" in {row[4] for row in rows}
    assert (await desk.client.get(f"{HOME}.csv?resposta=99")).status_code == 404
    async with app.database.transaction() as tx:
        kept = await tx.scalar(
            text("SELECT details FROM audit_log WHERE action = 'list_exported' ORDER BY id DESC LIMIT 1")
        )
    assert kept == {"list": "autorizacoes", "filters": {"conta": account}, "rows": 57}


async def test_a_bound_operator_sees_only_their_employers_decisions(app: RunningApp, account: str) -> None:
    maker = app.operator()
    employer = (await maker.post("/benefits/employers", {"cnpj": "11.222.333/0001-81", "name": "Outra"})).json()["id"]
    person = await operator_of(app, "RH")
    bound = await maker.call("PUT", f"/benefits/employers/{employer}/members/{person.id}")
    assert bound.status_code < 300, bound.text
    browser = PlainBrowser(app)
    await browser.sign_in(person)
    empty = await browser.get(HOME)
    assert account not in empty.text
    assert ("data-live", live.PATH) in empty.attributes, "an empty list goes live"
    assert "data-rows" in dict(empty.attributes), "the first row to arrive has a table"
    filtered = await browser.get(f"{HOME}?conta={account}")
    assert "Nada com esses filtros" in filtered.text
    assert "data-live" not in dict(filtered.attributes)
    body = {"account": f"t-{uuid4()}", "employer_id": employer, "user_id": str(uuid4()), "balances": {"CASH": 9_000}}
    assert (await maker.post("/benefits/accounts", body)).status_code == 201
    async with (
        desk_of(app, "auditor") as unbound,
        streamed(app, browser) as theirs,
        streamed(app, unbound) as everyones,
    ):
        for reference, merchant in ((account, "LOJA ALHEIA"), (body["account"], "LOJA DELES")):
            asked = purchase(reference, "1.00", merchant=merchant)
            assert (await app.client.post(AUTHORIZER, content=asked, headers=processor_headers())).status_code == 200
        assert "LOJA ALHEIA" not in await read_until(theirs, "LOJA DELES")
        assert "LOJA ALHEIA" in await read_until(everyones, "LOJA DELES")
    await browser.client.aclose()
