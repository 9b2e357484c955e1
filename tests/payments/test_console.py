"""Pix on an operator's desk: a charge's life, returns that wait, and the day compared with the provider's list."""

import re
from datetime import timedelta

from sqlalchemy import text

from carteira.kit.values.clock import clock
from carteira.payments import reconciliation
from tests.payments.world import Wallet, txid
from tests.support.console import desk_of
from tests.support.pages import PlainBrowser, Shown

CHARGES, RECEIVED, DAYS = "/console/cobrancas", "/console/recebidos", "/console/conferencia"


async def return_payment(desk: PlainBrowser, e2eid: str, **typed: str) -> Shown:
    action = f"{RECEIVED}/{e2eid}/devolver"
    return await desk.send(await desk.get(action), action, None, **typed)


async def test_a_charge_is_shown_from_its_request_to_its_returns(wallet: Wallet) -> None:
    me = wallet.app.person()
    charge, waiting = await wallet.charge(me), await wallet.charge(me, 1_234)
    e2eid, again = wallet.stand_in.pay(txid(charge)), wallet.stand_in.pay(txid(charge))
    await wallet.poll()
    async with desk_of(wallet.app, "atendente") as desk:
        sent = await return_payment(desk, e2eid, amount="5,00", reason="engano no valor")
        assert "R$ 5,00 a caminho de quem pagou." in (await desk.follow(sent)).text
        await wallet.poll()
        shown = await desk.get(f"{CHARGES}/{charge['id']}")
        for said in (
            "Simulação: nenhum dinheiro de verdade",
            "R$ 20,00 por Pix",
            "R$ 20,00 pagos",
            "Soubemos pela lista do provedor",
            "R$ 20,00 pagos e não creditados: a cobrança já estava paga",
            "Devolução de R$ 5,00 pedida",
            "engano no valor",
            "R$ 5,00 devolvidos",
        ):
            assert said in shown.text, said
        assert {f"{RECEIVED}/{e2eid}", f"{RECEIVED}/{again}"} <= set(shown.links)
        for asked, found in (
            ("situacao=paid", {charge["id"]}),
            ("situacao=active", {waiting["id"]}),
            ("finalidade=transport_recharge", {charge["id"], waiting["id"]}),
            ("finalidade=benefit_funding", set()),
            (f"txid={txid(waiting)}", {waiting["id"]}),
            (f"de={clock.today()}", {charge["id"], waiting["id"]}),
            (f"ate={clock.today() - timedelta(days=1)}", set()),
        ):
            links = {link.rpartition("/")[2] for link in (await desk.get(f"{CHARGES}?{asked}")).links}
            assert links & {charge["id"], waiting["id"]} == found, asked
        clock.set(clock.now() + timedelta(hours=2))
        for asked, there in (("situacao=expired", True), ("situacao=active", False)):
            listed = await desk.get(f"{CHARGES}?{asked}&txid={txid(waiting)}")
            assert (f"{CHARGES}/{waiting['id']}" in listed.links) is there, asked
        for wrong in ("situacao=nada", "txid=%2F", "de=9999-12-31", "ate=0001-01-01", "de=ontem"):
            assert (await desk.get(f"{CHARGES}?{wrong}")).status == 422, wrong
    seen = await wallet.app.person("audit:read").get("/audit", subject=str(me.id))
    assert {"charge_read", "charges_listed", "payment_read"} <= {one["action"] for one in seen.json()["items"]}


