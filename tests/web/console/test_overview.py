"""The panel: it counts what the operator may decide, and its alerts lead to where they are looked into."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from carteira import ledger
from carteira.assistant.tickets import open_ticket
from carteira.key_rings import rings_on
from carteira.kit.values.clock import clock
from carteira.web.console import house, overview
from tests.support import files
from tests.support.app import RunningApp
from tests.support.benefits import AUTHORIZER, open_benefit_account, processor_headers, purchase
from tests.support.console import desk_of, operator_of
from tests.support.documents import upload
from tests.support.machines import ask_token, new_machine
from tests.support.pages import PlainBrowser, Shown, plain
from tests.support.people import new_cpf, register, sign_in
from tests.support.resellers import Buyer, new_month, new_reseller
from tests.support.webhooks import new_hook
from tests.web.console.test_rights import dispute

MUCH = {"category": "FOOD", "amount": 900_000_000}
WINDOW = timedelta(minutes=overview._MINUTES)  # noqa: SLF001 - the panel's own window


def figures_of(shown: Shown) -> dict[str, tuple[str, str]]:
    """Return the panel's figures by name: the value, and what is said below it."""
    found = re.findall(
        r'<p class="eyebrow">(.*?)</p><p class="kpi__value">(.*?)</p>(?:<p class="delta">(.*?)</p>)?', shown.answer.text
    )
    return {plain(name): (plain(value), plain(below)) for name, value, below in found}


async def waiting(browser: PlainBrowser, what: str) -> int:
    """Return the panel's count of waiting items of one kind."""
    found = re.search(rf"(\d+) {what}", (await browser.get("/console")).text)
    return int(found.group(1)) if found else 0


async def credit(app: RunningApp, account: str, headers: dict[str, str]) -> None:
    path = f"/benefits/accounts/{account}/credits"
    answer = await app.client.post(path, json=MUCH, headers=headers)
    assert answer.status_code == 202, answer.text


async def test_the_panel_counts_what_the_operator_may_approve(app: RunningApp) -> None:
    somebodys = await open_benefit_account(app.operator(), FOOD=0)
    ana = await sign_in(await operator_of(app, "administrador"))
    hers = await open_benefit_account(app.operator(), user_id=ana.id, FOOD=0)
    browser = PlainBrowser(app)
    await browser.sign_in(ana)
    before = await waiting(browser, "pendência")
    await credit(app, somebodys, ana.headers)
    assert await waiting(browser, "pendência") == before, "her own"
    machine = await new_machine(ana, "benefits:write")
    token = (await ask_token(app.client, machine)).json()["access_token"]
    await credit(app, somebodys, {"Authorization": f"Bearer {token}"})
    assert await waiting(browser, "pendência") == before, "of a client that she made"
    await credit(app, hers, app.person("benefits:write").headers)
    assert await waiting(browser, "pendência") == before, "she gains by it"
    await credit(app, somebodys, app.person("benefits:write").headers)
    assert await waiting(browser, "pendência") == before + 1
    await browser.client.aclose()


async def test_the_panel_counts_no_purchases_that_the_operator_registered(app: RunningApp) -> None:
    seller = await new_reseller(app)
    ana = await sign_in(await operator_of(app, "administrador"))
    browser = PlainBrowser(app)
    await browser.sign_in(ana)
    before = await waiting(browser, "compras? a decidir")
    clerk = Buyer(app.client, ana.id, ana.headers, str(seller.cpf))
    await clerk.buy(10_000, new_month())
    assert await waiting(browser, "compras? a decidir") == before
    await seller.buy(10_000, new_month())
    assert await waiting(browser, "compras? a decidir") == before + 1
    await browser.client.aclose()


