"""From a code to a balance, and the other outcomes of a payment: over HTTP, with a provider on real sockets."""

import asyncio
import hashlib
import hmac
import ssl
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text
from validate_docbr import CNPJ

from carteira.embedded import free_port
from carteira.kit.values.clock import clock
from carteira.payments import brcode, charges, listener, receiving, reconciliation
from carteira.payments.config import ListenerConfig
from carteira.payments.listener import listening
from carteira.payments.people import erase_person, export_person
from carteira.payments.sandbox_books import SandboxPayment
from tests.payments.world import Wallet, txid
from tests.support.machines import new_acting
from tests.support.people import Person


async def test_a_code_is_paid_and_the_balance_is_there(wallet: Wallet) -> None:
    me = wallet.app.person()
    charge = await wallet.charge(me)
    assert (charge["state"], charge["amount"], charge["simulated"]) == ("active", 2_000, True)
    fields = brcode.read(charge["code"])
    assert (fields["59"], fields["60"]) == ("Prefeitura de Aguas Claras"[:25], "Aguas Claras")
    svg = await me.get(f"/payments/charges/{charge['id']}/qr")
    png = await me.get(f"/payments/charges/{charge['id']}/qr", format="png")
    assert (svg.headers["content-type"], png.headers["content-type"]) == ("image/svg+xml", "image/png")
    assert (svg.text[:4], png.content[:4]) == ("<svg", b"\x89PNG")
    async with httpx.AsyncClient(base_url=wallet.stand_in.pages, trust_env=False, follow_redirects=True) as bank:
        page = await bank.post("/pagar", data={"codigo": charge["code"]})
        assert "Pago." in (await bank.post(str(page.url))).text
    await wallet.poll()
    paid = (await me.get(f"/payments/charges/{charge['id']}")).json()
    assert (paid["state"], paid["code"]) == ("paid", None)
    assert await wallet.balance(me) == 2_000
    (line,) = (await me.get(f"/transport-cards/{await wallet.card(me)}/history")).json()["items"]
    assert (line["type"], line["amount"]) == ("recharge", 2_000)
    await wallet.poll()
    assert await wallet.balance(me) == 2_000, "polling again credits nothing"


async def test_a_recharge_answers_with_its_charge_and_older_clients_get_its_address(wallet: Wallet) -> None:
    me = wallet.app.person()
    path = f"/transport-cards/{await wallet.card(me)}/recharge"
    answer = await me.post(path, {"amount": 1_500}, key="k")
    assert answer.status_code == 202, answer.text
    again = await me.post(path, {"amount": 1_500}, key="k")
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (202, answer.json(), "true")
    assert (await me.post(path, {"amount": 1_501}, key="k")).json()["code"] == "idempotency_key_reused"
    old = await me.call("POST", path, json={"amount": 700}, headers={"API-Version": "2026-11-22"})
    assert (old.status_code, old.json()["code"], old.headers["api-version"]) == (409, "payment_required", "2026-11-22")
    charge = (await me.get(old.json()["charge"])).json()
    assert (charge["amount"], charge["state"]) == (700, "active")
    wallet.stand_in.pay(txid(answer.json()["charge"]))
    await wallet.poll()
    assert await wallet.balance(me) == 1_500
    listed = (await me.get("/payments/charges")).json()["items"]
    assert [item["state"] for item in listed] == ["active", "paid"]


async def test_charges_are_their_makers_own(wallet: Wallet) -> None:
    me, other = wallet.app.person(), wallet.app.person()
    charge = await wallet.charge(me)
    for path in (f"/payments/charges/{charge['id']}", f"/payments/charges/{charge['id']}/qr"):
        assert (await other.get(path)).status_code == 404
    body = {"purpose": "transport_recharge", "amount": 100, "card_number": await wallet.card(me)}
    assert (await other.post("/payments/charges", body)).status_code == 403
    assert (await me.post("/payments/charges", body | {"card_number": None})).status_code == 422
    assert (await me.post("/payments/charges", body | {"amount": 0})).status_code == 422
    assert (await me.post("/payments/charges", body | {"purpose": "gift"})).status_code == 422
    assert (await me.post("/payments/charges", body | {"card_number": "9076999999999999"})).status_code in {404, 422}
    for path in ("/payments/all-charges", "/payments/received", "/payments/days", "/payments/account"):
        assert (await me.get(path)).status_code == 403


