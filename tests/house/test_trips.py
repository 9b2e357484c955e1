"""The number of trips of each route to PostgreSQL and Redis: a read makes one to each; more needs a reason."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

import httpx
import pytest

from carteira import demo
from carteira.embedded import Endpoints
from carteira.kit.values.clock import clock
from carteira.modules import OPTIONAL_MODULES
from carteira.transit.schemas import MAX_FARE
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.contract import openapi_document
from tests.support.credit import PURPOSE, fill_bases
from tests.support.databases import NewDatabase
from tests.support.money_moves import MONEY_MOVES
from tests.support.pages import PlainBrowser
from tests.support.people import Person, register
from tests.support.things import PathIds, make_one_of_each, sign_in_demo
from tests.support.trips import Trips, count_trips, counted

PATHS = openapi_document()["paths"]
_NOBODYS = "01980000-0000-7000-8000-00000000dead"
ASKS = 4
"""How often each route is called.

The first call prepares statements, and standings are read again at times: the fewest trips count.
"""

AT_ONCE = 50
"""Debits, or recharges, of one card at once."""


@dataclass(frozen=True)
class Most:
    """The trips of a route that makes more than one to PostgreSQL or Redis, and the reason."""

    postgres: int
    redis: int
    why: str = ""


_WRITES = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM) (?!audit_log\b)\w|\bFOR UPDATE\b")
READ, MONEY = Most(1, 1), Most(2, 1)
_LOOK = "who is shown is read first, then the look's row is written; Redis counts whom operators look at"
_RARE = "an operator's list, asked for a few times a day: it stays as it reads best"
_DOORS = "it is put together of what several doors and tables give, each by a query of its own"
_WHOLE = "everything about somebody, or about everybody: one state of the database, or a stream"
_CREDIT = "three stores; each look at base A is a link of the log's chain, written before it is answered"
_READY = "it asks each dependency whether it is there, as a request would"
_TAKES_OVER = "whoever is first takes over the topics that the release brought: a transaction"
EXCEPTIONS: dict[str, Most] = {
    "GET /clients/{client_id} (operator)": Most(3, 1, _RARE),
    "GET /transit/taps/waiting (operator)": Most(1, 2, _LOOK),
    "GET /chatbot/topics (operator)": Most(4, 1, _TAKES_OVER),
    "GET /chatbot/topics/{slug} (operator)": Most(5, 1, _TAKES_OVER),
    "GET /chatbot/topics/{slug}/versions (operator)": Most(6, 1, _TAKES_OVER),
    "GET /health/ready (own)": Most(6, 1, _READY),
    "GET /health/ready (operator)": Most(5, 1, _READY),
    "GET /pending (own)": Most(2, 1, _DOORS),
    "GET /pending (operator)": Most(2, 1, _RARE),
    "GET /pending/{operation_id} (own)": Most(2, 1, _DOORS),
    "GET /pending/{operation_id} (operator)": Most(3, 2, _LOOK),
    "GET /users/cpf-disputes (operator)": Most(1, 2, _LOOK),
    "GET /users/data-requests (operator)": Most(1, 2, _LOOK),
    "GET /users (operator)": Most(2, 4, _LOOK),
    "GET /users/me/accesses (own)": Most(2, 1, _DOORS),
    "GET /users/me/accesses (operator)": Most(2, 1, _RARE),
    "GET /users/report (operator)": Most(2, 4, _LOOK),
    "GET /users/{user_id} (operator)": Most(2, 4, _LOOK),
    "GET /users/{user_id}/sessions (operator)": Most(3, 4, _LOOK),
    "GET /users/{user_id}/role (operator)": Most(2, 4, _LOOK),
    "GET /users/{user_id}/claims (operator)": Most(3, 4, _LOOK),
    "GET /roles (operator)": Most(2, 1, _RARE),
    "GET /roles/{role_id} (operator)": Most(2, 1, _RARE),
    "GET /clients (operator)": Most(3, 1, _RARE),
    "GET /webhooks/{webhook_id}/deliveries (operator)": Most(2, 1, _RARE),
    "GET /audit (operator)": Most(2, 4, _LOOK),
    "GET /ledger/accounts/{account_id} (operator)": Most(2, 4, _LOOK),
    "GET /ledger/accounts/{account_id}/balance (operator)": Most(2, 4, _LOOK),
    "GET /ledger/accounts/{account_id}/statement (own)": Most(2, 1, _DOORS),
    "GET /ledger/accounts/{account_id}/statement (operator)": Most(3, 4, _LOOK),
    "GET /ledger/entries/{entry_id} (operator)": Most(5, 4, _LOOK),
    "GET /transactions (operator)": Most(3, 4, _LOOK),
    "GET /transactions/{transaction_id} (operator)": Most(3, 4, _LOOK),
    "GET /benefits/employers (operator)": Most(2, 1, _RARE),
    "GET /benefits/employers/{employer_id} (operator)": Most(2, 1, _RARE),
    "GET /benefits/employers/{employer_id}/fund (operator)": Most(3, 1, _RARE),
    "GET /benefits/employers/{employer_id}/members (operator)": Most(2, 1, _RARE),
    "GET /benefits/scheduled-credits (operator)": Most(2, 1, _RARE),
    "GET /benefits/accounts (own)": Most(2, 1, _DOORS),
    "GET /benefits/accounts (operator)": Most(2, 1, _RARE),
    "GET /benefits/accounts/{account} (own)": Most(2, 1, _DOORS),
    "GET /benefits/accounts/{account} (operator)": Most(4, 4, _LOOK),
    "GET /benefits/accounts/{account}/statement (own)": Most(4, 1, _DOORS),
    "GET /benefits/accounts/{account}/statement (operator)": Most(6, 4, _LOOK),
    "GET /benefits/waiting-accounts (own)": Most(2, 1, _DOORS),
    "GET /benefits/waiting-accounts (operator)": Most(2, 1, _RARE),
    "GET /payments/account (operator)": Most(6, 1, _RARE),
    "GET /payments/all-charges (operator)": Most(1, 2, _LOOK),
    "GET /payments/received (operator)": Most(1, 2, _LOOK),
    "GET /documents/reviews (operator)": Most(1, 2, _LOOK),
    "GET /documents/reviews/{document_id} (operator)": Most(3, 4, _LOOK),
    "GET /purchases (own)": Most(4, 1, _DOORS),
    "GET /purchases (operator)": Most(4, 4, _LOOK),
    "GET /purchases/{purchase_id} (own)": Most(5, 1, _DOORS),
    "GET /purchases/{purchase_id} (operator)": Most(5, 4, _LOOK),
    "GET /cashback/balance (own)": Most(2, 1, _DOORS),
    "GET /cashback/statement (own)": Most(2, 1, _DOORS),
    "GET /cashback/adjustments (own)": Most(3, 1, _DOORS),
    "GET /cashback/months (own)": Most(4, 1, _DOORS),
    "GET /cashback/months (operator)": Most(3, 2, _LOOK),
    "GET /cashback/months/{month} (operator)": Most(3, 2, _LOOK),
    "GET /cashback/auto-approvals (operator)": Most(2, 4, _LOOK),
    "GET /credit/{cpf} (operator)": Most(7, 7, _CREDIT),
    "GET /credit/{cpf}/base-a (operator)": Most(7, 6, _CREDIT),
    "GET /credit/{cpf}/base-b (operator)": Most(1, 6, _CREDIT),
    "GET /credit/{cpf}/base-c (operator)": Most(1, 5, _CREDIT),
    "GET /credit/{cpf}/score (operator)": Most(2, 6, _CREDIT),
    "GET /credit/models (operator)": Most(2, 1, _RARE),
    "GET /credit/models/{version} (operator)": Most(2, 1, _RARE),
    "GET /credit/{cpf}/accesses (own)": Most(2, 1, _CREDIT),
    "GET /credit/{cpf}/accesses (operator)": Most(3, 4, _CREDIT),
    "GET /chatbot/tickets (operator)": Most(1, 2, _LOOK),
    "GET /inbox (own)": Most(7, 1, _DOORS),
    "GET /inbox (operator)": Most(7, 1, _RARE),
    "GET /inbox/unread (own)": Most(7, 1, _DOORS),
    "GET /inbox/unread (operator)": Most(7, 1, _RARE),
}
"""Routes that make more trips than they should, with today's count: the list may only shrink."""
MAKES_THE_FIRST = {"GET /transport-cards (own)", "GET /transport-cards (operator)"}
"""Reads that create on their first call, in a transaction, what everybody has."""
_LINK = "the link of a message, or a provider, opens it"
NOT_ASKED: dict[str, str] = {
    **dict.fromkeys(("/auth/code", "/auth/contacts/confirm", "/auth/contacts/undo", "/auth/invitation"), _LINK),
    **dict.fromkeys(("/auth/{provider}/login", "/auth/{provider}/callback"), _LINK),
    **dict.fromkeys(("/documents/proofs/{token}", "/documents/{document_id}/file"), _LINK),
    **dict.fromkeys(("/users/me/data", "/users/export", "/ledger/reconciliation"), _WHOLE),
    **dict.fromkeys(
        ("/benefits/accounts/imports/{import_id}", "/benefits/accounts/imports/{import_id}/lines"),
        "a file of the employer's, looked at while it is worked off",
    ),
    "/benefits/scheduled-credits/{scheduled_id}": "an operator's, read as its list is",
    "/cashback/accumulated": "it asks the external service",
    **dict.fromkeys(
        (
            "/payments/charges/{charge_id}",
            "/payments/charges/{charge_id}/qr",
            "/payments/received/{e2eid}",
            "/payments/days/{day}",
        ),
        "a provider of payments is behind it, which the stage has not",
    ),
}


