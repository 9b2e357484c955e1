"""A known session works without PostgreSQL, while Redis confirms that nothing has changed since."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from carteira.identity.sessions import standing
from carteira.identity.sessions.everybody import sign_everybody_out
from carteira.identity.sessions.standing import SessionStandings
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.outbound.redis import PatientRedis
from tests.support.app import RunningApp
from tests.support.metric_values import value_of
from tests.support.people import Person, register, sign_in

NOWHERE = "postgresql://carteira@127.0.0.1:1/carteira"
ADMINISTRATOR = 2
Start = Callable[..., Awaitable[RunningApp]]


@pytest.fixture(autouse=True)
def _everything_is_older_than_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "CACHE_SECONDS", 0.0)


def access_of(app: RunningApp) -> SessionStandings:
    return cast("SessionStandings", app.api.state.identity.access)


def patient(redis: Redis) -> PatientRedis:
    return PatientRedis(redis, "a test", patience_seconds=0.25, away_seconds=1.0)


def nowhere() -> PatientRedis:
    return patient(Redis(port=1))


@asynccontextmanager
async def away(app: RunningApp, url: str = NOWHERE) -> AsyncIterator[None]:
    """Take PostgreSQL away from the reader of standings; the route behind it keeps its own."""
    its = access_of(app)
    there, nowhere = its._database, Database(url)  # noqa: SLF001 - other tests use this app
    its._database = nowhere  # noqa: SLF001 - the database is away for this app only
    try:
        yield
    finally:
        its._database = there  # noqa: SLF001 - the test restores it
        await nowhere.close()


async def status_of(app: RunningApp, person: Person) -> int:
    return (await app.client.get("/users/me", headers=person.headers)).status_code


def remembered(app: RunningApp, **changes: Any) -> None:  # noqa: ANN401 - any field's type
    """Change the app's cached standing of the one session that it knows."""
    cache = access_of(app)._cache  # noqa: SLF001 - the test compares the cache
    [(key, standing)] = cache.items()
    cache[key] = replace(standing, **changes)


def served_stale() -> float:
    return value_of(standing.stale_standings)


async def test_a_known_session_goes_on_and_one_line_says_when_it_begins_and_ends(
    app: RunningApp, person: Person
) -> None:
    assert await status_of(app, person) == 200
    before = served_stale()
    with capture_logs() as lines:
        for _ in range(2):
            async with away(app):
                assert [await status_of(app, person) for _ in range(3)] == [200] * 3
            access_of(app)._database_away_until = 0.0  # noqa: SLF001 - the test skips the waiting time
            assert [await status_of(app, person) for _ in range(2)] == [200] * 2
    assert served_stale() - before == 6
    told = [line["event"] for line in lines if line["event"].startswith("database ")]
    assert told == ["database unavailable, cached standings used", "database available, standings read again"] * 2


async def end_sessions(here: RunningApp, person: Person) -> None:
    assert (await here.client.delete("/auth/sessions", headers=person.headers)).status_code == 204


async def sign_out(here: RunningApp, person: Person) -> None:
    body = {"refresh_token": person.tokens["refresh_token"]}
    assert (await here.client.post("/auth/logout", json=body)).status_code == 204


async def change_role(here: RunningApp, person: Person) -> None:
    path, headers = f"/users/{person.id}/role", here.bearer("*")
    assert (await here.client.put(path, json={"role_id": ADMINISTRATOR}, headers=headers)).status_code == 200


async def erase(here: RunningApp, person: Person) -> None:
    assert (await here.client.delete(f"/users/{person.id}", headers=here.bearer("*"))).status_code == 204


async def change_a_claim(here: RunningApp, _person: Person) -> None:
    answer = await here.client.patch("/claims/1", json={"active": True}, headers=here.bearer("*"))
    assert answer.status_code == 200


@pytest.mark.parametrize("change", [end_sessions, sign_out, change_role, erase, change_a_claim])
async def test_changes_before_the_outage_apply_during_it(
    start_app: Start, change: Callable[[RunningApp, Person], Awaitable[None]]
) -> None:
    here, there = await start_app(), await start_app()
    person = await sign_in(await register(here))
    for app in (here, there):
        assert await status_of(app, person) == 200
    await change(here, person)
    for app in (here, there):
        async with away(app):
            assert await status_of(app, person) == 503


async def test_another_persons_change_does_not_matter(app: RunningApp, person: Person) -> None:
    other = await sign_in(await register(app))
    assert (await status_of(app, person), await status_of(app, other)) == (200, 200)
    await end_sessions(app, other)
    async with away(app):
        assert (await status_of(app, person), await status_of(app, other)) == (200, 503)


async def test_without_redis_nothing_goes_on(app: RunningApp, person: Person) -> None:
    assert await status_of(app, person) == 200
    access_of(app)._redis = nowhere()  # noqa: SLF001 - other tests use this Valkey
    async with away(app):
        assert await status_of(app, person) == 503


async def test_a_redis_that_was_started_again_may_have_forgotten_a_mark(app: RunningApp, person: Person) -> None:
    assert await status_of(app, person) == 200
    remembered(app, run="another run")
    async with away(app):
        assert await status_of(app, person) == 503