async def test_a_second_payment_of_a_charge_is_returned(wallet: Wallet) -> None:
    me = wallet.app.person()
    charge = await wallet.charge(me)
    first, second = wallet.stand_in.pay(txid(charge)), wallet.stand_in.pay(txid(charge))
    await wallet.poll()
    outcomes = sorted([(await wallet.received(e2eid))["reason"] or "" for e2eid in (first, second)])
    assert outcomes == ["", "paid_already"]
    assert await wallet.balance(me) == 2_000
    await wallet.poll()
    assert wallet.stand_in.account()["returned"] >= 2_000


@pytest.mark.parametrize("reason", ["expired", "other_amount", "card_not_active", "no_charge"])
async def test_payments_without_a_place_are_returned_automatically(wallet: Wallet, reason: str) -> None:
    me = wallet.app.person()
    charge = await wallet.charge(me)
    before = wallet.stand_in.account()["returned"]
    how: dict[str, object] = {"amount": 1_999} if reason == "other_amount" else {}
    if reason == "expired":
        how["paid_at"] = (clock.now() + timedelta(minutes=31)).isoformat()
        clock.set(clock.now() + timedelta(minutes=32))
        assert await wallet.state(me, charge) == "expired"
    if reason == "card_not_active":
        await me.post(f"/transport-cards/{await wallet.card(me)}/cancel")
    if reason == "no_charge":
        how["amount"] = 1_234
    e2eid = wallet.stand_in.pay(txid(charge) if reason != "no_charge" else uuid4().hex, **how)
    await wallet.poll()
    found = await wallet.received(e2eid)
    assert (found["reason"], found["credited"], found["unplaced"]) == (reason, 0, 0)
    assert [item["state"] for item in found["returns"]] == ["returned"]
    assert wallet.stand_in.account()["returned"] == before + found["amount"]
    assert await wallet.balance(me) == 0


async def test_payments_to_another_key_are_left_alone(wallet: Wallet, monkeypatch: pytest.MonkeyPatch) -> None:
    me, as_json, before = wallet.app.person(), SandboxPayment.as_json, wallet.stand_in.account()["returned"]
    charge = await wallet.charge(me)
    ours = wallet.stand_in.pay(txid(charge), tell=False)
    others = wallet.stand_in.pay(amount=77, tell=False)
    with monkeypatch.context() as patch:
        patch.setattr(
            SandboxPayment, "as_json", lambda payment: as_json(payment) | {"chave": "financas@prefeitura.example"}
        )
        row = await reconciliation.compare(wallet.app.database, wallet.payments, clock.today())
        assert row.missing_here == 1, "only the key of a charge counts: keys change"
        await wallet.poll()
        assert await wallet.balance(me) == 2_000
        reader = wallet.app.person("payments:read")
        assert (await reader.get(f"/payments/received/{ours}")).status_code == 200
        assert (await reader.get(f"/payments/received/{others}")).status_code == 404
        await reconciliation.compare(wallet.app.database, wallet.payments, clock.today())
        assert (await reader.get(f"/payments/days/{clock.today()}")).json()["differences"] == []
        assert wallet.stand_in.account()["returned"] == before
    async with wallet.app.database.transaction() as tx:
        await tx.execute(text("DELETE FROM payments_differences"))
        await tx.execute(text("DELETE FROM payments_days"))


async def test_an_operator_returns_a_part_and_never_more_than_there_is(wallet: Wallet) -> None:
    me, operator = wallet.app.person(), wallet.app.person("payments:read", "payments:return")
    charge = await wallet.charge(me)
    e2eid = wallet.stand_in.pay(txid(charge))
    await wallet.poll()
    path = f"/payments/received/{e2eid}/returns"
    assert (await me.post(path, {"amount": 500, "reason": "engano"})).status_code == 403
    answer = await operator.post(path, {"amount": 500, "reason": "engano"}, key="r")
    assert (answer.status_code, answer.json()["state"]) == (201, "asked")
    assert (await operator.post(path, {"amount": 500, "reason": "engano"}, key="r")).json() == answer.json()
    assert await wallet.balance(me) == 1_500
    await wallet.poll()
    found = await wallet.received(e2eid)
    assert (found["given_back"], [item["state"] for item in found["returns"]]) == (500, ["returned"])
    too_much = await operator.post(path, {"amount": 1_501, "reason": "engano"})
    assert (too_much.json()["code"], too_much.json()["left"]) == ("return_too_large", 1_500)
    await me.post(f"/transport-cards/{await wallet.card(me)}/debit", {"amount": 1_000})
    assert (await operator.post(path, {"reason": "tudo"})).json()["code"] == "recharge_spent"
    rest = await operator.post(path, {"amount": 500, "reason": "resto"})
    assert rest.status_code == 201
    await wallet.poll()
    assert (await operator.post(f"/payments/received/{'E' * 32}/returns", {"reason": "x"})).status_code == 404