@pytest.fixture(scope="module")
async def app(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningApp]:
    url = new_database("trips")
    await demo.seed(url, OPTIONAL_MODULES)
    settings = settings_for(
        tmp_path_factory.mktemp("trips"),
        database_url=url,
        redis_url=endpoints.redis_url,
        aws_endpoint_url=endpoints.aws_endpoint_url,
        credit_table="trips",
    )
    with pytest.MonkeyPatch.context() as patch:
        count_trips(patch)
        async with running_app(settings) as running:
            yield running


@dataclass(frozen=True)
class Stage:
    """The people who call the routes, and the objects that the routes name."""

    maria: Person
    operator: Person
    things: PathIds


@pytest.fixture(scope="module")
async def stage(app: RunningApp) -> Stage:
    maria, operator = await sign_in_demo(app, demo.PEOPLE[0]), await sign_in_demo(app, demo.PEOPLE[1])
    things = await make_one_of_each(app, maria)
    operator.headers |= PURPOSE
    assert demo.PERSON.cpf is not None
    await fill_bases(operator, demo.PERSON.cpf)
    topic = {"title": "Onde", "answer": "Aqui.", "phrases": ["onde fica"]}
    written = await operator.call("PUT", f"/chatbot/topics/{things['slug']}", json=topic)
    assert written.is_success, written.text
    client = await operator.post("/clients", {"name": "Leitor", "claims": ["transit:validate"]})
    assert client.status_code == 201, client.text
    hook = {"client_id": client.json()["id"], "url": "http://127.0.0.1:1/", "events": ["transit.card_blocked"]}
    made = await operator.post("/webhooks", hook)
    assert made.status_code == 201, made.text
    merchant = (await operator.get("/benefits/merchants")).json()[0]["name"]
    told = {"client_id": client.json()["id"], "webhook_id": made.json()["id"], "name": merchant}
    told["version"] = (await operator.get("/credit/models")).json()[0]["version"]
    told["valid_from"] = (await operator.get("/cashback/tiers")).json()[0]["valid_from"]
    return Stage(maria, operator, things | told)


