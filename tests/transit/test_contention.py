"""Concurrent requests on one person's cards: no deadlock, nothing lost, no balance below zero."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import text

from carteira import ledger
from tests.support.app import RunningApp
from tests.support.people import Person

START = datetime(2026, 11, 1, tzinfo=UTC)


def ride(number: str, minute: int, amount: int) -> dict[str, Any]:
    tapped_at = START + timedelta(minutes=minute)
    return {"id": str(uuid4()), "card_number": number, "amount": amount, "tapped_at": tapped_at.isoformat()}


async def cards_of(person: Person) -> list[str]:
    await person.get("/transport-cards")
    await person.post("/transport-cards")
    await person.post("/transport-cards")
    return [card["card_number"] for card in (await person.get("/transport-cards")).json()["items"]]


async def test_taps_recharges_debits_and_cancellations_at_once(app: RunningApp) -> None:
    people = [app.person() for _ in range(3)]
    numbers = [await cards_of(person) for person in people]
    buses = [app.person("transit:validate") for _ in range(3)]
    picker = random.Random(20)
    rides = [
        ride(number, minute, picker.randrange(100, 600))
        for cards in numbers
        for number in cards
        for minute in range(12)
    ]
    work = []
    for bus in buses:
        shuffled = picker.sample(rides, len(rides))
        work += [bus.post("/transit/taps", {"taps": shuffled[at : at + 20]}) for at in range(0, len(rides), 20)]
    for person, cards in zip(people, numbers, strict=True):
        for number in cards[1:] * 6:
            work.append(person.post(f"/transport-cards/{number}/recharge", {"amount": picker.randrange(200, 900)}))
            work.append(person.post(f"/transport-cards/{number}/debit", {"amount": picker.randrange(50, 300)}))
        work.append(person.post(f"/transport-cards/{cards[0]}/cancel", {"move_balance_to": cards[1]}))
        work.append(person.post(f"/transport-cards/{cards[0]}/cancel", {"move_balance_to": cards[2]}))
    picker.shuffle(work)
    answers: list[httpx.Response] = await asyncio.gather(*work)
    wrong = [answer.text for answer in answers if answer.status_code not in {200, 400}]
    assert wrong == []
    async with app.database.transaction() as tx:
        assert (await ledger.reconcile(tx)).differences == []
    async with app.database.transaction() as tx:
        receivable = await ledger.account(tx, ledger.system_account("transit.receivable"))
        owed = await tx.scalar(text("SELECT coalesce(sum(outstanding), 0) FROM transit_taps"))
        charged = await tx.scalar(
            text("SELECT count(*) FROM transit_taps WHERE tap_id = ANY(:ids) AND entry_id IS NOT NULL"),
            {"ids": [tap["id"] for tap in rides]},
        )
    assert receivable.balance == -int(owed or 0)
    assert charged == len(rides)


async def test_a_thousand_taps_in_one_batch(app: RunningApp) -> None:
    people = [app.person() for _ in range(20)]
    numbers = [(await person.get("/transport-cards")).json()["items"][0]["card_number"] for person in people]
    rides = [ride(number, minute, 470) for number in numbers for minute in range(50)]
    bus = app.person("transit:validate")
    answer = await bus.post("/transit/taps", {"taps": rides})
    assert answer.status_code == 200
    assert {result["result"] for result in answer.json()["results"]} == {"owed"}
    too_many = await bus.post("/transit/taps", {"taps": [*rides, ride(numbers[0], 0, 1)]})
    assert too_many.status_code == 422
