"""Returns by banks themselves (MED): found by call, list and sweep, booked once; the spent part is a loss."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from validate_docbr import CNPJ

from carteira import ledger
from carteira.kit.values.clock import clock
from carteira.payments import accounts, receiving, reconciliation
from tests.payments.world import Wallet, txid
from tests.support.console import desk_of
from tests.support.people import Person

SEEN = {"X-Client-Verify": "SUCCESS"}


async def by_call(wallet: Wallet, e2eid: str) -> None:
    """Make the provider announce a payment with a partial return, and run the job that this leaves."""
    content = {"pix": [{"endToEndId": e2eid, "devolucoes": [{"id": "x"}]}, {"endToEndId": e2eid}]}
    answer = await wallet.app.at("192.0.2.7").post("/payments/provider/pix", json=content, headers=SEEN)
    assert answer.status_code == 204, answer.text
    await wallet.app.work_off()


async def by_list(wallet: Wallet, _e2eid: str) -> None:
    await wallet.poll()


async def by_sweep(wallet: Wallet, e2eid: str) -> None:
    await _move(wallet, e2eid, -60)
    await wallet.poll()
    assert (await wallet.received(e2eid))["returns"] == [], "the half-minute list does not go back so far"
    await receiving.sweep_returns(wallet.app.database, wallet.payments)


async def by_day(wallet: Wallet, _e2eid: str) -> None:
    row = await reconciliation.compare(wallet.app.database, wallet.payments, clock.today())
    assert row.amount_differs == 1, "and it is an event"
    assert (await reconciliation.compare(wallet.app.database, wallet.payments, clock.today())).amount_differs == 0


async def _move(wallet: Wallet, e2eid: str, days: int) -> None:
    """Move a payment to another day, here and at the provider."""
    wallet.stand_in.move(e2eid, days)
    query = text("UPDATE payments_received SET paid_at = paid_at + make_interval(days => :days) WHERE e2eid = :e2eid")
    async with wallet.app.database.transaction() as tx:
        await tx.execute(query, {"e2eid": e2eid, "days": days})


async def paid(wallet: Wallet, me: Person, amount: int = 2_000) -> str:
    charge = await wallet.charge(me, amount)
    e2eid = wallet.stand_in.pay(txid(charge), tell=False)
    await wallet.poll()
    return e2eid


async def loss(wallet: Wallet) -> int:
    async with wallet.app.database.transaction() as tx:
        return -(await ledger.account(tx, accounts.LOST)).balance


@pytest.mark.parametrize("find", [by_call, by_list, by_sweep, by_day])
async def test_an_unrequested_return_is_found_and_booked_once(wallet: Wallet, find: Any) -> None:  # noqa: ANN401 - one of the above types
    me = wallet.app.person()
    e2eid = await paid(wallet, me)
    wallet.stand_in.return_by_bank(e2eid, 1_500, tell=False)
    before = await loss(wallet)
    await find(wallet, e2eid)
    assert await wallet.balance(me) == 500
    for again in (by_call, by_list):
        await again(wallet, e2eid)
    await receiving.sweep_returns(wallet.app.database, wallet.payments)
    (back,) = (await wallet.received(e2eid))["returns"]
    told_of = {name: back[name] for name in ("amount", "state", "nature", "reason", "lost")}
    assert told_of == {
        "amount": 1_500,
        "state": "returned",
        "nature": "MED_FRAUDE",
        "reason": "MED_FRAUDE",
        "lost": 0,
    }
    assert await wallet.balance(me) == 500
    assert await loss(wallet) == before
    notices = (await me.get("/inbox")).json()["items"]
    (notice,) = [one for one in notices if one["topic"] == "payments.returned"]
    assert notice["title"] == "R$ 15,00 de um Pix seu foram devolvidos"
    assert notice["text"].startswith("O banco de quem pagou o contestou, por fraude.")


async def test_money_already_spent_is_a_loss(wallet: Wallet) -> None:
    me, operator = wallet.app.person(), wallet.app.person("payments:return")
    e2eid = await paid(wallet, me)
    await me.post(f"/transport-cards/{await wallet.card(me)}/debit", {"amount": 1_700})
    before = await loss(wallet)
    wallet.stand_in.return_by_bank(e2eid, 2_000, nature="MED_OPERACIONAL", tell=False)
    await wallet.poll()
    assert await wallet.balance(me) == 0
    assert await loss(wallet) == before + 1_700
    (back,) = (await wallet.received(e2eid))["returns"]
    assert (back["amount"], back["lost"]) == (2_000, 1_700)
    answer = await operator.post(f"/payments/received/{e2eid}/returns", {"reason": "de novo"})
    assert answer.json()["code"] == "return_too_large", "nothing is left of it"
    async with desk_of(wallet.app, "auditor") as desk:
        shown = await desk.get(f"/console/recebidos/{e2eid}")
        assert "R$ 20,00 tirados pelo provedor" in shown.text
        assert "Houve uma falha de um dos bancos; R$ 17,00 já tinham sido gastos" in shown.text
    kept = await wallet.app.person("audit:read").get("/audit", action="payment_taken_back", subject=str(me.id))
    assert [one["details"]["lost"] for one in kept.json()["items"]] == [1_700]


async def test_waiting_money_is_taken_first(wallet: Wallet) -> None:
    me = wallet.app.person()
    wallet.stand_in.behave(returns="fails")
    charge = await wallet.charge(me)
    e2eid = wallet.stand_in.pay(txid(charge), amount=999, tell=False)
    await wallet.poll()
    assert (await wallet.received(e2eid))["unplaced"] == 999
    wallet.stand_in.return_by_bank(e2eid, 900, tell=False)
    await wallet.poll()
    found = await wallet.received(e2eid)
    assert (found["unplaced"], found["given_back"]) == (99, 900)


async def test_a_bank_that_is_quicker_than_a_return_of_ours_wins_and_nothing_goes_back_twice(wallet: Wallet) -> None:
    me, operator = wallet.app.person(), wallet.app.person("payments:return")
    e2eid = await paid(wallet, me)
    answer = await operator.post(f"/payments/received/{e2eid}/returns", {"reason": "engano"})
    assert answer.status_code == 201, answer.text
    wallet.stand_in.return_by_bank(e2eid, 2_000, tell=False)
    await by_call(wallet, e2eid)
    await wallet.poll()
    await wallet.app.work_off()
    found = await wallet.received(e2eid)
    assert [(one["state"], one["nature"]) for one in found["returns"]] == [
        ("failed", None),
        ("returned", "MED_FRAUDE"),
    ]
    assert (found["unplaced"], found["given_back"]) == (0, 2_000)
    assert await wallet.balance(me) == 0


async def test_a_pre_funded_employers_deposit_is_reported_and_taken_back(wallet: Wallet) -> None:
    admin, hr = wallet.app.operator(), wallet.app.person("benefits:fund")
    made = await admin.post("/benefits/employers", {"cnpj": CNPJ().generate(), "name": "Mercado", "prefunded": True})
    order = {"purpose": "benefit_funding", "amount": 5_000, "employer_id": made.json()["id"]}
    charge = (await hr.post("/payments/charges", order)).json()
    e2eid = wallet.stand_in.pay(UUID(charge["id"]).hex, tell=False)
    await wallet.poll()
    wallet.stand_in.return_by_bank(e2eid, 5_000, tell=False)
    await wallet.poll()
    topics = [one["topic"] for one in (await hr.get("/inbox")).json()["items"]]
    assert topics == ["payments.returned"]
    account = {"account": f"p-{uuid4()}", "user_id": str(uuid4()), "employer_id": made.json()["id"]}
    refused = await admin.post("/benefits/accounts", account | {"balances": {"FOOD": 1}})
    assert refused.json()["code"] == "insufficient_fund"


async def test_a_payment_that_comes_with_its_return_is_both(wallet: Wallet) -> None:
    me = wallet.app.person()
    charge = await wallet.charge(me)
    e2eid = wallet.stand_in.pay(txid(charge), tell=False)
    wallet.stand_in.return_by_bank(e2eid, 700, tell=False)
    clock.set(clock.now() + timedelta(seconds=30))
    await wallet.poll()
    assert await wallet.balance(me) == 1_300
    assert (await wallet.received(e2eid))["given_back"] == 700