async def test_a_return_that_the_provider_does_not_do_waits_for_an_operator(wallet: Wallet) -> None:
    me, operator = wallet.app.person(), wallet.app.person("payments:read", "payments:return")
    charge = await wallet.charge(me)
    wallet.stand_in.behave(returns="pending")
    e2eid = wallet.stand_in.pay(txid(charge), amount=1)
    await wallet.poll()
    assert [item["state"] for item in (await wallet.received(e2eid))["returns"]] == ["asked"]
    wallet.stand_in.behave(returns="fails")
    other = wallet.stand_in.pay(txid(charge), amount=2)
    await wallet.poll()
    found = await wallet.received(other)
    assert (found["unplaced"], found["returns"][0]["failure"]) == (2, "NAO_REALIZADO")
    waiting = (await operator.get("/payments/received", to_return="true")).json()["items"]
    assert [item["e2eid"] for item in waiting] == [other]
    wallet.stand_in.behave()
    assert (await operator.post(f"/payments/received/{other}/returns", {"reason": "de novo"})).status_code == 201
    await wallet.poll()
    for paid in (e2eid, other):
        assert (await wallet.received(paid))["unplaced"] == 0
        assert (await wallet.received(paid))["returns"][-1]["state"] == "returned"


async def test_the_providers_call_is_heard_by_mutual_tls_alone(wallet: Wallet) -> None:
    certificates, port = wallet.stand_in.certificates, free_port()
    shown = certificates.listener
    where = ListenerConfig("127.0.0.1", port, shown.certificate, shown.key, certificates.authority)
    config = wallet.payments.config
    object.__setattr__(config, "listener", where)
    async with listening(wallet.app.database, config):
        url = f"https://127.0.0.1:{port}"
        async with wallet.payments.asking() as provider:
            await provider.register_webhook(url)
            assert await provider.webhook() == url
        me = wallet.app.person()
        charge = await wallet.charge(me)
        trusting = ssl.create_default_context(cafile=certificates.authority)
        forged = {"pix": [{"endToEndId": "E" + "9" * 31, "txid": txid(charge), "valor": "20.00"}]}
        async with httpx.AsyncClient(verify=trusting, trust_env=False) as stranger:
            with pytest.raises(httpx.HTTPError):
                await stranger.post(f"{url}/pix", json=forged)
        trusting.load_cert_chain(certificates.teller.certificate, certificates.teller.key)
        async with httpx.AsyncClient(verify=trusting, trust_env=False) as teller:
            assert (await teller.post(f"{url}/pix", json=forged)).status_code == 200, (
                "a hint without a payment behind it"
            )
            for body in (b"", b"[]", b'{"pix": 1}', b'{"pix": [{"endToEndId": "x"}]}', b'{"pix": [], "pix": []}'):
                assert (await teller.post(f"{url}/any/pix", content=body)).status_code == 422
            assert (await teller.get(f"{url}/pix")).status_code == 405
        wallet.stand_in.pay(txid(charge))
        await _until_notified(wallet)
        await wallet.app.work_off()
        assert await wallet.state(me, charge) == "paid"
        assert await wallet.balance(me) == 2_000
    object.__setattr__(config, "listener", None)


async def test_callers_without_a_certificate_keep_no_connection(
    wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "MOST_HANDSHAKES", 2)
    monkeypatch.setattr(listener, "HANDSHAKE_SECONDS", 0.2)
    certificates, port = wallet.stand_in.certificates, free_port()
    shown = certificates.listener
    where = ListenerConfig("127.0.0.1", port, shown.certificate, shown.key, certificates.authority)
    trusting = ssl.create_default_context(cafile=certificates.authority)
    trusting.load_cert_chain(certificates.teller.certificate, certificates.teller.key)
    async with listening(wallet.app.database, replace(wallet.payments.config, listener=where)):
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(6)]
        async with httpx.AsyncClient(verify=trusting, trust_env=False, timeout=20) as teller:
            assert (await teller.post(f"https://127.0.0.1:{port}/pix", json={"pix": []})).status_code == 200
        async with asyncio.timeout(20):
            assert [await reader.read() for reader, _ in silent] == [b""] * 6, "all of them were closed"
        for _, writer in silent:
            writer.close()


