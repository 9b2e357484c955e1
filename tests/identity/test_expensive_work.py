"""Work that costs a core is bounded, and one client's work keeps nobody else out."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

import httpx
import pytest

from carteira.identity.runtime import Runtime
from carteira.identity.users import passwords
from carteira.kit.ops.turns import Busy, Turns
from carteira.kit.security.rate_limits import PER_ADDRESS, RateLimit
from tests.identity.test_signin import enrol
from tests.support.app import RunningApp
from tests.support.people import PASSWORD, new_person, random_address, register, sign_in

StartApp = Callable[..., Awaitable[RunningApp]]


async def login(client: httpx.AsyncClient, username: str, password: str = PASSWORD) -> httpx.Response:
    return await client.post("/auth/login", data={"username": username, "password": password})


async def junk(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/auth/mfa", json={"mfa_token": "junk", "code": "000000"})


async def first(
    tried: Sequence[asyncio.Task[httpx.Response]], count: int
) -> tuple[list[httpx.Response], set[asyncio.Task[httpx.Response]]]:
    """Return the first answers, so many, and the tasks still running."""
    done: list[httpx.Response] = []
    waiting = set(tried)
    while len(done) < count:
        answered, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        done += [one.result() for one in answered]
    return done, waiting


async def test_some_run_some_wait_and_the_rest_is_refused() -> None:
    turns, under_way, most = Turns("test", at_once=2, waiting=3), 0, 0
    go = asyncio.Event()

    async def work() -> str:
        nonlocal under_way, most
        try:
            async with turns.turn():
                under_way += 1
                most = max(most, under_way)
                await go.wait()
                under_way -= 1
                return "done"
        except Busy as busy:
            return f"busy for {busy.retry_after_seconds} s"

    tasks = [asyncio.ensure_future(work()) for _ in range(9)]
    await asyncio.sleep(0)
    gone = tasks.pop(3)
    gone.cancel()  # a client that hangs up while waiting frees the place
    await asyncio.gather(gone, return_exceptions=True)
    tasks.append(asyncio.ensure_future(work()))
    await asyncio.sleep(0)
    go.set()
    outcomes = await asyncio.gather(*tasks)
    assert (outcomes.count("done"), outcomes.count("busy for 3 s"), most) == (5, 4, 2)


async def test_registrations_beyond_the_queue_are_503_and_people_sign_in(app: RunningApp) -> None:
    person = await register(app)
    runtime: Runtime = app.api.state.identity
    places = passwords.PARALLEL_HASHES + passwords.WAITING_HASHES
    async with AsyncExitStack() as crowd:
        await crowd.enter_async_context(runtime.registrations.turn())
        tried = [
            asyncio.ensure_future(app.client.post("/users/register", json=new_person())) for _ in range(places + 2)
        ]
        full, waiting = await first(tried, 3)
        assert {(answer.status_code, answer.json()["code"]) for answer in full} == {(503, "busy")}
        assert all(int(answer.headers["retry-after"]) > 0 for answer in full)
        assert (await login(app.client, person.cpf)).status_code == 200
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {201}
    assert (await app.client.post("/users/register", json=new_person())).status_code == 201


async def test_sign_ins_beyond_the_queue_are_503_and_people_register(app: RunningApp) -> None:
    person = await register(app)
    runtime: Runtime = app.api.state.identity
    async with AsyncExitStack() as crowd:
        for _ in range(passwords.PARALLEL_CHECKS):
            await crowd.enter_async_context(runtime.guesses.turn())
        tried = [asyncio.create_task(login(app.client, person.cpf)) for _ in range(passwords.WAITING_CHECKS + 3)]
        full, waiting = await first(tried, 3)
        assert {(answer.status_code, answer.json()["code"]) for answer in full} == {(503, "busy")}
        assert (await app.client.post("/users/register", json=new_person())).status_code == 201
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}


async def test_a_burst_of_registrations_at_once_is_answered_to_the_last(start_app: StartApp) -> None:
    app = await start_app(registrations_per_hour="none")
    person = await register(app)
    burst = [asyncio.ensure_future(app.client.post("/users/register", json=new_person())) for _ in range(60)]
    signed_in = [(await login(app.client, person.cpf)).status_code for _ in range(3)]
    answers = await asyncio.gather(*burst)
    assert signed_in == [200] * 3
    assert {answer.status_code for answer in answers} == {201, 503}


async def test_300_junk_second_factors_keep_nobody_of_the_address_out(app: RunningApp) -> None:
    known = await register(app)
    other = await register(app)
    address = random_address()
    client = app.at(address)
    assert (await login(client, known.cpf)).status_code == 200
    answers = [(await junk(client)).status_code for _ in range(301)]
    assert answers == [401] * 300 + [429]
    assert (await login(client, known.cpf)).status_code == 200
    stranger = app.at(address)  # without cookies
    assert (await login(stranger, other.cpf)).status_code == 200


async def test_wrong_passwords_of_an_address_do_not_keep_a_known_device_out(app: RunningApp) -> None:
    known, unknown = await register(app), await register(app)
    address = random_address()
    client = app.at(address)
    assert (await login(client, known.cpf)).status_code == 200
    attacker = app.at(address)  # without cookies
    runtime: Runtime = app.api.state.identity
    for _ in range(299):
        await runtime.limiter.count(RateLimit.of(PER_ADDRESS, address))
    assert (await login(attacker, "ninguem@exemplo.com", "Errada123")).status_code == 401
    assert (await login(attacker, unknown.cpf)).status_code == 429
    assert (await login(client, known.cpf)).status_code == 200


async def test_registrations_per_network_and_hour_are_limited(start_app: StartApp) -> None:
    app = await start_app(registrations_per_hour=2)
    client, elsewhere = app.at(random_address()), app.at(random_address())
    weak = await client.post("/users/register", json=new_person() | {"password": "fraca"})
    assert weak.status_code == 422
    answers = [await client.post("/users/register", json=new_person()) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert 0 < int(answers[2].headers["retry-after"]) <= 3600
    assert (await elsewhere.post("/users/register", json=new_person())).status_code == 201
    here = [await app.at("127.0.0.1").post("/users/register", json=new_person()) for _ in range(4)]
    assert [answer.status_code for answer in here] == [201] * 4, "this machine has no limit in development"


@pytest.mark.parametrize("genuine", [True, False])
async def test_an_unknown_challenge_is_limited_like_a_known_one(app: RunningApp, *, genuine: bool) -> None:
    """Otherwise a wrong code would reveal whether the password before it was right."""
    person = await sign_in(await register(app))
    await enrol(app, person)
    stranger = app.at(random_address())
    for _ in range(10):
        assert (await login(stranger, person.cpf, "Errada123")).status_code == 401
    statuses = []
    for _ in range(3):
        challenge = await login(app.at(random_address()), person.cpf, PASSWORD if genuine else "Errada123")
        token = challenge.json()["mfa_token"]
        for _ in range(5):
            answer = await app.at(random_address()).post("/auth/mfa", json={"mfa_token": token, "code": "000000"})
            statuses.append(answer.status_code)
    assert statuses == [401] * 10 + [429] * 5