async def test_a_redis_that_does_not_say_which_run_it_is_serves_the_cache_only(
    app: RunningApp, person: Person, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis: Redis = app.api.state.redis
    await redis.acl_setuser("no-info", enabled=True, passwords=["+any"], keys=["*"], commands=["+@all", "-info"])
    url = f"redis://no-info:any@{redis_url.rpartition('@')[2]}"
    async with Redis.from_url(url) as discreet:
        access_of(app)._redis = patient(discreet)  # noqa: SLF001 - Redis is away for this app only
        assert await status_of(app, person) == 200
        async with away(app):
            assert await status_of(app, person) == 503
            monkeypatch.setattr(standing, "CACHE_SECONDS", 60.0)
            assert await status_of(app, person) == 200
    await redis.acl_deluser("no-info")


async def test_known_sessions_last_for_the_set_time(start_app: Start) -> None:
    app, never = await start_app(session_outage_seconds=100), await start_app(session_outage_seconds=0)
    person = await sign_in(await register(app))
    assert (await status_of(app, person), await status_of(never, person)) == (200, 200)
    async with away(app), away(never):
        assert await status_of(never, person) == 503
        remembered(app, read_at=time.monotonic() - 90)
        assert await status_of(app, person) == 200
        remembered(app, read_at=time.monotonic() - 100)
        assert await status_of(app, person) == 503


async def test_a_session_that_was_never_seen_is_not_let_in(app: RunningApp, person: Person) -> None:
    async with away(app):
        assert await status_of(app, person) == 503


async def test_marks_count_as_they_were_before_the_read(start_app: Start) -> None:
    here, there = await start_app(), await start_app()
    person = await sign_in(await register(here))
    its = access_of(there)
    database = its._database  # noqa: SLF001 - the test makes a change after the read

    class Interrupted(Database):
        @asynccontextmanager
        async def transaction(self) -> AsyncIterator[Tx]:
            async with database.transaction() as tx:
                yield tx
            await end_sessions(here, person)

    its._database = Interrupted(NOWHERE)  # noqa: SLF001 - the database goes away at the second statement
    assert await status_of(there, person) == 200, "it was read before the change"
    its._database = database  # noqa: SLF001 - the test restores it
    async with away(there):
        assert await status_of(there, person) == 503
    assert await status_of(there, person) == 401


async def test_a_change_that_redis_missed_is_reported_before_anything_else_is_asked(start_app: Start) -> None:
    here, there = await start_app(), await start_app()
    person, other = [await sign_in(await register(here)) for _ in range(2)]
    assert (await status_of(there, person), await status_of(here, other)) == (200, 200)
    its = access_of(here)
    redis, its._redis = its._redis, nowhere()  # noqa: SLF001 - Redis is away for one server only
    await end_sessions(here, person)
    its._redis = redis  # noqa: SLF001 - the test restores it without waiting
    assert await status_of(here, other) == 200
    async with away(there):
        assert await status_of(there, person) == 503


async def test_a_mark_outlives_cached_rows_and_never_repeats_a_value(app: RunningApp, person: Person) -> None:
    redis: Redis = app.api.state.redis
    mark = standing._mark(person.id)  # noqa: SLF001 - the test reads the mark in Redis
    values = set()
    for _ in range(3):
        await change_role(app, person)
        values.add(await redis.get(mark))
        assert await redis.ttl(mark) > 1200
    assert len(values) == 3
    await redis.delete(mark)
    await change_role(app, person)
    assert await redis.get(mark) not in values


async def test_a_hanging_store_is_waited_for_once_and_briefly(
    start_app: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await start_app(request_timeout_seconds=4)  # less than it takes to give a connection up
    person = await sign_in(await register(app))
    monkeypatch.setattr(standing, "_AWAY_SECONDS", 60.0)
    came = []

    async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(writer)
        await reader.read()
        writer.close()

    assert await status_of(app, person) == 200
    hanging = await asyncio.start_server(stay_silent, "127.0.0.1", 0)
    port = hanging.sockets[0].getsockname()[1]
    async with hanging, away(app, f"postgresql://carteira@127.0.0.1:{port}/carteira"):
        assert [await status_of(app, person) for _ in range(5)] == [200] * 5
    assert len(came) == 1


async def test_the_least_recently_read_standing_is_dropped(
    app: RunningApp, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "_CACHE_SIZE", 2)
    second, third = [await sign_in(await register(app)) for _ in range(2)]
    for someone in (person, second, person, third):
        assert await status_of(app, someone) == 200
    async with away(app):
        assert [await status_of(app, someone) for someone in (person, second, third)] == [200, 503, 200]


async def test_everybody_is_signed_out_at_once_in_every_process(
    start_app: Callable[..., Awaitable[RunningApp]],
) -> None:
    here, there = await start_app(), await start_app()
    people = [await sign_in(await register(here)) for _ in range(2)]
    for app in (here, there):
        for person in people:
            assert (await app.client.get("/users/me", headers=person.headers)).status_code == 200
    ended = await sign_everybody_out(here.database, here.api.state.redis, here.api.state.identity.config)
    assert ended >= 2
    for app in (here, there):
        for person in people:
            assert (await app.client.get("/users/me", headers=person.headers)).status_code == 401
            again = await app.client.post("/auth/refresh", json={"refresh_token": person.tokens["refresh_token"]})
            assert again.status_code == 401
    assert await sign_everybody_out(here.database, here.api.state.redis, here.api.state.identity.config) == 0
    await sign_in(people[0])