async def test_forged_calls_are_checked_and_not_found(wallet: Wallet) -> None:
    certificates, port = wallet.stand_in.certificates, free_port()
    shown = certificates.listener
    where = ListenerConfig("127.0.0.1", port, shown.certificate, shown.key, certificates.authority)
    async with listening(wallet.app.database, replace(wallet.payments.config, listener=where)):
        async with wallet.payments.asking() as provider:
            await provider.register_webhook(f"https://127.0.0.1:{port}")
        me = wallet.app.person()
        charge = await wallet.charge(me)
        wallet.stand_in.behave(tells="forged")
        e2eid = wallet.stand_in.pay(txid(charge))
        await _until_notified(wallet, calls=1)
        await wallet.app.work_off()
        await wallet.poll()
    operator = wallet.app.person("payments:read")
    listed = (await operator.get("/payments/received")).json()["items"]
    ours = [(one["e2eid"], one["credited"], one["found_by"]) for one in listed if one["txid"] == txid(charge)]
    assert ours == [(e2eid, 2_000, "polling")]
    assert await wallet.balance(me) == 2_000


async def _until_notified(wallet: Wallet, calls: int = 2) -> None:
    """Wait until so many of the provider's calls have left a job."""
    query = text("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'payments:look' AND status = 'todo'")
    async with asyncio.timeout(20):
        while True:
            async with wallet.app.database.transaction() as tx:
                if await tx.scalar(query) >= calls:
                    return
            await asyncio.sleep(0.01)


async def test_a_call_by_a_proxy_is_believed_of_trusted_ones_alone(wallet: Wallet) -> None:
    me = wallet.app.person()
    charge = await wallet.charge(me)
    e2eid = wallet.stand_in.pay(txid(charge), tell=False)
    told = {"pix": [{"endToEndId": e2eid}]}
    proxy, stranger = wallet.app.at("192.0.2.7"), wallet.app.at("203.0.113.9")
    seen = {"X-Client-Verify": "SUCCESS"}
    for client, headers in ((stranger, seen), (proxy, {}), (proxy, {"X-Client-Verify": "NONE"})):
        answer = await client.post("/payments/provider/pix", json=told, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "webhook_refused")
    assert (await proxy.post("/payments/provider/pix", json={"pix": 1}, headers=seen)).status_code == 422
    assert (await proxy.post("/payments/provider/pix", json=told, headers=seen)).status_code == 204
    await wallet.app.work_off()
    assert (await wallet.received(e2eid))["found_by"] == "webhook"
    assert await wallet.balance(me) == 2_000


def test_a_signature_is_of_the_body() -> None:
    body = b'{"pix": []}'
    right = hmac.new(b"secret", body, hashlib.sha256).hexdigest()
    assert receiving.is_signed(body, right.upper(), "secret")
    assert receiving.is_signed(body, f"sha256={right}", "secret")
    for given, secret in ((right, "other"), ("", "secret"), (right[:-1], "secret"), ("é", "secret")):
        assert not receiving.is_signed(body, given, secret)
    assert not receiving.is_signed(body + b" ", right, "secret")


async def test_the_provider_is_down_for_a_while(wallet: Wallet) -> None:
    me = wallet.app.person()
    wallet.stand_in.behave(api="unavailable")
    charge = await wallet.charge(me)
    assert (charge["state"], charge["code"]) == ("creating", None)
    assert (await me.get(f"/payments/charges/{charge['id']}/qr")).status_code == 404
    wallet.stand_in.behave()
    clock.set(clock.now() + timedelta(minutes=10))
    await wallet.poll()
    assert await wallet.state(me, charge) == "active"
    wallet.stand_in.pay(txid(charge), paid_at=clock.now().isoformat())
    await wallet.poll()
    assert await wallet.balance(me) == 2_000


async def test_a_refused_charge_is_reported_and_stays_refused(wallet: Wallet) -> None:
    me = wallet.app.person()
    wallet.stand_in.behave(api="refused")
    answer = await me.post(
        "/payments/charges", {"purpose": "transport_recharge", "amount": 100, "card_number": await wallet.card(me)}
    )
    assert answer.status_code == 201, "403 concerns our access, not the charge: it is retried"
    assert answer.json()["state"] == "creating"


