import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from carteira import ledger, transit
from carteira.kit.values.clock import clock
from tests.support.app import RunningApp
from tests.support.people import Person

NOON = datetime.now(UTC).replace(hour=15, minute=0, second=0, microsecond=0) - timedelta(days=7)


async def card_with(app: RunningApp, balance: int) -> tuple[Person, str]:
    person = app.person()
    number = (await person.get("/transport-cards")).json()["items"][0]["card_number"]
    if balance:
        await person.post(f"/transport-cards/{number}/recharge", {"amount": balance})
    return person, number


def tap(card_number: str, amount: int = 470, **more: object) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "card_number": card_number,
        "amount": amount,
        "tapped_at": NOON.isoformat(),
        "line": "474",
    } | more


async def send(bus: Person, taps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    answer = await bus.post("/transit/taps", {"taps": taps})
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    assert [result["id"] for result in results] == [sent["id"] for sent in taps]
    return results


async def balance(person: Person, number: str) -> int:
    return int((await person.get(f"/transport-cards/{number}/balance")).json()["balance"])


async def debt(person: Person) -> int:
    return int((await person.get("/transit/debts")).json()["total"])


async def proven(app: RunningApp) -> None:
    """Check that the ledger balances, and that the riders' debts equal the receivable's deficit."""
    async with app.database.transaction() as tx:
        assert (await ledger.reconcile(tx)).differences == []
    async with app.database.transaction() as tx:
        receivable = await ledger.account(tx, ledger.system_account("transit.receivable"))
        outstanding = await tx.scalar(text("SELECT coalesce(sum(outstanding), 0) FROM transit_taps"))
        assert receivable.balance == -int(outstanding or 0)


async def test_a_tap_is_debited_once_however_often_it_is_sent(app: RunningApp) -> None:
    person, number = await card_with(app, 1000)
    bus = app.person("transit:validate")
    ride = tap(number)
    (first,) = await send(bus, [ride])
    assert first == {
        "id": ride["id"],
        "result": "debited",
        "reason": None,
        "paid": 470,
        "owed": 0,
        "replayed": False,
    }
    other_bus = app.person("transit:validate")
    for sender in (bus, other_bus):
        copies = await send(sender, [ride, ride])
        assert copies == [first | {"replayed": True}] * 2
    assert await balance(person, number) == 530
    (line, _) = (await person.get(f"/transport-cards/{number}/history")).json()["items"]
    assert (line["type"], line["amount"]) == ("debit", 470)


async def test_the_same_id_with_other_content_moves_nothing(app: RunningApp) -> None:
    person, number = await card_with(app, 2000)
    bus = app.person("transit:validate")
    ride = tap(number)
    results = await send(bus, [ride, ride | {"amount": 471}])
    assert [result["result"] for result in results] == ["debited", "conflict"]
    assert (await send(bus, [ride | {"line": "475"}]))[0]["reason"] == "tap_id_reused"
    assert await balance(person, number) == 1530


async def test_a_batch_sent_twice_shuffled_and_half_in_parallel_counts_once(app: RunningApp) -> None:
    people = [await card_with(app, 3000) for _ in range(4)]  # six rides and part of a seventh for each
    poor, poor_number = await card_with(app, 500)
    buses = [app.person("transit:validate") for _ in range(4)]
    rides = [
        tap(number, tapped_at=(NOON + timedelta(minutes=minute)).isoformat())
        for _, number in people
        for minute in range(10)
    ] + [tap(poor_number, amount) for amount in (300, 150, 400)]
    picker = random.Random(474)

    async def deliver(bus: Person) -> list[dict[str, Any]]:
        twice = rides * 2
        picker.shuffle(twice)
        pieces = [twice[start : start + 9] for start in range(0, len(twice), 9)]
        half = len(pieces) // 2
        outcomes = [await send(bus, piece) for piece in pieces[:half]]
        outcomes += await asyncio.gather(*(send(bus, piece) for piece in pieces[half:]))
        return [result for outcome in outcomes for result in outcome]

    everything = [result for results in await asyncio.gather(*map(deliver, buses)) for result in results]
    assert len(everything) == len(rides) * 8
    assert sum(not result["replayed"] for result in everything) == len(rides)
    by_id: dict[str, set[tuple[Any, ...]]] = {}
    for result in everything:
        by_id.setdefault(result["id"], set()).add((result["result"], result["paid"], result["owed"]))
    assert all(len(outcomes) == 1 for outcomes in by_id.values())
    for person, number in people:
        assert (await balance(person, number), await debt(person)) == (0, 4700 - 3000)
    assert (await balance(poor, poor_number), await debt(poor)) == (0, 850 - 500)
    await proven(app)


async def test_the_uncovered_fare_is_owed_and_the_next_recharge_pays_it(app: RunningApp) -> None:
    person, number = await card_with(app, 300)
    bus = app.person("transit:validate")
    late = tap(number, 200, tapped_at=(NOON + timedelta(hours=1)).isoformat())
    results = await send(bus, [late, tap(number, 470)])
    assert [(result["result"], result["paid"], result["owed"]) for result in results] == [
        ("owed", 0, 200),
        ("owed", 300, 170),
    ]
    debts = (await person.get("/transit/debts")).json()
    assert debts["total"] == 370
    assert [(item["outstanding"], item["amount"]) for item in debts["items"]] == [(170, 470), (200, 200)]
    assert number in {
        card["card_number"] for card in (await bus.get("/transit/denied-cards", limit=100)).json()["items"]
    }
    part = await person.post(f"/transport-cards/{number}/recharge", {"amount": 200})
    assert part.json()["new_balance"] == 0
    assert [item["outstanding"] for item in (await person.get("/transit/debts")).json()["items"]] == [170]
    rest = await person.post(f"/transport-cards/{number}/recharge", {"amount": 1000})
    assert (rest.json()["new_balance"], await debt(person)) == (830, 0)
    lines = (await person.get(f"/transport-cards/{number}/history")).json()["items"]
    assert [(line["type"], line["amount"]) for line in lines] == [
        ("debit", 170),
        ("recharge", 1000),
        ("debit", 200),
        ("recharge", 200),
        ("debit", 300),
        ("recharge", 300),
    ]
    await proven(app)


async def test_recharges_of_two_cards_at_once_pay_a_debt_once(app: RunningApp) -> None:
    person, number = await card_with(app, 0)
    other = (await person.post("/transport-cards")).json()["card_number"]
    await send(app.person("transit:validate"), [tap(number, 500), tap(number, 250)])
    answers = await asyncio.gather(
        *(person.post(f"/transport-cards/{card}/recharge", {"amount": 100}) for card in [number, other] * 10)
    )
    assert {answer.status_code for answer in answers} == {200}
    assert await debt(person) == 0
    assert await balance(person, number) + await balance(person, other) == 2000 - 750
    await proven(app)


async def test_rides_on_a_blocked_cancelled_or_unknown_card_are_denied(app: RunningApp) -> None:
    person, number = await card_with(app, 5000)
    bus = app.person("transit:validate")
    clock.set(NOON)
    await person.post(f"/transport-cards/{number}/block")
    clock.set(NOON + timedelta(hours=1))
    await person.post(f"/transport-cards/{number}/unblock")
    clock.set(NOON + timedelta(hours=2))
    await person.post(f"/transport-cards/{number}/cancel")
    clock.set(NOON + timedelta(hours=3))
    minutes = (-1, 0, 59, 60, 119, 120)
    rides = [tap(number, tapped_at=(NOON + timedelta(minutes=minute)).isoformat()) for minute in minutes]
    results = await send(bus, [*rides, tap("9076000000000000")])
    assert [result["reason"] for result in results] == [
        None,
        "card_blocked",
        "card_blocked",
        None,
        None,
        "card_cancelled",
        "unknown_card",
    ]
    assert await balance(person, number) == 5000 - 3 * 470
    assert [result["replayed"] for result in await send(bus, rides)] == [True] * 6


async def test_only_validators_send_taps(app: RunningApp) -> None:
    person, number = await card_with(app, 1000)
    answer = await person.post("/transit/taps", {"taps": [tap(number)]})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (await person.get("/transit/denied-cards")).status_code == 403


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        ({"amount": 0}, "taps.1.amount"),
        ({"amount": 100_001}, "taps.1.amount"),
        ({"amount": "470"}, "taps.1.amount"),
        ({"id": ""}, "taps.1.id"),
        ({"id": "x" * 65}, "taps.1.id"),
        ({"id": "a\u0000b"}, "taps.1.id"),
        ({"card_number": "123"}, "taps.1.card_number"),
        ({"tapped_at": "2026-11-20T12:00:00"}, "taps.1.tapped_at"),
        ({"extra": 1}, "taps.1.extra"),
    ],
)
async def test_a_malformed_tap_is_named_and_nothing_is_counted(
    app: RunningApp, broken: dict[str, Any], field: str
) -> None:
    person, number = await card_with(app, 1000)
    bus = app.person("transit:validate")
    answer = await bus.post("/transit/taps", {"taps": [tap(number), tap(number) | broken]})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert await balance(person, number) == 1000


