"""Base C: fast, bounded, with totals of 30 days; the same events again change nothing."""

import random
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from carteira.credit import BureauQuery, Movement, Stores
from carteira.credit.base_c import LISTED, STREAM_LENGTH, BaseCEvent
from carteira.kit.values.clock import clock
from tests.support.credit import fill_bases
from tests.support.people import Person, new_cpf

NOW = datetime(2026, 11, 22, 15, tzinfo=UTC)


def _movement(ago: timedelta, amount: int = 100, direction: str = "out", *, card: bool = False) -> Movement:
    return Movement(
        str(uuid4()), NOW - ago, direction, amount, "test", "Padaria", card_purchase=card, mcc="5811"  # type: ignore[arg-type] # in or out
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _at_a_known_instant() -> None:
    clock.set(NOW)


async def test_movements_are_capped_and_their_totals_are_not(stores: Stores) -> None:
    cpf = new_cpf()
    number = STREAM_LENGTH + 50
    happenings = [(cpf, _movement(timedelta(minutes=number - i), 10)) for i in range(number)]
    assert all(await stores.c.apply_many(happenings))
    read = await stores.c.read(cpf)
    assert read.financial_movement.last_30_days.outgoing == 10 * number
    assert read.financial_movement.last_30_days.count == number
    assert [item.id for item in read.financial_movement.items] == [
        happening.id for _, happening in reversed(happenings[-LISTED:])
    ]
    async with stores.c._calling() as redis:  # noqa: SLF001 - the test is about the stored values
        assert await redis.xlen(stores.c.keys_of(cpf)[1]) == STREAM_LENGTH


async def test_only_thirty_days_count(stores: Stores) -> None:
    cpf = new_cpf()
    await stores.c.apply_many(
        [
            (cpf, _movement(timedelta(days=40), 1_000)),
            (cpf, _movement(timedelta(days=29, hours=12), 200)),
            (cpf, _movement(timedelta(0), 30, "in")),
        ]
    )
    totals = (await stores.c.read(cpf)).financial_movement.last_30_days
    assert (totals.incoming, totals.outgoing, totals.count) == (30, 200, 2)
    clock.advance(timedelta(days=3))
    read = await stores.c.read(cpf)
    assert (read.financial_movement.last_30_days.outgoing, len(read.financial_movement.items)) == (0, 1)


async def test_totals_may_be_more_than_one_operation_may_move(stores: Stores) -> None:
    cpf = new_cpf()
    await stores.c.apply_many([(cpf, _movement(timedelta(minutes=i), 10**12)) for i in range(3)])
    assert (await stores.c.read(cpf)).financial_movement.last_30_days.outgoing == 3 * 10**12


async def test_replaying_gives_the_same_state_in_any_order_and_number(stores: Stores) -> None:
    chance = random.Random(3)
    events: list[BaseCEvent] = [
        _movement(
            timedelta(seconds=chance.randrange(20 * 86_400)),
            chance.randrange(1, 500),
            chance.choice(["in", "out"]),
            card=chance.random() < 0.5,
        )
        for _ in range(LISTED)
    ]
    events += [BureauQuery(str(uuid4()), NOW - timedelta(seconds=i), "bureau") for i in range(3)]
    one, two = new_cpf(), new_cpf()
    await stores.c.apply_many([(one, event) for event in events])
    state = await stores.c.read(one)
    assert not any(await stores.c.apply_many([(one, event) for event in events]))
    assert await stores.c.read(one) == state
    shuffled = events * 2
    chance.shuffle(shuffled)
    for event in shuffled:
        await stores.c.apply(two, event)
    assert await stores.c.read(two) == state
    await stores.c.erase(stores.c.keys_of(two))
    await stores.c.apply_many([(two, event) for event in events])
    assert await stores.c.read(two) == state


async def test_an_older_event_does_not_become_the_last(stores: Stores) -> None:
    cpf = new_cpf()
    newer, older = _movement(timedelta(hours=1), 1, card=True), _movement(timedelta(hours=2), 2, card=True)
    await stores.c.apply_many([(cpf, newer), (cpf, older)])
    last = (await stores.c.read(cpf)).last_card_purchase
    assert last is not None
    assert last.id == newer.id


async def test_events_over_http(analyst: Person) -> None:
    cpf = new_cpf()
    path = f"/credit/{cpf}/base-c"
    empty = (await analyst.call("GET", path)).json()
    assert empty == {
        "last_bureau_query": None,
        "financial_movement": {"last_30_days": {"incoming": 0, "outgoing": 0, "count": 0}, "items": []},
        "last_card_purchase": None,
    }
    purchase = {"type": "card_purchase", "id": "p-1", "amount": 1_250, "merchant": "PADARIA", "mcc": "5811"}
    for applied in (True, False):
        answer = await analyst.call("POST", f"{path}/events", json=purchase)
        assert (answer.status_code, answer.json()) == (201, {"id": "p-1", "applied": applied})
    await analyst.call("POST", f"{path}/events", json={"type": "movement", "direction": "in", "amount": 5_000})
    await analyst.call("POST", f"{path}/events", json={"type": "bureau_query", "source": "Birô Um"})
    read = (await analyst.call("GET", path)).json()
    assert read["last_card_purchase"]["merchant"] == "PADARIA"
    assert read["financial_movement"]["last_30_days"] == {"incoming": 5_000, "outgoing": 1_250, "count": 2}
    assert read["last_bureau_query"]["source"] == "Birô Um"
    assert (await analyst.call("DELETE", path)).status_code == 204
    assert (await analyst.call("GET", path)).json() == empty


@pytest.mark.parametrize(
    "event",
    [
        {},
        [],
        {"type": "rubbish"},
        {"type": "movement", "amount": 1},
        {"type": "movement", "direction": "in", "amount": 0},
        {"type": "movement", "direction": "in", "amount": "1"},
        {"type": "movement", "direction": "in", "amount": 10**13},
        {"type": "movement", "direction": "in", "amount": 1, "id": "a|b"},
        {"type": "movement", "direction": "in", "amount": 1, "occurred_at": "2026-11-22T10:00:00"},
        {"type": "movement", "direction": "in", "amount": 1, "occurred_at": "2999-01-01T00:00:00Z"},
        {"type": "movement", "direction": "in", "amount": 1, "occurred_at": "0262-05-06T12:25:49Z"},
        {"type": "movement", "direction": "in", "amount": 1, "occurred_at": "0001-01-01T00:00:00+14:00"},
        {"type": "card_purchase", "amount": 1},
        {"type": "bureau_query", "purpose": "curiosity"},
    ],
)
async def test_rubbish_is_422(analyst: Person, event: object) -> None:
    response = await analyst.call("POST", f"/credit/{new_cpf()}/base-c/events", json=event)
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["message"] != ""


async def test_a_look_up_becomes_the_last_query(analyst: Person) -> None:
    cpf = new_cpf()
    await fill_bases(analyst, cpf)
    clock.advance(timedelta(seconds=1))
    await analyst.call("GET", f"/credit/{cpf}", headers={"X-Purpose": "collection"})
    query = (await analyst.call("GET", f"/credit/{cpf}/base-c")).json()["last_bureau_query"]
    assert (query["source"], query["purpose"]) == ("carteira", "collection")
