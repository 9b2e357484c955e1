"""Taps with an impossible time are stored, charge nothing, and wait for an operator; validators poll denied cards."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from carteira import transit
from carteira.kit.values.clock import clock
from tests.support.app import RunningApp
from tests.support.machines import new_acting
from tests.support.people import Person
from tests.transit.test_taps import balance, card_with, debt, proven, send, tap

IMPOSSIBLE = [timedelta(minutes=11), timedelta(days=3650), -timedelta(days=31), -timedelta(days=20_000)]
POSSIBLE = [timedelta(minutes=9), timedelta(), -timedelta(days=29)]


def at(offset: timedelta) -> str:
    return (datetime.now(UTC) + offset).isoformat()


async def waiting_of(operator: Person, number: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await operator.get("/transit/taps/waiting?limit=100")).json()["items"]
    return [item for item in items if item["card_number"] == number]


async def one_that_waits(app: RunningApp, coins: int) -> tuple[Person, str, dict[str, Any], Person]:
    """Return a person, their card, the waiting tap and an operator who decides."""
    person, number = await card_with(app, coins)
    await send(app.person("transit:validate"), [tap(number, tapped_at="1970-01-01T00:00:00Z")])
    operator = app.person("transit:review")
    (row,) = await waiting_of(operator, number)
    return person, number, row, operator


@pytest.mark.parametrize("offset", IMPOSSIBLE)
async def test_an_impossible_clock_charges_nothing_and_waits(app: RunningApp, offset: timedelta) -> None:
    person, number = await card_with(app, 1000)
    bus = app.person("transit:validate")
    ride = tap(number, tapped_at=at(offset))
    good = tap(number)
    held, charged = await send(bus, [ride, good])
    assert held == {
        "id": ride["id"],
        "result": "waiting",
        "reason": "clock_impossible",
        "paid": 0,
        "owed": 0,
        "replayed": False,
    }
    assert charged["result"] == "debited"
    assert (await send(bus, [ride]))[0] == held | {"replayed": True}
    assert (await balance(person, number), await debt(person)) == (530, 0)
    (row,) = await waiting_of(app.person("transit:review"), number)
    assert (row["tap_id"], row["amount"], row["client_id"]) == (ride["id"], 470, str(bus.id))
    assert datetime.fromisoformat(row["tapped_at"]) == datetime.fromisoformat(ride["tapped_at"])
    await proven(app)


@pytest.mark.parametrize("offset", POSSIBLE)
async def test_a_clock_within_the_bounds_is_believed(app: RunningApp, offset: timedelta) -> None:
    _, number = await card_with(app, 1000)
    (result,) = await send(app.person("transit:validate"), [tap(number, tapped_at=at(offset))])
    assert result["result"] == "debited"


async def test_an_operator_charges_it_once_however_many_do_so_at_once(app: RunningApp) -> None:
    person, number, row, operator = await one_that_waits(app, 300)
    url = f"/transit/taps/{row['id']}/charge"
    answers = await asyncio.gather(*(operator.post(url, {}) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409, 409]
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"tap_already_decided"}
    (charged,) = [answer.json() for answer in answers if answer.status_code == 200]
    assert (charged["result"], charged["paid"], charged["owed"]) == ("owed", 300, 170)
    assert (await balance(person, number), await debt(person)) == (0, 170)
    (replayed,) = await send(
        app.person("transit:validate"), [tap(number, id=row["tap_id"], tapped_at="1970-01-01T00:00:00Z")]
    )
    assert (replayed["result"], replayed["replayed"]) == ("owed", True)
    assert await waiting_of(operator, number) == []
    await proven(app)


async def test_a_card_that_was_blocked_at_the_true_time_does_not_pay(app: RunningApp) -> None:
    person, number, row, operator = await one_that_waits(app, 1000)
    await person.post(f"/transport-cards/{number}/block")
    clock.advance(timedelta(minutes=5))
    at_once = await operator.post(f"/transit/taps/{row['id']}/charge", {"tapped_at": clock.now().isoformat()})
    assert (at_once.json()["result"], at_once.json()["reason"]) == ("denied", "card_blocked")
    assert await balance(person, number) == 1000


async def test_nobody_pays_a_dismissed_tap(app: RunningApp) -> None:
    person, number, row, operator = await one_that_waits(app, 1000)
    reason = {"reason": "Validador em teste"}
    answer = await operator.post(f"/transit/taps/{row['id']}/dismiss", reason)
    assert (answer.status_code, answer.json()["result"]) == (200, "denied")
    assert (await operator.post(f"/transit/taps/{row['id']}/dismiss", reason)).status_code == 409
    assert (await balance(person, number), await debt(person)) == (1000, 0)
    async with app.database.transaction() as tx:
        (ride,) = (await transit.export_person(tx, person.id))["rides"]
    assert ride["result"] == "denied"


async def test_a_decision_needs_the_claim_and_another_persons_ride(app: RunningApp) -> None:
    person, number, row, operator = await one_that_waits(app, 1000)
    for somebody in (person, app.person("transit:validate")):
        assert (await somebody.get("/transit/taps/waiting")).status_code == 403
        assert (await somebody.post(f"/transit/taps/{row['id']}/charge", {})).status_code == 403
    machine = await new_acting(app.person("*", user_id=person.id), "transit:review")
    for path, body in (("charge", {}), ("dismiss", {"reason": "É minha"})):
        through = await machine.post(f"/transit/taps/{row['id']}/{path}", body)
        assert (through.status_code, through.json()["code"]) == (403, "own_operation"), "nor through one's own client"
    own = app.person("transit:review", user_id=person.id)
    refused = await own.post(f"/transit/taps/{row['id']}/dismiss", {"reason": "É minha"})
    assert (refused.status_code, refused.json()["code"]) == (403, "own_operation")
    wrong = await operator.post(f"/transit/taps/{row['id']}/charge", {"tapped_at": "1970-01-01T00:00:00Z"})
    assert [error["field"] for error in wrong.json()["errors"]] == ["tapped_at"]
    unknown = await operator.post("/transit/taps/01a21c5a-0000-7000-8000-000000000000/charge", {})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "tap_not_found")
    assert await balance(person, number) == 1000


async def test_a_person_blocks_their_card_with_one_call_and_validators_learn_it(app: RunningApp) -> None:
    person, number = await card_with(app, 1000)
    bus = app.person("transit:validate")
    page = "/transit/denied-cards?limit=100"
    before = await read_all(bus, page)
    assert number not in before
    assert (await person.post(f"/transport-cards/{number}/block")).status_code == 200
    assert (await read_all(bus, page))[number] == "card_blocked"


async def read_all(bus: Person, path: str) -> dict[str, str]:
    """Read a list of denied cards to its end."""
    found: dict[str, str] = {}
    cursor: str | None = ""
    while cursor is not None:
        page = (await bus.get(path + (f"&cursor={cursor}" if cursor else ""))).json()
        found |= {item["card_number"]: item["reason"] for item in page["items"]}
        cursor = page["next_cursor"]
    return found


async def test_a_known_list_is_304(app: RunningApp) -> None:
    person, number = await card_with(app, 1000)
    bus = app.person("transit:validate")
    path = "/transport-cards"
    first = await person.get(path)
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        again = await person.call("GET", path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    await person.post(f"/transport-cards/{number}/block")
    changed = await person.call("GET", path, headers={"If-None-Match": tag})
    assert (changed.status_code, changed.json()["items"][0]["status"]) == (200, "blocked")
    denied = await bus.get("/transit/denied-cards")
    again = await bus.call("GET", "/transit/denied-cards", headers={"If-None-Match": denied.headers["etag"]})
    assert again.status_code == 304
