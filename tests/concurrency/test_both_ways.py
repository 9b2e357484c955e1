"""A movement of benefits leaves the same rows at once as in a session, to which a held lock sends it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import NamedTuple
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from carteira.embedded import Endpoints
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.benefits import AUTHORIZER, open_benefit_account, processor_headers, purchase
from tests.support.databases import NewDatabase
from tests.support.people import Person

_HELD_SECONDS = 0.3
"""How long the accounts stay locked: longer than what is done at once waits for them."""
_LIMITS = ("top_ups", "refunds", "reversals", "cash_recharges", "opening_balances")
_ROWS: Mapping[str, str] = {
    "audit": """
        SELECT actor_kind, actor_id, actor_name, session_id, request_id IS NULL AS no_request, subject_id, action,
               details, entry_id, look
        FROM audit_log WHERE id >= $1 ORDER BY action""",
    "events": "SELECT topic, payload, traceparent FROM events WHERE id >= $1 ORDER BY topic, payload ->> 'amount'",
    "entries": """
        SELECT kind, description, key, actor_kind, actor_id, approved_by
        FROM ledger_entries WHERE id >= $1 ORDER BY kind, description""",
    "postings": """
        SELECT entry.kind, posting.line, posting.amount, posting.seq, posting.balance_after
        FROM ledger_postings posting JOIN ledger_entries entry ON entry.id = posting.entry_id
        WHERE entry.id >= $1 ORDER BY entry.kind, posting.line, posting.amount""",
    "returns": "SELECT kind, amount FROM benefits_returns WHERE id >= $1",
    "taps": """
        SELECT tap_id, amount, result, reason, paid, owed, outstanding, entry_id, user_id, card_id, client_id, line
        FROM transit_taps WHERE id >= $1 ORDER BY amount""",
    "owed": "SELECT amount, outstanding FROM transit_taps WHERE client_id::text = $1 ORDER BY amount",
    "keys": "SELECT status, money, reduced, caller FROM idempotency_keys WHERE created_at >= $1",
    "days": "SELECT limit_name, amount FROM operator_days WHERE actor_id = $1",
}
"""What a movement writes, without the instants."""


@pytest.fixture(scope="module")
async def app(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningApp]:
    settings = settings_for(
        tmp_path_factory.mktemp("home"),
        database_url=new_database("both_ways"),
        redis_url=endpoints.redis_url,
        carteira_modules="benefits,transit",
        **{f"{often}_{what}": 1_000_00 for often in ("limit", "daily") for what in _LIMITS},
    )
    async with running_app(settings) as running:
        yield running


class Move(NamedTuple):
    """A movement: the operator's request."""

    path: str
    body: object


async def _credit(app: RunningApp, operator: Person) -> Move:
    del app
    body = {"category": "FOOD", "amount": 100, "description": "Bônus"}
    return Move(f"/benefits/accounts/{await open_benefit_account(operator, FOOD=1_000)}/credits", body)


async def _bulk(app: RunningApp, operator: Person) -> Move:
    del app
    accounts = [await open_benefit_account(operator, FOOD=1_000) for _ in range(2)]
    return Move(
        "/benefits/credits",
        [
            {"account": one, "category": "FOOD", "amount": 70 + place}
            for place, one in enumerate((*accounts, accounts[0]))
        ],
    )


async def _bought(app: RunningApp, operator: Person) -> UUID:
    asked = purchase(await open_benefit_account(operator, FOOD=1_000), "5.00", "5411")
    answer = await app.client.post(AUTHORIZER, content=asked, headers=processor_headers())
    assert answer.json()["code"] == "00", answer.text
    async with app.database.transaction() as tx:
        found: UUID = await tx.scalar(text("SELECT id FROM benefits_decisions ORDER BY id DESC LIMIT 1"))
    return found


async def _refund(app: RunningApp, operator: Person) -> Move:
    return Move(f"/transactions/{await _bought(app, operator)}/refund", {"amount": 200})


async def _reversal(app: RunningApp, operator: Person) -> Move:
    return Move(f"/transactions/{await _bought(app, operator)}/reversal", None)


async def _card(app: RunningApp) -> str:
    made = await app.person().post("/transport-cards")
    assert made.status_code == 201, made.text
    number: str = made.json()["card_number"]
    return number


def _tap(number: str, amount: int) -> dict[str, object]:
    return {"id": str(uuid4()), "card_number": number, "amount": amount, "tapped_at": clock.now().isoformat()}


async def _cash(app: RunningApp, operator: Person) -> Move:
    number = await _card(app)
    sent = await operator.post("/transit/taps", {"taps": [_tap(number, 300), _tap(number, 400)]})
    assert {one["result"] for one in sent.json()["results"]} == {"owed"}, sent.text
    return Move(f"/transit/cards/{number}/recharge", {"amount": 500})


