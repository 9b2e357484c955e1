"""The session is checked while the data are read: one that ended in another process gets nothing."""

from collections.abc import Awaitable, Callable, Sequence
from typing import cast

import pytest

from carteira.identity.sessions.standing import SessionStandings
from tests.support.app import RunningApp
from tests.support.marks import meanwhile
from tests.support.people import Person, register, sign_in
from tests.support.trips import count_trips, counted

Start = Callable[..., Awaitable[RunningApp]]
ADMINISTRATOR = 2


@pytest.fixture
async def here(start_app: Start) -> RunningApp:
    return await start_app()


@pytest.fixture
async def there(start_app: Start) -> RunningApp:
    """Another process of the same installation."""
    return await start_app()


@pytest.fixture
async def known(here: RunningApp) -> Person:
    """A person whose standing `here` has cached."""
    person = await sign_in(await register(here))
    assert (await person.get("/users/me")).status_code == 200
    return person


async def end(there: RunningApp, person: Person) -> None:
    assert (await there.client.delete("/auth/sessions", headers=person.headers)).status_code == 204


async def test_a_read_starts_from_cached_rows_and_answers_with_present_ones(
    here: RunningApp, there: RunningApp, known: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    fetch = here.database.reads.fetch

    async def seen(sql: str, values: Sequence[object]) -> list[object]:
        read.append(values)
        return await fetch(sql, values)

    monkeypatch.setattr(here.database.reads, "fetch", seen)
    async with meanwhile(here, lambda: end(there, known)):
        answer = await known.get("/users/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "session_over")
    assert len(read) == 1, "the statement was sent while the marks were read"
    assert known.email not in answer.text


async def test_a_refusal_is_confirmed_too(there: RunningApp, known: Person) -> None:
    assert (await known.get("/roles")).status_code == 403
    path = f"/users/{known.id}/role"
    answer = await there.client.put(path, json={"role_id": ADMINISTRATOR}, headers=there.bearer("*"))
    assert answer.status_code == 200
    assert (await known.get("/roles")).status_code == 200, "a claim granted in another process counts at once"


async def test_no_look_is_recorded_for_an_erased_person(here: RunningApp, there: RunningApp, known: Person) -> None:
    other = await sign_in(await register(here))
    role = {"role_id": ADMINISTRATOR}
    assert (await here.operator().call("PUT", f"/users/{known.id}/role", json=role)).status_code == 200
    assert (await known.get(f"/users/{other.id}")).status_code == 200
    before = len((await other.get("/users/me/accesses")).json()["items"])
    async with meanwhile(here, lambda: end(there, known)):
        assert (await known.get(f"/users/{other.id}")).status_code == 401
    assert len((await other.get("/users/me/accesses")).json()["items"]) == before


async def test_a_movement_reads_meanwhile_and_writes_nothing_for_a_session_that_ended(
    start_app: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_trips(monkeypatch)
    here, there = [await start_app(carteira_modules="transit") for _ in range(2)]
    clerk = await sign_in(await register(here))
    role = {"role_id": ADMINISTRATOR}
    assert (await here.operator().call("PUT", f"/users/{clerk.id}/role", json=role)).status_code == 200
    number = (await clerk.post("/transport-cards")).json()["card_number"]
    path, some = f"/transit/cards/{number}/recharge", {"amount": 1}
    assert (await clerk.post(path, some)).status_code == 201
    with counted() as trips:
        async with meanwhile(here, lambda: end(there, clerk)):
            answer = await clerk.post(path, some)
    assert (answer.status_code, answer.json()["code"]) == (401, "session_over")
    assert any("FROM transport_cards" in sent for sent in trips.postgres), "it was read while the marks were asked for"
    assert not any("ledger_post" in sent for sent in trips.postgres)


async def test_a_request_is_answered_again_once(here: RunningApp, known: Person) -> None:
    """Redis does not answer the first read: the cached standing does not count, and PostgreSQL is read."""
    standings = cast("SessionStandings", here.api.state.identity.access)
    questions = standings._questions  # noqa: SLF001 - the test acts between two steps
    ask = questions._ask_all  # noqa: SLF001 - the test takes Redis away between two steps

    async def away(marks: Sequence[str]) -> Sequence[None]:
        questions._ask_all = ask  # noqa: SLF001 - the test restores Redis
        return [None] * len(marks)

    questions._ask_all = away  # noqa: SLF001 - the test takes Redis away here
    assert (await known.get("/users/me")).status_code == 200
