"""The ledger over HTTP: accounts for their owner or an operator, and 422 for malformed requests."""

import base64
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from uuid import UUID, uuid4

import httpx
import pytest

from carteira import ledger
from carteira.embedded import Endpoints
from carteira.kit.db.engine import Database
from carteira.kit.values.actor import Actor
from carteira.kit.web.idempotency import REPLAYED
from tests.support.client import client_of
from tests.support.kit_app import application
from tests.support.ledger import TESTER, open_wallet, overwrite, purchase

PERSON, OPERATOR = uuid4(), uuid4()


def client_as(database: Database, token: str | None) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    return client_of(application(*ledger.module().routers, database=database), token)


@pytest.fixture
async def person(ledger_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with client_as(ledger_database, str(PERSON)) as client:
        yield client


@pytest.fixture
async def operator(ledger_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with client_as(ledger_database, f"{OPERATOR}/ledger:read,ledger:write") as client:
        yield client


@pytest.fixture
async def wallet(ledger_database: Database) -> UUID:
    """The person's wallet: 100 came in, 30 and 5 went out."""
    async with ledger_database.transaction() as tx:
        wallet = await open_wallet(tx, 100, owner_id=PERSON)
    for amount in (30, 5):
        async with ledger_database.transaction() as tx:
            await ledger.post(tx, purchase(wallet, amount), actor=TESTER)
    return wallet


async def test_an_owner_reads_their_data(person: httpx.AsyncClient, wallet: UUID) -> None:
    account = (await person.get(f"/ledger/accounts/{wallet}")).json()
    assert (account["balance"], account["held"], account["available"]) == (65, 0, 65)
    assert account["owner_id"] == str(PERSON)
    newest, older, oldest = (await person.get(f"/ledger/accounts/{wallet}/statement")).json()["items"]
    assert [newest["amount"], older["amount"], oldest["amount"]] == [-5, -30, 100]
    at = await person.get(f"/ledger/accounts/{wallet}/balance", params={"at": older["posted_at"]})
    assert at.json()["balance"] == 70 == older["balance_after"]
    now = await person.get(f"/ledger/accounts/{wallet}/balance")
    assert now.json()["balance"] == 65


async def test_a_statement_is_paged(person: httpx.AsyncClient, wallet: UUID) -> None:
    amounts, cursor = [], None
    while True:
        query = {"limit": "1"} | ({"cursor": cursor} if cursor else {})
        answer = (await person.get(f"/ledger/accounts/{wallet}/statement", params=query)).json()
        amounts += [item["amount"] for item in answer["items"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert amounts == [-5, -30, 100]


async def test_another_persons_account_is_not_there(
    ledger_database: Database, wallet: UUID, operator: httpx.AsyncClient
) -> None:
    paths = [f"/ledger/accounts/{wallet}{part}" for part in ("", "/balance", "/statement")]
    async with client_as(ledger_database, str(uuid4())) as other, client_as(ledger_database, None) as nobody:
        for path in paths:
            hidden, unknown = await other.get(path), await other.get(path.replace(str(wallet), str(uuid4())))
            assert (hidden.status_code, unknown.status_code) == (404, 404)
            assert hidden.json()["detail"] == unknown.json()["detail"]
            assert (await nobody.get(path)).status_code == 401
            assert (await operator.get(path)).status_code == 200


async def test_an_account_of_nobody_is_nobodys(ledger_database: Database, person: httpx.AsyncClient) -> None:
    async with ledger_database.transaction() as tx:
        unclaimed = await open_wallet(tx, 100)
    assert (await person.get(f"/ledger/accounts/{unclaimed}")).status_code == 404


async def test_an_entry_is_reversed_with_the_claim_and_once(
    person: httpx.AsyncClient, operator: httpx.AsyncClient, wallet: UUID
) -> None:
    newest = (await person.get(f"/ledger/accounts/{wallet}/statement")).json()["items"][0]["entry_id"]
    path, headers = f"/ledger/entries/{newest}/reversal", {"Idempotency-Key": str(uuid4())}
    assert (await person.post(path)).status_code == 403
    first = await operator.post(path, json={"description": "Devolução"}, headers=headers)
    again = await operator.post(path, json={"description": "Devolução"}, headers=headers)
    assert (first.status_code, first.json()["reverses_id"]) == (201, newest)
    assert (again.json(), again.headers[REPLAYED]) == (first.json(), "true")
    second = await operator.post(path)
    assert (second.status_code, second.json()["code"]) == (409, "entry_already_reversed")
    of_reversal = await operator.post(f"/ledger/entries/{first.json()['id']}/reversal")
    assert (of_reversal.status_code, of_reversal.json()["code"]) == (409, "entry_not_reversible")
    assert (await operator.post(f"/ledger/entries/{uuid4()}/reversal")).status_code == 404
    assert (await person.get(f"/ledger/accounts/{wallet}")).json()["balance"] == 70


async def test_operators_and_the_owner_see_the_actor_of_an_entry(
    ledger_database: Database, person: httpx.AsyncClient, operator: httpx.AsyncClient, wallet: UUID
) -> None:
    approver = uuid4()
    async with ledger_database.transaction() as tx:
        await ledger.post(tx, purchase(wallet, 1), actor=Actor.person(PERSON), approved_by=approver)
    path, by_person = f"/ledger/accounts/{wallet}/statement", {"kind": "person", "id": str(PERSON)}
    newest, older, *_ = (await operator.get(path)).json()["items"]
    assert (newest["actor"], newest["approved_by"]) == (by_person, str(approver))
    assert (older["actor"], older["approved_by"]) == ({"kind": "command", "id": "tests"}, None)
    mine = (await person.get(path)).json()["items"]
    assert [(line["actor"], line["approved_by"]) for line in mine] == [(by_person, None), *[(None, None)] * 3]
    entry = f"/ledger/entries/{newest['entry_id']}"
    reversal = (await operator.post(f"{entry}/reversal")).json()
    shown, undone = [(await operator.get(f"/ledger/entries/{entry_id}")).json() for entry_id in reversal.values()]
    assert shown["actor"] == {"kind": "person", "id": str(OPERATOR)}
    assert (shown["reverses_id"], undone["reversed_by_id"]) == (undone["id"], shown["id"])
    assert (undone["actor"], undone["approved_by"]) == (by_person, str(approver))
    first, second = undone["postings"]
    assert (first["account_id"], first["amount"], second["amount"]) == (str(wallet), -1, 1)
    assert (first["balance_after"], second["balance_after"]) == (64, None)
    assert ((await person.get(entry)).status_code, (await operator.get(f"/ledger/entries/{uuid4()}")).status_code) == (
        403,
        404,
    )


async def test_an_entry_older_than_actors_has_none(
    ledger_database: Database, endpoints: Endpoints, operator: httpx.AsyncClient, wallet: UUID
) -> None:
    newest = (await operator.get(f"/ledger/accounts/{wallet}/statement")).json()["items"][0]["entry_id"]
    for kind, name in ((None, None), ("unknown", "former release")):
        overwrite(
            endpoints,
            ledger_database,
            "UPDATE ledger_entries SET actor_kind = %(kind)s, actor_id = %(name)s WHERE id = %(id)s",
            kind=kind,
            name=name,
            id=newest,
        )
        assert (await operator.get(f"/ledger/entries/{newest}")).json()["actor"] is None
        assert (await operator.get(f"/ledger/accounts/{wallet}/statement")).json()["items"][0]["actor"] is None


async def test_spent_money_is_refused_and_the_refusal_comes_again(
    person: httpx.AsyncClient, operator: httpx.AsyncClient, wallet: UUID
) -> None:
    top_up = (await person.get(f"/ledger/accounts/{wallet}/statement")).json()["items"][-1]["entry_id"]
    headers = {"Idempotency-Key": str(uuid4())}
    first, again = [await operator.post(f"/ledger/entries/{top_up}/reversal", headers=headers) for _ in range(2)]
    assert (first.status_code, first.json()["code"]) == (400, "insufficient_funds")
    assert (again.status_code, again.json(), again.headers[REPLAYED]) == (400, first.json(), "true")


async def test_the_reconciliation_is_the_operators(person: httpx.AsyncClient, operator: httpx.AsyncClient) -> None:
    assert (await person.get("/ledger/reconciliation")).status_code == 403
    answer = await operator.get("/ledger/reconciliation")
    assert answer.json()["differences"] == []
    assert answer.json()["accounts"] >= 2


def cursor(*parts: str) -> str:
    return base64.urlsafe_b64encode("|".join(parts).encode()).decode()


SOME = "01a202a5-c31d-7dfc-9a7c-5948a77cff80"
RUBBISH = [
    *({"cursor": value} for value in ("x", "é", "\x00", "AAAA", cursor("1"), cursor("a", "b", "c", "d"))),
    {"cursor": cursor("2026-01-01T00:00:00", "1", SOME, "0")},
    {"cursor": cursor("0001-01-01T00:00:00+14:00", "1", SOME, "0")},
    {"cursor": cursor("2026-01-01T00:00:00Z", str(2**63), SOME, "0")},
    *({"at": value} for value in ("x", "2026-01-01T00:00:00", "now", "2026-13-01T00:00:00Z", "\x00")),
]


@pytest.mark.parametrize("query", RUBBISH, ids=str)
async def test_rubbish_is_422(operator: httpx.AsyncClient, wallet: UUID, query: dict[str, str]) -> None:
    part = "balance" if "at" in query else "statement"
    response = await operator.get(f"/ledger/accounts/{wallet}/{part}", params=query)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_input")


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00Z", "-1", "1e18"]
)
async def test_the_ends_of_the_calendar_are_answered(operator: httpx.AsyncClient, wallet: UUID, at: str) -> None:
    response = await operator.get(f"/ledger/accounts/{wallet}/balance", params={"at": at})
    assert response.status_code in {200, 422}, response.text


async def test_a_cursor_of_impossible_lines_is_merely_a_place(operator: httpx.AsyncClient, wallet: UUID) -> None:
    query = {"cursor": cursor("2999-01-01T00:00:00Z", "1", SOME, str(2**15 - 1))}
    response = await operator.get(f"/ledger/accounts/{wallet}/statement", params=query)
    assert (response.status_code, len(response.json()["items"])) == (200, 3)


@pytest.mark.parametrize("body", ['{"description": "a\\u0000b"}', '{"description": 3}', '{"more": 1}', "[]", "{"])
async def test_a_reversals_rubbish_is_422(operator: httpx.AsyncClient, wallet: UUID, body: str) -> None:
    newest = (await operator.get(f"/ledger/accounts/{wallet}/statement")).json()["items"][0]["entry_id"]
    headers = {"Content-Type": "application/json"}
    response = await operator.post(f"/ledger/entries/{newest}/reversal", content=body, headers=headers)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_input")