async def test_an_erased_persons_rides_keep_no_trace_of_them(app: RunningApp) -> None:
    person, number = await card_with(app, 100)
    ride = tap(number, vehicle="B-1234")
    bus = app.person("transit:validate")
    await send(bus, [ride])
    async with app.database.transaction() as tx:
        await transit.erase_person(tx, person.id)
    async with app.database.transaction() as tx:
        row = (
            await tx.execute(
                text("SELECT user_id, line, vehicle, outstanding FROM transit_taps WHERE tap_id = :id"),
                {"id": ride["id"]},
            )
        ).one()
    assert tuple(row) == (None, None, None, 370)
    assert (await send(bus, [ride]))[0]["replayed"] is True
    await proven(app)


async def entry_of(app: RunningApp, ride: dict[str, Any]) -> str:
    async with app.database.transaction() as tx:
        return str(await tx.scalar(text("SELECT entry_id FROM transit_taps WHERE tap_id = :id"), {"id": ride["id"]}))


async def test_a_reversed_ride_is_owed_no_longer(app: RunningApp) -> None:
    person, number = await card_with(app, 300)
    operator = app.person("ledger:write")
    ride = tap(number, 470)
    await send(app.person("transit:validate"), [ride])
    reversed_ = await operator.post(f"/ledger/entries/{await entry_of(app, ride)}/reversal")
    assert reversed_.status_code == 201, reversed_.text
    assert (await balance(person, number), await debt(person)) == (300, 0)
    (line, *_) = (await person.get(f"/transport-cards/{number}/history")).json()["items"]
    assert (line["type"], line["direction"]) == ("reversal", "in")
    await proven(app)


