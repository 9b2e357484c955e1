"""The platform feeds base C: a purchase by the authorizer is there within two seconds, once, however often read."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import update

from carteira import worker
from carteira.app import credit_config, modules_of
from carteira.credit import EventSource, Movement, Stores, SubjectEvent, followers
from carteira.kit.db.engine import Database
from carteira.kit.db.outbox import Event, Follower, FollowerPlace, follow
from carteira.kit.db.session import Tx
from carteira.settings import Settings
from tests.support.app import RunningApp
from tests.support.benefits import AUTHORIZER, processor_headers, purchase
from tests.support.credit import analyst_of
from tests.support.horizon import pass_horizon
from tests.support.people import Person, new_cpf


def _followers(settings: Settings) -> Sequence[Follower]:
    (module,) = (module for module in modules_of(settings) if module.name == "credit")
    return module.followers


@pytest.fixture
async def working(settings: Settings, database: Database) -> AsyncIterator[None]:
    """The worker's own loop over credit's followers."""
    stop = asyncio.Event()
    following = worker._Following(database, _followers(settings))  # noqa: SLF001 - the test runs the worker's own loop
    async with asyncio.TaskGroup() as group:
        group.create_task(following.look(stop))
        for follower in _followers(settings):
            group.create_task(following.follow(follower, stop))
        yield
        stop.set()


async def _caught_up(settings: Settings, database: Database, *, from_the_beginning: bool = False) -> None:
    """Let the followers read on to the end, or everything again."""
    await pass_horizon(database)
    for follower in _followers(settings):
        if from_the_beginning:
            async with database.transaction() as tx:
                place = update(FollowerPlace).where(FollowerPlace.name == follower.name)
                await tx.execute(place.values(xid=0, last_id=UUID(int=0)))
        handled = 1
        while handled:
            async with database.transaction() as tx:
                handled = await follow(tx, follower)


async def _movement(analyst: Person, cpf: str) -> tuple[list[tuple[str, str, int]], tuple[int, int]]:
    """Return the movements, oldest first, and the totals of money in and out."""
    read = (await analyst.call("GET", f"/credit/{cpf}/base-c")).json()["financial_movement"]
    items = [(item["kind"], item["direction"], item["amount"]) for item in reversed(read["items"])]
    return items, (read["last_30_days"]["incoming"], read["last_30_days"]["outgoing"])


async def _open_card(app: RunningApp, analyst: Person, cpf: str) -> tuple[Person, str]:
    """Register a person with a proven CPF and a transport card; return the person and the card's path."""
    role = (await _ok(analyst.call("GET", "/roles")))["items"][0]["id"]
    body = {"full_name": "Rita Passageira", "email": f"{uuid4()}@exemplo.com.br", "cpf": cpf, "role_id": role}
    made = await _ok(analyst.call("POST", "/users", json=body))
    await _ok(analyst.call("POST", f"/users/{made['id']}/cpf-proof", json={"cpf": cpf, "paper": "cin"}))
    rider = analyst_of(app, user_id=UUID(made["id"]))
    (card,) = (await rider.call("GET", "/transport-cards")).json()["items"]
    return rider, f"/transport-cards/{card['card_number']}"


async def _ok(answering: Awaitable[httpx.Response]) -> dict[str, Any]:
    answer = await answering
    assert answer.status_code in {200, 201}, answer.text
    content: dict[str, Any] = answer.json()
    return content


async def _open(analyst: Person, cpf: str) -> str:
    reference = f"c-{uuid4()}"
    account = {"account": reference, "cpf": cpf, "balances": {"CASH": 100_000}}
    assert (await analyst.call("POST", "/benefits/accounts", json=account)).status_code == 201
    return reference


@pytest.mark.usefixtures("working")
async def test_a_purchase_shows_up_within_two_seconds(client: httpx.AsyncClient, analyst: Person) -> None:
    cpf = new_cpf()
    account = await _open(analyst, cpf)
    refused = await client.post(AUTHORIZER, content=purchase(account, "9999.00"), headers=processor_headers())
    assert refused.json() == {"code": "51"}
    approved = await client.post(AUTHORIZER, content=purchase(account, "12.34"), headers=processor_headers())
    began = time.monotonic()
    assert approved.json() == {"code": "00"}
    while True:
        read = (await analyst.call("GET", f"/credit/{cpf}/base-c")).json()
        if read["last_card_purchase"] is not None:
            break
        assert time.monotonic() - began < 2
        await asyncio.sleep(0)
    assert read["last_card_purchase"]["amount"] == 1_234
    assert read["last_card_purchase"]["merchant"].startswith("LOJA DA MARIA")
    assert read["financial_movement"]["last_30_days"] == {"incoming": 0, "outgoing": 1_234, "count": 1}
    assert read["financial_movement"]["items"][0]["kind"] == "benefits.purchase"


async def test_reading_all_again_from_the_beginning_changes_nothing(
    client: httpx.AsyncClient, analyst: Person, settings: Settings, database: Database
) -> None:
    cpf = new_cpf()
    account = await _open(analyst, cpf)
    for reais in ("1.00", "2.00", "3.00"):
        await client.post(AUTHORIZER, content=purchase(account, reais), headers=processor_headers())
    await _caught_up(settings, database)
    first = (await analyst.call("GET", f"/credit/{cpf}/base-c")).json()
    assert first["financial_movement"]["last_30_days"]["outgoing"] == 600
    await _caught_up(settings, database, from_the_beginning=True)
    assert (await analyst.call("GET", f"/credit/{cpf}/base-c")).json() == first


