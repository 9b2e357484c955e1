"""The panel: it counts what the operator may decide, and its alerts lead to where they are looked into."""

import re
from datetime import timedelta

from sqlalchemy import text

from carteira import ledger
from carteira.kit.values.clock import clock
from tests.support.app import RunningApp
from tests.support.benefits import open_benefit_account
from tests.support.console import desk_of, operator_of
from tests.support.machines import ask_token, new_machine
from tests.support.pages import PlainBrowser
from tests.support.people import new_cpf, sign_in
from tests.support.resellers import Buyer, new_month, new_reseller

MUCH = {"category": "FOOD", "amount": 900_000_000}


async def waiting(browser: PlainBrowser, what: str) -> int:
    """Return how many of something the panel says to wait."""
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
