"""A charge's life with interruptions: a process dies, the provider is down, a page is opened."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from uuid import UUID

import pytest

from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import Act
from carteira.kit.values.clock import clock
from carteira.payments import charges, receiving, returns
from carteira.payments.models import Charge
from carteira.payments.provider import PaymentProviderDown
from tests.payments.world import Wallet, txid
from tests.support.chat import ChatUser
from tests.support.machines import new_acting
from tests.support.pages import PlainBrowser
from tests.support.people import Person, new_cpf, register


class _Killed(BaseException):
    """Ends a transaction as a dying process does: nothing of it is stored."""


@asynccontextmanager
async def _dying(database: Database) -> AsyncIterator[Tx]:
    with suppress(_Killed):
        async with database.transaction() as tx:
            yield tx
            raise _Killed


async def _write_down(wallet: Wallet, me: Person) -> UUID:
    """Store a charge, and die before the provider is called."""
    wallet.stand_in.behave(api="unavailable")
    made = await wallet.charge(me)
    wallet.stand_in.behave()
    assert made["state"] == "creating"
    return UUID(made["id"])


async def test_a_process_may_die_between_any_two_steps(wallet: Wallet) -> None:
    me, database, payments = wallet.app.person(), wallet.app.database, wallet.payments
    charge_id = await _write_down(wallet, me)
    async with database.transaction() as tx:
        row = await tx.get_one(Charge, charge_id)
    async with payments.asking() as provider:  # created there, and killed before it is stored
        assert await charges.make(provider, row, payments) is not None
    assert await wallet.state(me, {"id": charge_id}) == "creating"
    clock.set(clock.now() + timedelta(minutes=1))
    await wallet.poll()
    assert await wallet.state(me, {"id": charge_id}) == "active", "a repeated request finds the existing one"
    e2eid = wallet.stand_in.pay(charge_id.hex, tell=False)
    async with payments.asking() as provider:
        pix = await provider.payment(e2eid)
    assert pix is not None
    async with _dying(database) as tx:  # credited, and killed before the commit
        assert await receiving.process(tx, payments, pix, "polling")
    assert await wallet.balance(me) == 0
    for _ in range(2):
        await wallet.poll()
    assert await wallet.balance(me) == 2_000
    order = returns.ReturnOrder(e2eid=e2eid, amount=500, reason="engano")
    async with _dying(database) as tx:  # a return is requested, and killed before the commit
        await returns.ask(tx, payments, order, Act(returns.SENDER))
    assert await wallet.balance(me) == 2_000
    async with database.transaction() as tx:  # requested, and killed before the call to the provider
        made = await returns.ask(tx, payments, order, Act(returns.SENDER))
        return_id = made.id
    async with payments.asking() as provider:  # done there, and killed before it is stored
        assert (await provider.give_back(e2eid, return_id.hex, 500)).status == "DEVOLVIDO"
    for _ in range(2):
        await wallet.poll()
    (back,) = (await wallet.received(e2eid))["returns"]
    assert (back["id"], back["state"]) == (str(return_id), "returned")
    assert await wallet.balance(me) == 1_500


async def test_a_provider_that_is_down_for_ten_minutes_costs_nobody_anything(wallet: Wallet) -> None:
    me, operator = wallet.app.person(), wallet.app.person("payments:return")
    paid, waiting = await wallet.charge(me), await wallet.charge(me, 700)
    e2eid = wallet.stand_in.pay(txid(paid), tell=False)
    await wallet.poll()
    wallet.stand_in.behave(api="unavailable")
    late = wallet.stand_in.pay(txid(waiting), tell=False)
    asked = await operator.post(f"/payments/received/{e2eid}/returns", {"amount": 300, "reason": "engano"})
    assert asked.status_code == 201, asked.text
    made_meanwhile = await wallet.charge(me, 800)
    for _ in range(5):
        clock.set(clock.now() + timedelta(minutes=2))
        with pytest.raises(PaymentProviderDown):
            await wallet.poll()
    assert await wallet.state(me, made_meanwhile) == "creating"
    wallet.stand_in.behave()
    await wallet.poll()
    assert await wallet.state(me, made_meanwhile) == "active"
    assert (await wallet.received(late))["credited"] == 700
    assert [one["state"] for one in (await wallet.received(e2eid))["returns"]] == ["returned"]
    assert await wallet.balance(me) == 2_000 - 300 + 700


async def test_a_client_pays_in_for_a_pre_funded_employer(wallet: Wallet) -> None:
    admin = wallet.app.operator()
    made = await admin.post("/benefits/employers", {"cnpj": "19131243000197", "name": "Escola", "prefunded": True})
    employer = made.json()["id"]
    erp = await new_acting(admin, "benefits:fund")
    order = {"purpose": "benefit_funding", "amount": 4_000, "employer_id": employer}
    hr = await new_acting(admin, "benefits:write")
    fund = {"employer_id": employer, "prefunded": True, "balance": 0}
    assert (await hr.get(f"/benefits/employers/{employer}/fund")).json() == fund
    charge = await erp.post("/payments/charges", order)
    assert charge.status_code == 201, charge.text
    wallet.stand_in.pay(txid(charge.json()), tell=False)
    await wallet.poll()
    assert (await erp.get(f"/payments/charges/{charge.json()['id']}")).json()["state"] == "paid"
    assert (await hr.get(f"/benefits/employers/{employer}/fund")).json() == fund | {"balance": 4_000}
    account = await hr.post("/benefits/accounts", {"account": "f-1", "cpf": new_cpf(), "employer_id": employer})
    assert account.status_code == 201, account.text
    credit = await hr.post("/benefits/accounts/f-1/credits", {"category": "FOOD", "amount": 1_500})
    assert credit.status_code == 201, credit.text
    assert (await hr.get(f"/benefits/employers/{employer}/fund")).json()["balance"] == 2_500
    assert (await erp.get(f"/benefits/employers/{employer}/fund")).status_code == 403
    without = await new_acting(admin, "benefits:read")
    assert (await without.post("/payments/charges", order)).status_code == 403


async def test_only_a_signed_call_is_accepted(wallet: Wallet) -> None:
    me = wallet.app.person()
    e2eid = wallet.stand_in.pay(txid(await wallet.charge(me)), tell=False)
    config = wallet.payments.config
    by_proxy = config.proxy_header
    object.__setattr__(config, "proxy_header", None)
    object.__setattr__(config, "signature", ("X-Signature", "the secret of both"))
    try:
        body = json.dumps({"pix": [{"endToEndId": e2eid}]}).encode()
        right = hmac.new(b"the secret of both", body, hashlib.sha256).hexdigest()
        post, kind = wallet.app.at("203.0.113.9").post, {"Content-Type": "application/json"}
        for signature in ({}, {"X-Signature": "0" * 64}, {"X-Signature": hmac.new(b"", body, "sha256").hexdigest()}):
            answer = await post("/payments/provider/pix", content=body, headers=kind | signature)
            assert (answer.status_code, answer.json()["code"]) == (403, "webhook_refused")
        answer = await post("/payments/provider/pix", content=body, headers=kind | {"X-Signature": right})
        assert answer.status_code == 204
    finally:
        object.__setattr__(config, "proxy_header", by_proxy)
        object.__setattr__(config, "signature", None)
    await wallet.app.work_off()
    assert await wallet.balance(me) == 2_000


async def test_the_wallets_page_shows_a_charges_state(wallet: Wallet) -> None:
    me = await register(wallet.app)
    browser = PlainBrowser(wallet.app)
    await browser.sign_in(me)
    wallet.stand_in.behave(api="unavailable")
    coming = await wallet.charge(me, 100)
    wallet.stand_in.behave()
    paid, late = await wallet.charge(me, 1_000), await wallet.charge(me, 300)
    waits = await browser.get(f"/app/pagamentos/{paid['id']}")
    assert "Simulação: nenhum dinheiro de verdade se move" in waits.text
    assert paid["code"] in waits.text
    assert "Ainda estamos pedindo o código" in (await browser.get(f"/app/pagamentos/{coming['id']}")).text
    wallet.stand_in.pay(txid(paid), tell=False)
    await wallet.poll()
    assert "Pago. O saldo do cartão já mudou." in (await browser.get(f"/app/pagamentos/{paid['id']}")).text
    clock.set(clock.now() + timedelta(minutes=31))
    shown = await browser.get(f"/app/pagamentos/{late['id']}")
    assert "Este código venceu." in shown.text
    assert late["code"] not in shown.text
    stranger = await wallet.charge(wallet.app.person())
    assert (await browser.get(f"/app/pagamentos/{stranger['id']}")).status == 404
    await browser.client.aclose()


async def test_the_assistant_gives_the_code_to_copy_and_says_once_it_is_paid(wallet: Wallet) -> None:
    person = wallet.app.person()
    chat = ChatUser(wallet.app.client, person.id, person.headers)
    await chat.start()
    for said in ("recarregar meu cartão", "15", "sim"):
        await chat.say(said)
    await wallet.app.work_off()
    told = (await chat.say("1"))["message"]
    (charge,) = (await person.get("/payments/charges")).json()["items"]
    assert told.startswith("É uma simulação: nenhum dinheiro de verdade se move.")
    assert told.endswith(charge["code"])
    wallet.stand_in.pay(txid(charge), tell=False)
    await wallet.poll()
    assert (await chat.say("Já paguei"))["message"] == "Pago: R$ 15,00 já estão no cartão."
