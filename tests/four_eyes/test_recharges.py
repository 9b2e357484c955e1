"""Recharges where they need a payment: nowhere without one, and at a counter for cash."""

from pathlib import Path

import pytest
from sqlalchemy import text

from carteira import transit
from carteira.assistant.conversation import Assistant
from carteira.assistant.model_cache import ModelCache
from carteira.kit.web.access import Principal
from carteira.settings import Settings
from tests.four_eyes.world import LIMIT, World
from tests.support.people import Person


async def card_of(person: Person) -> str:
    cards = (await person.get("/transport-cards")).json()["items"]
    return str(cards[0]["card_number"])


async def test_nobody_makes_money_on_their_own_card(world: World) -> None:
    """The former attack: any citizen, a billion with each call."""
    me = world.app.person()
    card = await card_of(me)
    for key in (None, "k"):
        answer = await me.post(f"/transport-cards/{card}/recharge", {"amount": 10**12}, key=key)
        assert (answer.status_code, answer.json()["code"]) == (409, "payment_required")
    assert (await me.get(f"/transport-cards/{card}/balance")).json()["balance"] == 0


async def test_a_counter_recharges_for_cash_and_owes_it(world: World) -> None:
    me, counter = world.app.person(), world.app.person("transit:recharge")
    card = await card_of(me)
    answer = await counter.post(f"/transit/cards/{card}/recharge", {"amount": LIMIT}, key="till-1")
    assert answer.status_code == 201, answer.text
    assert (answer.json()["card_number"], answer.json()["amount"]) == (card, LIMIT)
    again = await counter.post(f"/transit/cards/{card}/recharge", {"amount": LIMIT}, key="till-1")
    assert again.json() == answer.json()
    assert (await me.get(f"/transport-cards/{card}/balance")).json()["balance"] == LIMIT
    (line,) = (await me.get(f"/transport-cards/{card}/history")).json()["items"]
    assert (line["type"], line["amount"]) == ("recharge", LIMIT)
    async with world.app.database.transaction() as tx:
        query = text(
            "SELECT a.kind, p.amount, e.actor_id FROM ledger_entries e JOIN ledger_postings p ON p.entry_id = e.id"
            " JOIN ledger_accounts a ON a.id = p.account_id WHERE e.id = :id AND a.is_system"
        )
        posted = (await tx.execute(query, {"id": answer.json()["entry_id"]})).one()
        assert tuple(posted) == ("transit.cash", -LIMIT, str(counter.id))
        query = text(
            "SELECT subject_id, entry_id FROM audit_log WHERE action = 'card_recharged_for_cash' AND actor_id = :id"
        )
        audited = (await tx.execute(query, {"id": counter.id, "action": "card_recharged_for_cash"})).one()
        assert (audited[0], str(audited[1])) == (me.id, answer.json()["entry_id"])


async def test_a_counter_needs_the_claim_a_card_and_an_amount(world: World) -> None:
    me, counter = world.app.person(), world.app.person("transit:recharge")
    card = await card_of(me)
    assert (await me.post(f"/transit/cards/{card}/recharge", {"amount": 1})).status_code == 403
    for wrong in ("0000000000000000", "abc", card[:-1] + ("1" if card[-1] != "1" else "2")):
        answer = await counter.post(f"/transit/cards/{wrong}/recharge", {"amount": 1})
        assert (answer.status_code, answer.json()["code"]) == (404, "card_not_found")
    for amount in (0, -1, 1.5, "1", None):
        assert (await counter.post(f"/transit/cards/{card}/recharge", {"amount": amount})).status_code == 422
    await me.post(f"/transport-cards/{card}/block")
    refused = await counter.post(f"/transit/cards/{card}/recharge", {"amount": 1})
    assert (refused.status_code, refused.json()["code"]) == (409, "card_not_active")


async def test_the_assistant_recharges_nothing_either(world: World) -> None:
    """Nor does a conversation that started when no payment was needed."""
    me = world.app.person()
    card = await card_of(me)
    who = Principal(me.id)
    before, now = (
        Assistant(ModelCache(vectors=False), frozenset({"transit"}), None, free_recharges=free)
        for free in (True, False)
    )
    async with world.app.database.transaction() as tx:
        await now.start(tx, who)
        told = await now.chat(tx, who, "quero recarregar meu cartão")
        assert "pagar" in told.message
        assert told.end_conversation or told.options
        await before.start(tx, who)
        await before.chat(tx, who, "quero recarregar meu cartão")
        await before.chat(tx, who, "20,00")
        assert "pagar" in (await now.chat(tx, who, "sim")).message
        assert await transit.balance(tx, me.id, card) == 0


@pytest.mark.parametrize(("environment", "said", "free"), [("development", None, True), ("development", False, False)])
def test_development_recharges_for_nothing(environment: str, said: object, free: object, tmp_path: Path) -> None:
    values = {"environment": environment, "recharge_without_payment": said, "carteira_home": tmp_path}
    assert Settings(_env_file=None, **values).recharges_are_free == free  # type: ignore[arg-type] # settings of any kind