async def test_an_alert_leads_to_where_it_is_looked_into(app: RunningApp) -> None:
    sent = await app.operator().call(
        "POST",
        "/benefits/accounts/bulk",
        content=f"cpf;nome\n{new_cpf()};Maria\n",
        headers={"Content-Type": "text/csv"},
    )
    assert sent.status_code in {200, 201}, sent.text
    async with desk_of(app, "administrador") as browser:
        assert "Arquivo de contas" not in (await browser.get("/console")).text
        async with app.database.transaction() as tx:
            statement = "UPDATE benefits_imports SET created_at = :at WHERE id = :id"
            await tx.execute(text(statement), {"at": clock.now() - timedelta(hours=2), "id": sent.json()["id"]})
        shown = await browser.get("/console")
        assert "Arquivo de contas" in shown.text
        assert '<a href="/console/contas-em-lote">Arquivo de contas</a>' in shown.answer.text
        assert "ainda não conferido" in shown.text, "a proof that never ran is no proof"
    async with desk_of(app, "auditor") as browser:
        assert "Arquivo de contas" not in (await browser.get("/console")).text
    async with app.database.transaction() as tx:
        await tx.execute(text("UPDATE benefits_imports SET finished_at = created_at WHERE finished_at IS NULL"))


async def test_the_ledgers_health_names_the_head_of_its_chain(app: RunningApp) -> None:
    proven = await ledger.prove_chain(app.database, whole=True)
    async with desk_of(app, "auditor") as browser:
        shown = (await browser.get("/console")).text
    assert f"; cabeça: bloco {proven.height}, {proven.head.hex()[:12]}" in shown