async def test_a_ride_that_was_paid_later_is_not_reversed(app: RunningApp) -> None:
    person, number = await card_with(app, 300)
    operator = app.person("ledger:write")
    ride = tap(number, 470)
    await send(app.person("transit:validate"), [ride])
    await person.post(f"/transport-cards/{number}/recharge", {"amount": 100})
    (payment, *_) = (await person.get(f"/transport-cards/{number}/history")).json()["items"]
    for entry_id in (await entry_of(app, ride), payment["id"]):
        refused = await operator.post(f"/ledger/entries/{entry_id}/reversal")
        assert (refused.status_code, refused.json()["code"]) == (409, "ride_settled")
    assert (await balance(person, number), await debt(person)) == (0, 70)
    await proven(app)


async def test_a_key_that_the_lane_answered_is_answered_again_where_a_ride_is_owed(app: RunningApp) -> None:
    """Both routes find the request by the same key: the second goes the ordinary way."""
    person, number = await card_with(app, 100)
    bus = app.person("transit:validate")
    first = await person.post(f"/transport-cards/{number}/recharge", {"amount": 50}, key="once")
    assert (await send(bus, [tap(number, 500)]))[0]["result"] == "owed"
    again = await person.post(f"/transport-cards/{number}/recharge", {"amount": 50}, key="once")
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    other = await person.post(f"/transport-cards/{number}/recharge", {"amount": 51}, key="once")
    assert other.json()["code"] == "idempotency_key_reused"
    assert (await person.get(f"/transport-cards/{number}/balance")).json()["balance"] == 0
