"""Outcomes of charges and payments are emitted once, with the payload that the registry describes."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.modules import REGISTRY
from carteira.payments import charges
from carteira.payments.provider import ProviderRefused
from tests.payments.world import Wallet, txid

KEYS = {topic: set(keys) for entry in REGISTRY for topic, keys in entry.emits.items()}


async def events_since(wallet: Wallet, since: UUID, charge: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the events since an id, oldest first: a charge's, or those without a charge."""
    query = text(
        "SELECT topic, payload FROM events WHERE id > :since AND payload ->> 'charge_id' IS NOT DISTINCT FROM :charge"
        " AND topic LIKE 'payments.%' ORDER BY id"
    )
    async with wallet.app.database.transaction() as tx:
        found = (await tx.execute(query, {"since": since, "charge": charge and charge["id"]})).all()
    assert all(set(row.payload) == KEYS[row.topic] for row in found)
    return [{"topic": row.topic.removeprefix("payments."), **row.payload} for row in found]


async def test_a_charge_that_is_paid_and_returned_is_reported(wallet: Wallet) -> None:
    since, me = uuid7(), wallet.app.person()
    charge = await wallet.charge(me)
    e2eid = wallet.stand_in.pay(txid(charge))
    await wallet.poll()
    [paid] = await events_since(wallet, since, charge)
    assert paid == {
        "topic": "charge_paid",
        "charge_id": charge["id"],
        "purpose": "transport_recharge",
        "target_id": charge["target_id"],
        "amount": 2_000,
        "user_id": str(me.id),
        "e2eid": e2eid,
    }
    operator = wallet.app.person("payments:return")
    asked = await operator.post(f"/payments/received/{e2eid}/returns", {"amount": 500, "reason": "engano"})
    await wallet.poll()
    await wallet.poll()
    [_, returned] = await events_since(wallet, since, charge)
    assert returned == {
        "topic": "returned",
        "return_id": asked.json()["id"],
        "e2eid": e2eid,
        "charge_id": charge["id"],
        "amount": 500,
        "user_id": str(me.id),
        "reason": None,
    }


async def test_payments_without_a_place_and_failed_returns_are_reported(wallet: Wallet) -> None:
    since = uuid7()
    wallet.stand_in.behave(returns="fails")
    e2eid = wallet.stand_in.pay(uuid4().hex, amount=321)
    await wallet.poll()
    [came, failed] = await events_since(wallet, since)
    assert (came["topic"], came["e2eid"], came["reason"]) == ("not_credited", e2eid, "no_charge")
    assert (failed["topic"], failed["amount"], failed["user_id"]) == ("return_failed", 321, None)
    wallet.stand_in.behave()
    again = await wallet.app.person("payments:return").post(
        f"/payments/received/{e2eid}/returns", {"reason": "de novo"}
    )
    assert again.status_code == 201


async def test_a_charge_that_expires_is_reported_once_and_after_the_list_was_read(wallet: Wallet) -> None:
    since, me = uuid7(), wallet.app.person()
    charge, in_time = await wallet.charge(me), await wallet.charge(me)
    await wallet.poll()
    assert await events_since(wallet, since, charge) == []
    last = clock.now() + timedelta(minutes=29)
    clock.set(clock.now() + timedelta(minutes=32))
    await charges.emit_expired(wallet.app.database)
    assert await events_since(wallet, since, charge) == [], "a payment at the last moment may not be found yet"
    wallet.stand_in.pay(txid(in_time), paid_at=last.isoformat())
    await wallet.poll()
    await wallet.poll()
    assert [one["topic"] for one in await events_since(wallet, since, charge)] == ["charge_expired"]
    assert [one["topic"] for one in await events_since(wallet, since, in_time)] == ["charge_paid"]


async def test_a_charge_that_the_provider_does_not_take_is_reported(wallet: Wallet) -> None:
    since, me = uuid7(), wallet.app.person()
    wallet.stand_in.behave(api="refused")
    charge = await wallet.charge(me)
    assert charge["state"] == "creating"
    for _ in range(2):
        async with wallet.app.database.transaction() as tx:
            await charges.record_refusal(tx, UUID(charge["id"]), ProviderRefused(422, "CobInvalida"))
    assert [one["topic"] for one in await events_since(wallet, since, charge)] == ["charge_refused"]