async def test_the_figures_are_those_of_the_last_minutes(app: RunningApp) -> None:
    """The clock stands ahead by the panel's window: only what this test does is recent."""
    account = await open_benefit_account(app.operator(), FOOD=10_000, CASH=0)
    people = [await register(app) for _ in range(2)]
    clock.set(datetime.now(UTC) + WINDOW)
    asked = [purchase(account, "1.00", "5411")] * 9 + [purchase(account, "500.00", "5411")] * 3
    for body in [*asked, purchase(account, "5.00", "58A1")]:
        await app.client.post(AUTHORIZER, content=body, headers=processor_headers())
    for person in people:
        await sign_in(person)
    async with desk_of(app, "administrador") as browser:
        shown = await browser.get("/console")
    assert (
        figures_of(shown).items()
        >= {
            "Autorizações": ("0,01 por segundo", "13 em 15 minutos"),
            "Passaram": ("69,2%", ""),
            "Sem saldo 51": ("3", ""),
            "Outras recusas 07": ("1", ""),
        }.items()
    )
    assert shown.lines("h-rec") == ["Faltou saldo 3", "MCC sem quatro números 1"]
    volume = shown.section("h-vol")
    told = re.findall(r'</td><td class="end">(\d+)</td><td class="end">(\d+)</td></tr>', volume)
    minutes = [(int(passed), int(declined)) for passed, declined in told]
    assert [sum(counts) for counts in zip(*minutes, strict=True)] == [9, 4]
    drawn = [int(height) for height in re.findall(r'<rect [^>]*height="(\d+)"', volume)]
    tallest, most = overview._TALLEST, max(map(sum, minutes))  # noqa: SLF001 - the picture's own height
    assert drawn == [count * tallest // most for counts in minutes for count in counts], "bars stand for the numbers"
    assert "Entradas 3 em 15 minutos" in shown.lines("h-sau"), "two people, and who looks"


async def test_the_panel_counts_what_others_wait_for(app: RunningApp) -> None:
    """Documents, tickets and disputed CPFs: never the operator's own."""
    ana = await operator_of(app, "administrador")
    browser = PlainBrowser(app)
    await browser.sign_in(ana)
    kinds = ("documentos? a conferir", "atendimentos? abertos?", "CPFs? em disputa")
    before = [await waiting(browser, kind) for kind in kinds]
    somebody = await register(app)
    assert (await upload(ana, files.pdf())).status_code == 201
    async with app.database.transaction() as tx:
        await open_ticket(tx, ana.id, "Falar com alguém")
    await dispute(app, await register(app), ana)
    assert [await waiting(browser, kind) for kind in kinds] == before
    assert (await upload(somebody, files.pdf())).status_code == 201
    async with app.database.transaction() as tx:
        await open_ticket(tx, somebody.id, "Falar com alguém")
    await dispute(app, await register(app), somebody)
    assert [await waiting(browser, kind) for kind in kinds] == [count + 1 for count in before]
    await browser.client.aclose()


_TOP_UPS = """
    INSERT INTO benefits_scheduled_credits
        (id, employer_ids, day, actor_kind, actor_id, content, atomic, lines, amount, state, created_at, done_at)
    SELECT gen_random_uuid(), '{}', current_date - 3, 'person', 'test', '{}', false, 1, 1, state, now(), done_at
    FROM (VALUES ('waiting', NULL), ('failed', now())) AS top_up (state, done_at)
"""
_DAY = """
    INSERT INTO payments_days (day, matched, missing_here, missing_there, amount_differs, received_here, received_there,
                               returned_here, returned_there, checked_at)
    VALUES (current_date - 1, 0, 1, 0, 0, 0, 0, 0, 0, now())
"""
_LATE = (
    _TOP_UPS,
    _DAY,
    "UPDATE webhook_endpoints SET failures = CASE WHEN id = CAST(:hook AS uuid) THEN 3 ELSE 0 END",
    "DELETE FROM procrastinate_jobs WHERE status = 'failed'",
    "INSERT INTO procrastinate_jobs (queue_name, task_name, status) VALUES ('default', 'x:y', 'failed')",
    "UPDATE ledger_checks SET findings = 2 WHERE name = 'reconcile'",
    "UPDATE ledger_checks SET checked_at = now() - interval '31 hours' WHERE name = 'verify'",
)
_REPAIRED = (
    "DELETE FROM benefits_scheduled_credits WHERE actor_id = 'test'",
    "UPDATE webhook_endpoints SET failures = 0",
    "DELETE FROM procrastinate_jobs WHERE status = 'failed'",
    "DELETE FROM ledger_checks",
    "DELETE FROM payments_days",
)


@asynccontextmanager
async def everything_late(app: RunningApp, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """Let all that the panel watches be wrong or late, until the block ends; give the key file that others may read."""
    hook = await new_hook(app.operator(), "http://127.0.0.1:9/", "benefits.credited")
    await ledger.prove_balances(app.database, whole=True)
    await ledger.prove_chain(app.database, whole=True)
    monkeypatch.setattr(house, "_FRESH_SECONDS", 0.0)
    ring = next(ring for ring in rings_on(app.settings) if ring.name == "identity").path(app.settings)
    ring.chmod(0o644)
    async with app.database.transaction() as tx:
        for statement in _LATE:
            await tx.execute(text(statement), {"hook": hook.id} if ":hook" in statement else {})
    clock.advance(WINDOW)  # events that no worker has read become old
    try:
        yield ring
    finally:
        ring.chmod(0o600)
        async with app.database.transaction() as tx:
            for statement in _REPAIRED:
                await tx.execute(text(statement))


async def test_each_kind_of_alert_is_told_and_leads_somewhere(app: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    async with everything_late(app, monkeypatch), desk_of(app, "administrador") as browser:
        shown = await browser.get("/console")
        alerts = shown.lines("h-ale")
        for what, said in (
            ("Saldos e lançamentos batem", "2 diferenças"),
            ("Cadeia do livro-razão", "sem diferenças"),
            ("Pix e a lista do provedor", "1 diferença"),
            ("Trabalhos", "1 abandonado"),
            ("Eventos", "à espera há"),
            ("Chave do cadastro", "com defeito"),
            ("Créditos agendados", "1 atrasado"),
            ("Créditos agendados", "1 em 7 dias não moveram nada"),
            ("Webhooks", "1 endereço não responde"),
        ):
            assert any(line.startswith(what) and said in line for line in alerts), (what, said, alerts)
        for path in ("conferencia", "trabalhos", "chaves-e-backups", "agendamentos", "webhooks"):
            assert f'<a href="/console/{path}">' in shown.section("h-ale"), path
        for query, led in (
            ("livro-razao?diferencas=sim", "Saldos e lançamentos batem"),
            ("livro-razao?diferencas=nao", "Cadeia do livro-razão"),
        ):
            (row,) = (await browser.get(f"/console/{query}")).rows
            assert row.startswith(led), query
        assert "Chave do cadastro" in (await browser.get("/console/chaves-e-backups?atencao=sim")).text
        assert "Chave do cadastro" not in (await browser.get("/console/chaves-e-backups?atencao=nao")).text
    async with desk_of(app, "administrador") as browser:
        told = " ".join((await browser.get("/console")).lines("h-ale"))
        for what in ("diferença", "abandonado", "Chave do cadastro", "Créditos agendados", "Webhooks"):
            assert what not in told, "what is repaired is no alert"