async def fewest(ask: Callable[[], Awaitable[httpx.Response]], name: str, usual: Most) -> Trips | None:
    """Call a route until its trips are as few as allowed, a few times at most; return None if access is refused."""
    most, best = EXCEPTIONS.get(name, usual), None
    for _ in range(ASKS):
        with counted(by_all=usual is MONEY) as trips:
            answer = await ask()
        if not answer.is_success:
            return None
        if usual is READ and most.why not in {_CREDIT, _TAKES_OVER} and name not in MAKES_THE_FIRST:
            assert not any(map(_WRITES.search, trips.postgres)), f"{name} writes"
        best = trips if best is None else min(best, trips, key=lambda one: (len(one.postgres), len(one.redis)))
        if len(best.postgres) <= most.postgres and len(best.redis) <= most.redis:
            break
    return best


async def of_read(stage: Stage, path: str) -> dict[str, Trips]:
    """Call a read as the owner of the objects and as an operator; return the trips of those who have access."""
    named = dict(stage.things)
    if path.startswith("/auth/social/"):
        named["account_id"] = stage.things["social"]
    url = re.sub(r"\{(\w+)\}", lambda found: named.get(found[1], _NOBODYS), path)
    seen = {}
    for whose, who in (("own", stage.maria), ("operator", stage.operator)):
        name = f"GET {path} ({whose})"
        if trips := await fewest(partial(who.get, url), name, READ):
            seen[name] = trips
    return seen


def wrong(name: str, trips: Trips, usual: Most) -> str:
    """Return what is wrong with a route's trips, or nothing if they are as few as allowed."""
    most = EXCEPTIONS.get(name, usual)
    made = (len(trips.postgres), len(trips.redis))
    print(f"{made[0]:3} {made[1]:3}  {name}")  # noqa: T201 - the output of `make trips`
    if made[0] > most.postgres or made[1] > most.redis:
        return f"{name}: {made[0]} to PostgreSQL, {made[1]} to Redis\n  " + "\n  ".join(trips.postgres + trips.redis)
    if name in EXCEPTIONS and made != (most.postgres, most.redis):
        return f"{name} is better than its exception: {made[0]} to PostgreSQL, {made[1]} to Redis"
    return ""