async def test_a_waiting_payment_is_returned_once_after_a_preview(wallet: Wallet) -> None:
    me = wallet.app.person()
    charge = await wallet.charge(me)
    wallet.stand_in.behave(returns="fails")
    e2eid = wallet.stand_in.pay(txid(charge), amount=1_999)
    await wallet.poll()
    wallet.stand_in.behave()
    async with desk_of(wallet.app, "atendente") as desk, desk_of(wallet.app, "auditor") as auditor:
        assert re.search(r"[1-9][0-9]* Pix a devolver", (await desk.get("/console")).text)
        assert f"{RECEIVED}/{e2eid}" in (await desk.get(RECEIVED)).links
        panel = await auditor.get(f"{RECEIVED}/{e2eid}")
        assert "O valor não era o da cobrança: não foi creditado." in panel.text
        assert "que o provedor não devolveu" in panel.text
        assert f"{RECEIVED}/{e2eid}/devolver" not in panel.links, "an auditor only reads"
        action = f"{RECEIVED}/{e2eid}/devolver"
        assert action in (await desk.get(f"{RECEIVED}/{e2eid}")).links
        asked = await desk.get(action)
        assert "O dinheiro está à parte, e volta à conta de onde o Pix veio." in asked.text
        assert asked.form(action).fields["amount"] == "19,99", "everything that remains"
        for typed, status in (
            ({"reason": ""}, 422),
            ({"reason": "x", "amount": "muito"}, 422),
            ({"reason": "x", "amount": "0,00"}, 422),
            ({"reason": "x", "amount": "20,00"}, 409),
        ):
            assert (await desk.send(asked, action, None, **typed)).status == status, typed
        done = await desk.send(asked, action, None, reason="pago com outro valor")
        assert "R$ 19,99 a caminho" in (await desk.follow(done)).text
        twice = await desk.send(asked, action, None, reason="pago com outro valor")
        assert "Já recebemos este pedido" in (await desk.follow(twice)).text
        await wallet.poll()
        assert f"{RECEIVED}/{e2eid}" not in (await desk.get(RECEIVED)).links
        for asked_by in ("situacao=returned", "situacao=not_credited", f"situacao=todos&de={clock.today()}"):
            assert f"{RECEIVED}/{e2eid}" in (await desk.get(f"{RECEIVED}?{asked_by}")).links, asked_by
        assert f"{RECEIVED}/{e2eid}" not in (await desk.get(f"{RECEIVED}?situacao=returning")).links
        assert (await desk.get(f"{RECEIVED}/{'E' * 32}")).status == 404
        assert (await desk.get(f"{RECEIVED}/{'E' * 32}/devolver")).status == 404
        sheet = await auditor.client.get(f"{RECEIVED}.csv?situacao=returned")
        assert (sheet.status_code, e2eid in sheet.text) == (200, True)
    acts = (await wallet.app.person("audit:read").get("/audit", action="payment_returned")).json()["items"]
    assert [one["details"]["amount"] for one in acts if one["details"]["e2eid"] == e2eid] == [1_999]


async def test_spent_money_is_not_returned_and_large_returns_wait_for_a_second_person(wallet: Wallet) -> None:
    me = wallet.app.person()
    charge = await wallet.charge(me, 6_000)
    e2eid = wallet.stand_in.pay(txid(charge))
    await wallet.poll()
    async with desk_of(wallet.app, "atendente") as desk:
        waits = await desk.follow(await return_payment(desk, e2eid, reason="tudo"))
        assert "Pedido: espera outra pessoa." in waits.text
        assert await wallet.balance(me) == 6_000
        await me.post(f"/transport-cards/{await wallet.card(me)}/debit", {"amount": 5_500})
        refused = await return_payment(desk, e2eid, amount="6,00", reason="já gasto")
        assert refused.status == 409
        assert "gast" in refused.text


async def test_a_day_shows_its_differences(wallet: Wallet) -> None:
    me = wallet.app.person()
    charge = await wallet.charge(me)
    e2eid = wallet.stand_in.pay(txid(charge), tell=False)
    today, earlier = clock.today(), clock.today() - timedelta(days=7)
    await reconciliation.compare(wallet.app.database, wallet.payments, today)
    await reconciliation.compare(wallet.app.database, wallet.payments, earlier)
    async with desk_of(wallet.app, "auditor") as desk:
        listed = await desk.get(DAYS)
        assert {f"{DAYS}/{today}", f"{DAYS}/{earlier}"} <= set(listed.links)
        assert "1 não batem" in listed.text
        assert f"{DAYS}/{today}" not in (await desk.get(f"{DAYS}?ate={earlier}")).links
        assert f"{DAYS}/{earlier}" not in (await desk.get(f"{DAYS}?de={today}")).links
        shown = await desk.get(f"{DAYS}/{today}")
        assert "Só no provedor: nada aqui, R$ 20,00 lá" in shown.text
        assert f"{RECEIVED}/{e2eid}" in shown.links
        for nowhere in ("1999-01-01", "2026-02-30", "hoje"):
            assert (await desk.get(f"{DAYS}/{nowhere}")).status == 404, nowhere
        assert f"{today:%d/%m/%Y}" in (await desk.client.get(f"{DAYS}.csv")).text
        assert "Pix e a lista do provedor" in (await desk.get("/console")).text
    reader = wallet.app.person("payments:read")
    for period, days in (
        ({"to": str(earlier)}, [earlier]),
        ({"from": str(today)}, [today]),
        ({"from": str(earlier), "to": str(earlier)}, [earlier]),
        ({"from": f"{earlier}T12:00:00-03:00"}, [today]),
        ({"to": f"{today}T00:00:00-03:00"}, [earlier]),
    ):
        found = [one["day"] for one in (await reader.get("/payments/days", **period)).json()["items"]]
        assert found == [str(day) for day in days], period
    async with wallet.app.database.transaction() as tx:
        await tx.execute(text("DELETE FROM payments_differences"))
        await tx.execute(text("DELETE FROM payments_days"))