async def test_a_user_s_cpf_is_asked_for_and_nobody_s_is_passed_over(tx: Tx, settings: Settings) -> None:
    cpf, known = new_cpf(), uuid4()
    asked: list[UUID] = []

    async def proven_cpf(_tx: Tx, user_id: UUID) -> str | None:
        asked.append(user_id)
        return cpf if user_id == known else None

    stores = Stores(credit_config(settings), proven_cpf=proven_cpf)

    def occurrence(row: object) -> SubjectEvent | None:
        user_id: UUID | None = row["user_id"]  # type: ignore[index] # a mapping
        if user_id is None:
            return None
        return SubjectEvent(Movement(str(uuid4()), datetime.now(UTC), "in", 5, "recharge"), user_id=user_id)

    (follower,) = followers(stores, [EventSource("test", Event.__table__, occurrence)])
    rows = [{"user_id": known}, {"user_id": uuid4()}, {"user_id": None}, {"user_id": known}]
    await follower.handle(tx, rows)  # type: ignore[arg-type] # what the handler needs of rows
    assert len(asked) == 2
    assert (await stores.c.read(cpf)).financial_movement.last_30_days.incoming == 10


async def test_a_refund_is_an_incoming_movement_and_no_purchase(
    client: httpx.AsyncClient, analyst: Person, settings: Settings, database: Database
) -> None:
    cpf = new_cpf()
    account = await _open(analyst, cpf)
    for reais in ("10.00", "20.00", "30.00"):
        await client.post(AUTHORIZER, content=purchase(account, reais), headers=processor_headers())
    last, second, first = (
        item["id"] for item in (await analyst.call("GET", f"/transactions?account={account}")).json()["items"]
    )
    await _ok(analyst.call("POST", f"/transactions/{last}/refund", json={"amount": 700}))
    await _ok(analyst.call("POST", f"/transactions/{second}/reversal"))
    await _ok(analyst.call("POST", f"/ledger/entries/{first}/reversal"))
    assert (await analyst.call("POST", f"/transactions/{first}/refund")).status_code == 409
    bought = [("benefits.purchase", "out", amount) for amount in (1_000, 2_000, 3_000)]
    returned = [("benefits.refund", "in", 700), ("benefits.reversal", "in", 2_000), ("benefits.reversal", "in", 1_000)]
    for again in (False, True):
        await _caught_up(settings, database, from_the_beginning=again)
        assert await _movement(analyst, cpf) == (bought + returned, (3_700, 6_000))
        latest = (await analyst.call("GET", f"/credit/{cpf}/base-c")).json()["last_card_purchase"]
        assert (latest["id"], latest["amount"]) == (last, 3_000)


async def test_rides_of_validators_move_as_far_as_they_are_paid_and_when(
    app: RunningApp, analyst: Person, settings: Settings, database: Database
) -> None:
    cpf = new_cpf()
    rider, card = await _open_card(app, analyst, cpf)
    number = card.rpartition("/")[2]
    at = datetime.now(UTC) - timedelta(days=20)  # the bus was offline: money moves when the tap arrives
    taps = [
        {"id": str(uuid4()), "card_number": number, "amount": 400, "tapped_at": (at + timedelta(hours=n)).isoformat()}
        for n in range(3)
    ]
    await _ok(rider.call("POST", f"{card}/recharge", json={"amount": 600}))
    for _ in range(2):  # sent twice, counted once
        await _ok(analyst.call("POST", "/transit/taps", json={"taps": taps}))
    paid = [("transit.recharged", "in", 600), ("transit.ride_paid", "out", 400), ("transit.ride_paid", "out", 200)]
    await _caught_up(settings, database)
    assert await _movement(analyst, cpf) == (paid, (600, 600)), "a debt has moved no money"
    await _ok(rider.call("POST", f"{card}/recharge", json={"amount": 1_000}))
    paid += [("transit.recharged", "in", 1_000), ("transit.ride_paid", "out", 600)]
    for again in (False, True):
        await _caught_up(settings, database, from_the_beginning=again)
        assert await _movement(analyst, cpf) == (paid, (1_600, 1_200))


async def test_a_reversal_on_a_card_is_a_movement_back(
    app: RunningApp, analyst: Person, settings: Settings, database: Database
) -> None:
    cpf = new_cpf()
    rider, card = await _open_card(app, analyst, cpf)
    await _ok(rider.call("POST", f"{card}/recharge", json={"amount": 900}))
    await _ok(rider.call("POST", f"{card}/debit", json={"amount": 250}))
    tap = {"card_number": card.rpartition("/")[2], "amount": 400, "tapped_at": datetime.now(UTC).isoformat()}
    await _ok(analyst.call("POST", "/transit/taps", json={"taps": [{"id": str(uuid4())} | tap]}))
    entries = [item["id"] for item in (await _ok(rider.call("GET", f"{card}/history")))["items"]]
    assert len(entries) == 3
    for entry_id in entries:
        await _ok(analyst.call("POST", f"/ledger/entries/{entry_id}/reversal"))
    moved = [("transit.recharged", "in", 900), ("transit.debited", "out", 250), ("transit.ride_paid", "out", 400)]
    back = [("transit.reversed", "in", 400), ("transit.reversed", "in", 250), ("transit.reversed", "out", 900)]
    for again in (False, True):
        await _caught_up(settings, database, from_the_beginning=again)
        assert await _movement(analyst, cpf) == (moved + back, (1_550, 1_550))