async def test_a_read_travels_once(stage: Stage) -> None:
    faults, asked = [], set[str]()
    for path, operations in PATHS.items():
        if "get" in operations and path not in NOT_ASKED:
            found = await of_read(stage, path)
            faults += [wrong(name, trips, READ) for name, trips in found.items()]
            asked |= {path} if found else set()
    assert not list(filter(None, faults)), "\n".join(filter(None, faults))
    unasked = {path for path, operations in PATHS.items() if "get" in operations} - asked - set(NOT_ASKED)
    assert not unasked, "nobody has access: the stage lacks an object or a person"


async def call_next(calls: Iterator[Callable[[], Awaitable[httpx.Response]]]) -> httpx.Response:
    return await next(calls)()


async def test_money_travels_twice(app: RunningApp, stage: Stage) -> None:
    faults = []
    for move in MONEY_MOVES:
        who = stage.operator if move.by_operator else stage.maria
        calls = iter([partial(move.ask, who, await move.renew(app, stage.things)) for _ in range(ASKS)])
        trips = await fewest(partial(call_next, calls), move.route, MONEY)
        assert trips is not None, f"{move.route} was refused"
        faults.append(wrong(move.route, trips, MONEY))
    assert not list(filter(None, faults)), "\n".join(filter(None, faults))


async def test_a_recharge_that_pays_rides_travels_twice(stage: Stage) -> None:
    recharge = next(move for move in MONEY_MOVES if move.route.startswith("POST /transport-cards/{card_number}/rech"))
    number = stage.things["card_number"]
    balance = (await stage.maria.get(f"/transport-cards/{number}/balance")).json()["balance"]
    ride = {"card_number": number, "amount": MAX_FARE, "tapped_at": clock.now().isoformat()}
    rides = [ride | {"id": str(uuid4())} for _ in range(balance // MAX_FARE + 1)]
    sent = await stage.operator.post("/transit/taps", {"taps": rides})
    assert sent.json()["results"][-1]["result"] == "owed", sent.text
    try:
        trips = await fewest(partial(recharge.ask, stage.maria, stage.things), recharge.route, MONEY)
        assert trips is not None
        assert not wrong(recharge.route, trips, MONEY)
        assert (await stage.maria.get("/transit/debts")).json()["total"] > 0, "each recharge paid a part"
    finally:
        await stage.maria.post(f"/transport-cards/{number}/recharge", {"amount": 2 * MAX_FARE})


async def test_a_recharge_on_a_page_travels_twice(app: RunningApp) -> None:
    browser = PlainBrowser(app)
    await browser.sign_in(await register(app))
    page, best = await browser.open("/app/transporte"), None
    (form,) = [form for form in page.forms if form.action.endswith("/recarga")]
    for _ in range(ASKS):
        with counted(by_all=True) as trips:
            done = await browser.client.post(form.action, data=form.fields | {"choice": "10", "pedido": str(uuid4())})
        assert done.status_code == 303, done.text
        best = trips if best is None else min(best, trips, key=lambda one: (len(one.postgres), len(one.redis)))
    await browser.client.aclose()
    assert best is not None
    assert (len(best.postgres), len(best.redis)) == (MONEY.postgres, MONEY.redis), best


@pytest.mark.parametrize("verb", ["debit", "recharge"])
async def test_moves_of_a_card_at_once_travel_together(stage: Stage, verb: str) -> None:
    route = f"POST /transport-cards/{{card_number}}/{verb}"
    move = next(move for move in MONEY_MOVES if move.route == route)
    assert (await move.ask(stage.maria, stage.things)).is_success, "statements are prepared"
    with counted(by_all=True) as trips:
        answers = await asyncio.gather(*(move.ask(stage.maria, stage.things) for _ in range(AT_ONCE)))
    assert all(answer.is_success for answer in answers)
    assert 0 < len(trips.postgres) < AT_ONCE
    assert len(trips.redis) <= AT_ONCE


def test_the_exceptions_are_existing_routes_with_reasons() -> None:
    routes = {f"{method.upper()} {path}" for path, operations in PATHS.items() for method in operations}
    assert {re.sub(r" \(\w+\)$", "", name) for name in EXCEPTIONS} <= routes
    assert {f"GET {path}" for path in NOT_ASKED} <= routes
    assert all(most.why for most in EXCEPTIONS.values())
    assert all(NOT_ASKED.values())