async def _rides(app: RunningApp, operator: Person) -> Move:
    number = await _card(app)
    made = await operator.post(f"/transit/cards/{number}/recharge", {"amount": 500})
    assert made.status_code == 201, made.text
    return Move("/transit/taps", {"taps": [_tap(number, 300), _tap(number, 400) | {"line": "875A"}]})


MOVES = (_credit, _bulk, _refund, _reversal, _cash, _rides)
Prepare = Callable[[RunningApp, Person], Awaitable[Move]]
Way = Callable[[RunningApp, Awaitable[httpx.Response]], Awaitable[httpx.Response]]


async def _at_once(app: RunningApp, asking: Awaitable[httpx.Response]) -> httpx.Response:
    del app
    return await asking


async def _by_session(app: RunningApp, asking: Awaitable[httpx.Response]) -> httpx.Response:
    """Hold all accounts for longer than what is done at once waits for them."""
    async with app.database.transaction() as tx:
        await tx.execute(text("SELECT id FROM ledger_accounts WHERE NOT is_system ORDER BY id FOR UPDATE"))
        answering = asyncio.ensure_future(asking)
        done, _ = await asyncio.wait([answering], timeout=_HELD_SECONDS)
        assert not done, "it moved locked accounts"
    return await answering


async def _left(app: RunningApp, prepare: Prepare, way: Way) -> str:
    """Make a movement in a way, with people and things of its own; return the answer and all rows, ids numbered."""
    operator = app.operator()
    move = await prepare(app, operator)
    async with app.database.transaction() as tx:
        now = await tx.scalar(text("SELECT clock_timestamp()"))
    await asyncio.sleep(0.002)  # ids of one millisecond have no order
    since = uuid7()
    answer = await way(app, operator.post(move.path, move.body, key=str(uuid4())))
    assert answer.is_success, answer.text
    told: dict[str, object] = {"status": answer.status_code, "answer": answer.json()}
    given = {"keys": now, "days": str(operator.id), "owed": str(operator.id)}
    async with app.database.transaction() as tx:
        connection = await tx.connection()
        for name, query in _ROWS.items():
            rows = await connection.exec_driver_sql(query, (given.get(name, since),))
            told[name] = [dict(row) for row in rows.mappings()]
    return _numbered(json.dumps(told, default=str, indent=1, sort_keys=True))


def _numbered(said: str) -> str:
    ids: dict[str, str] = {}
    names = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b9076\d{12}\b"
    said = re.sub(r'"at": "[^"]+"', '"at": "#"', said)
    return re.sub(names, lambda found: ids.setdefault(found[0], f"#{len(ids)}"), said)


@pytest.mark.parametrize("prepare", MOVES, ids=lambda one: one.__name__.strip("_"))
async def test_both_ways_leave_the_same_rows(app: RunningApp, prepare: Prepare) -> None:
    at_once = await _left(app, prepare, _at_once)
    assert '"audit": []' not in at_once
    assert await _left(app, prepare, _by_session) == at_once


async def test_a_days_ceiling_holds_for_top_ups_at_once(app: RunningApp) -> None:
    operator = app.operator()
    paths = [f"/benefits/accounts/{await open_benefit_account(operator, FOOD=1)}/credits" for _ in range(5)]
    body, keys = {"category": "FOOD", "amount": 300_00}, [str(uuid4()) for _ in paths]
    asking = (operator.post(path, body, key=key) for path, key in zip(paths, keys, strict=True))
    answers = await asyncio.gather(*asking)
    assert sorted(answer.is_success for answer in answers) == [False] * 2 + [True] * 3
    async with app.database.transaction() as tx:
        query = text("SELECT amount FROM operator_days WHERE actor_id = :actor AND limit_name = 'top_ups'")
        assert await tx.scalar(query, {"actor": str(operator.id)}) == 900_00


async def test_one_key_at_once_moves_once(app: RunningApp) -> None:
    operator, number = app.operator(), await _card(app)
    key, path = str(uuid4()), f"/transit/cards/{number}/recharge"
    answers = await asyncio.gather(*(operator.post(path, {"amount": 100}, key=key) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["entry_id"] for answer in answers}) == 1


async def test_no_more_is_returned_of_a_purchase_than_was_paid_however_many_ask_at_once(app: RunningApp) -> None:
    operator = app.operator()
    for _ in range(3):
        bought = await _bought(app, operator)
        path = f"/transactions/{bought}"
        asked = [(f"{path}/refund", {"amount": 200})] * 4 + [(f"{path}/reversal", None)] * 2
        answers = await asyncio.gather(*(operator.post(*one) for one in asked))
        returned = sum(answer.json()["amount"] for answer in answers if answer.is_success)
        assert {answer.status_code for answer in answers if not answer.is_success} == {409}
        async with app.database.transaction() as tx:
            query = text("SELECT sum(amount) FROM benefits_returns WHERE decision_id = :id")
            assert await tx.scalar(query, {"id": bought}) == returned
        assert returned in {400, 500}