async def test_a_day_agrees_and_differences_are_named(wallet: Wallet) -> None:
    me, auditor = wallet.app.person(), wallet.app.person("payments:read")
    charge = await wallet.charge(me)
    e2eid = wallet.stand_in.pay(txid(charge), tell=False)
    today = clock.today()
    await reconciliation.compare(wallet.app.database, wallet.payments, today)
    found = (await auditor.get(f"/payments/days/{today}")).json()["differences"]
    assert found == [{"e2eid": e2eid, "kind": "missing_here", "here": None, "there": 2_000}]
    assert await wallet.balance(me) == 2_000, "and accepted at once"
    row = await reconciliation.compare(wallet.app.database, wallet.payments, today)
    assert (row.missing_here, row.missing_there, row.amount_differs) == (0, 0, 0)
    assert (row.received_here, row.returned_here) == (row.received_there, row.returned_there)
    async with wallet.app.database.transaction() as tx:
        await tx.execute(
            text("UPDATE payments_received SET paid_at = paid_at - interval '400 days' WHERE e2eid = :e"), {"e": e2eid}
        )
    assert (await reconciliation.compare(wallet.app.database, wallet.payments, today)).missing_here == 1
    long_ago = today - timedelta(days=400)
    assert (await reconciliation.compare(wallet.app.database, wallet.payments, long_ago)).missing_there == 1
    async with wallet.app.database.transaction() as tx:
        await reconciliation.observe(tx)
        await tx.execute(
            text("UPDATE payments_received SET paid_at = paid_at + interval '400 days' WHERE e2eid = :e"), {"e": e2eid}
        )
        await tx.execute(text("DELETE FROM payments_differences"))
        await tx.execute(text("DELETE FROM payments_days"))
    await _move(wallet, e2eid, 400)


async def _move(wallet: Wallet, e2eid: str, days: int) -> None:
    """Record that a payment was made on another day."""
    query = text("UPDATE payments_received SET paid_at = paid_at + make_interval(days => :days) WHERE e2eid = :e2eid")
    async with wallet.app.database.transaction() as tx:
        await tx.execute(query, {"e2eid": e2eid, "days": days})


async def test_a_prefunded_employer_pays_in_and_tops_up_out_of_it(wallet: Wallet) -> None:
    admin = wallet.app.operator()
    cnpj = "11222333000181"
    made = await admin.post("/benefits/employers", {"cnpj": cnpj, "name": "Padaria", "prefunded": True})
    employer = made.json()["id"]
    account = {"account": f"p-{uuid4()}", "user_id": str(uuid4()), "employer_id": employer, "balances": {"FOOD": 100}}
    refused = await admin.post("/benefits/accounts", account)
    assert (refused.status_code, refused.json()["code"]) == (409, "insufficient_fund")
    assert (await admin.post("/benefits/accounts", account | {"balances": {}})).status_code == 201
    order = {"purpose": "benefit_funding", "amount": 5_000, "employer_id": employer}
    assert (await wallet.app.person().post("/payments/charges", order)).status_code == 403
    hr = wallet.app.person("benefits:fund")
    charge = (await hr.post("/payments/charges", order)).json()
    e2eid = wallet.stand_in.pay(txid(charge))
    await wallet.poll()
    credit = f"/benefits/accounts/{account['account']}/credits"
    assert (await admin.post(credit, {"category": "FOOD", "amount": 3_000})).status_code == 201
    short = await admin.post(credit, {"category": "FOOD", "amount": 2_001})
    assert (short.json()["code"], short.json()["missing"]) == ("insufficient_fund", 1)
    lines = [{"account": account["account"], "category": "MEAL", "amount": 1_500} for _ in range(2)]
    assert (await admin.post("/benefits/credits", lines)).json()["code"] == "insufficient_fund"
    assert (await admin.post("/benefits/credits", lines[:1])).json()["credited"] == 1
    back = await admin.post(f"/payments/received/{e2eid}/returns", {"reason": "sobra"})
    assert back.json()["code"] == "fund_spent"
    assert (
        await admin.post(f"/payments/received/{e2eid}/returns", {"amount": 500, "reason": "sobra"})
    ).status_code == 201
    await wallet.poll()
    plain = (await admin.post("/benefits/employers", {"cnpj": "12ABC34501DE35", "name": "Mercado"})).json()["id"]
    assert (await hr.post("/payments/charges", order | {"employer_id": plain})).json()["code"] == "not_prefunded"


async def test_entries_of_payments_are_undone_by_returns_alone(wallet: Wallet) -> None:
    me, operator = wallet.app.person(), wallet.app.operator()
    charge = await wallet.charge(me)
    e2eid = wallet.stand_in.pay(txid(charge))
    lost = wallet.stand_in.pay(amount=77)
    await wallet.poll()
    for paid, code in ((e2eid, "recharge_was_paid"), (lost, "payment_entry_fixed")):
        entry = (await wallet.received(paid))["entry_id"]
        answer = await operator.post(f"/ledger/entries/{entry}/reversal")
        assert (answer.status_code, answer.json()["code"]) == (409, code), answer.text


async def test_erased_people_have_no_charges_left(wallet: Wallet) -> None:
    me = wallet.app.person()
    charge = await wallet.charge(me)
    async with wallet.app.database.transaction() as tx:
        assert [item["id"] for item in (await export_person(tx, me.id))["charges"]] == [charge["id"]]
        await erase_person(tx, me.id)
        assert (await export_person(tx, me.id)) == {"charges": []}


async def test_open_charges_per_maker_are_limited(wallet: Wallet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charges, "MAX_OPEN", 1)
    me: Person = wallet.app.person()
    await wallet.charge(me)
    body = {"purpose": "transport_recharge", "amount": 100, "card_number": await wallet.card(me)}
    assert (await me.post("/payments/charges", body)).json()["code"] == "too_many_charges"


async def test_concurrent_charges_stay_within_the_limit(wallet: Wallet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charges, "MAX_OPEN", 3)
    me = wallet.app.person()
    body = {"purpose": "transport_recharge", "amount": 100, "card_number": await wallet.card(me)}
    answers = await asyncio.gather(*(me.post("/payments/charges", body) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 9


async def test_a_charge_is_answered_again_though_its_card_takes_no_money_by_then(wallet: Wallet) -> None:
    me = wallet.app.person()
    body = {"purpose": "transport_recharge", "amount": 100, "card_number": await wallet.card(me)}
    first = await me.post("/payments/charges", body, key="k")
    assert (await me.post(f"/transport-cards/{await wallet.card(me)}/cancel")).status_code == 200
    again = await me.post("/payments/charges", body, key="k")
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (201, first.json(), "true")
    other = await me.post("/payments/charges", body | {"amount": 101}, key="k")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len((await me.get("/payments/charges")).json()["items"]) == 1


async def test_a_return_above_the_limit_waits_for_somebody_else(wallet: Wallet) -> None:
    me, operator, other = wallet.app.person(), wallet.app.person("payments:return"), wallet.app.person("money:approve")
    charge = await wallet.charge(me, 5_001)
    e2eid = wallet.stand_in.pay(txid(charge))
    await wallet.poll()
    waits = await operator.post(f"/payments/received/{e2eid}/returns", {"reason": "engano"}, key="k")
    assert waits.status_code == 202, waits.text
    assert await wallet.balance(me) == 5_001
    pending = f"/pending/{waits.json()['pending']['id']}/approve"
    assert (await wallet.app.person("money:approve", user_id=me.id).post(pending)).json()["code"] == "own_operation"
    assert (await other.post(pending)).status_code == 200
    assert await wallet.balance(me) == 0
    await wallet.poll()
    assert [item["state"] for item in (await wallet.received(e2eid))["returns"]] == ["returned"]


async def test_people_behind_the_paying_client_do_not_approve_the_return(wallet: Wallet) -> None:
    admin, other = wallet.app.operator(), wallet.app.person("money:approve")
    made = await admin.post("/benefits/employers", {"cnpj": CNPJ().generate(), "name": "Oficina", "prefunded": True})
    machine = await new_acting(admin, "benefits:fund")
    order = {"purpose": "benefit_funding", "amount": 5_001, "employer_id": made.json()["id"]}
    e2eid = wallet.stand_in.pay(txid((await machine.post("/payments/charges", order)).json()))
    await wallet.poll()
    operator = wallet.app.person("payments:return")
    waits = await operator.post(f"/payments/received/{e2eid}/returns", {"reason": "engano"}, key="k")
    pending = f"/pending/{waits.json()['pending']['id']}/approve"
    assert (await admin.post(pending)).json()["code"] == "own_operation"
    assert (await other.post(pending)).status_code == 200
