"""First tries in two trips (`ledger.at_once`): a guard notices a row that changes between the read and the write."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from asyncpg import PostgresError
from sqlalchemy import text

from carteira import ledger
from carteira.embedded import Endpoints
from carteira.kit.db.errors import sqlstate_of
from carteira.kit.values.clock import clock
from tests.support.app import RunningApp, running_app, settings_for
from tests.support.benefits import AUTHORIZER, insert_accounts, open_benefit_account, processor_headers, purchase
from tests.support.databases import NewDatabase

Ask = Callable[[], Awaitable[httpx.Response]]
TABLES = (
    "ledger_entries",
    "events",
    "audit_log",
    "idempotency_keys",
    "operator_days",
    "transit_taps",
    "benefits_returns",
)
"""Tables into which first tries write."""


@pytest.fixture(scope="module")
async def app(
    new_database: NewDatabase, endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningApp]:
    settings = settings_for(
        tmp_path_factory.mktemp("at_once"),
        database_url=new_database("at_once"),
        redis_url=endpoints.redis_url,
        carteira_modules="transit,benefits",
    )
    async with running_app(settings) as running:
        yield running


async def counts(app: RunningApp) -> Sequence[int]:
    columns = ", ".join(f"(SELECT count(*) FROM {table})" for table in TABLES)
    async with app.database.transaction() as tx:
        return (await tx.execute(text(f"SELECT {columns}"))).one()


async def overtaken(
    app: RunningApp, patch: pytest.MonkeyPatch, guard: str, change: Callable[[], Awaitable[object]], ask: Ask
) -> httpx.Response:
    """Send a request, change rows between its first try's read and write, and return the answer.

    The write is refused with the guard's SQLSTATE, and the first try writes nothing.
    """
    write, at_once, at_write, seen = ledger.write, ledger.at_once, list[Sequence[int]](), list[object]()

    async def write_late(*arguments: Any, **options: Any) -> None:  # noqa: ANN401 - the ledger's types
        patch.setattr(ledger, "write", write)
        await change()
        at_write.append(await counts(app))
        try:
            await write(*arguments, **options)
        except PostgresError as error:
            seen.append(sqlstate_of(error))
            raise

    async def try_at_once(*arguments: Any) -> object:  # noqa: ANN401 - the ledger's types
        answer = await at_once(*arguments)
        seen.extend((answer, await counts(app)))
        return answer

    patch.setattr(ledger, "write", write_late)
    patch.setattr(ledger, "at_once", try_at_once)
    answer = await ask()
    assert seen == [guard, None, *at_write]
    return answer


@pytest.mark.parametrize(
    ("verbs", "outcome"),
    [
        (["block"], ("denied", "card_blocked")),
        (["block", "unblock"], ("owed", None)),
        (["cancel"], ("denied", "card_cancelled")),
    ],
)
async def test_a_card_that_changes_before_its_ride_is_written(
    app: RunningApp, monkeypatch: pytest.MonkeyPatch, verbs: list[str], outcome: tuple[str, str | None]
) -> None:
    """The last verb comes between the ride's read and write."""
    owner, bus = app.person(), app.person("transit:validate")
    await owner.get("/transport-cards")
    number = (await owner.post("/transport-cards")).json()["card_number"]
    at = clock.now() + timedelta(minutes=1)
    ride = {"id": str(uuid4()), "card_number": number, "amount": 470, "tapped_at": at.isoformat()}

    async def change(verb: str = verbs[-1]) -> None:
        changed = await owner.post(f"/transport-cards/{number}/{verb}", {} if verb == "cancel" else None)
        assert changed.is_success, changed.text

    for verb in verbs[:-1]:
        await change(verb)
    answer = await overtaken(
        app, monkeypatch, "CT001", change, lambda: bus.post("/transit/taps", {"taps": [ride]}, key=str(uuid4()))
    )
    (result,) = answer.json()["results"]
    assert (result["result"], result["reason"]) == outcome


async def open_without_money(app: RunningApp) -> str:
    reference = f"a-{uuid4()}"
    async with app.database.transaction() as tx:
        await insert_accounts(tx, [reference], ["FOOD"])
    return reference


async def test_an_account_that_is_closed_before_its_top_up_is_written(
    app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator, account = app.operator(), await open_without_money(app)
    path, body = f"/benefits/accounts/{account}/credits", {"category": "FOOD", "amount": 100}

    async def change() -> None:
        assert (await operator.post(f"/benefits/accounts/{account}/close")).is_success

    answer = await overtaken(app, monkeypatch, "CB002", change, lambda: operator.post(path, body, key=str(uuid4())))
    assert (answer.status_code, answer.json()["code"]) == (409, "benefit_account_closed")


async def test_an_account_that_is_claimed_before_its_top_up_is_written(
    app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator, account, owner = app.operator(), await open_without_money(app), str(uuid4())
    path, body = f"/benefits/accounts/{account}/credits", {"category": "FOOD", "amount": 100}

    async def change() -> None:
        claim = text("UPDATE benefits_accounts SET user_id = CAST(:owner AS uuid) WHERE reference = :account")
        async with app.database.transaction() as tx:
            await tx.execute(claim, {"owner": owner, "account": account})

    answer = await overtaken(app, monkeypatch, "CB002", change, lambda: operator.post(path, body, key=str(uuid4())))
    assert answer.status_code == 201
    told = text("SELECT payload ->> 'user_id' FROM events WHERE payload ->> 'entry_id' = :entry")
    async with app.database.transaction() as tx:
        assert await tx.scalar(told, {"entry": answer.json()["entry_id"]}) == owner, "who gained it is told"


async def test_an_account_that_is_closed_before_a_bulk_top_up_is_written(
    app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator, closed, other = app.operator(), await open_without_money(app), await open_without_money(app)
    lines = [{"account": account, "category": "FOOD", "amount": 100} for account in (closed, other)]

    async def change() -> None:
        assert (await operator.post(f"/benefits/accounts/{closed}/close")).is_success

    answer = await overtaken(
        app, monkeypatch, "CB002", change, lambda: operator.post("/benefits/credits", lines, key=str(uuid4()))
    )
    results = answer.json()["results"]
    assert [one.get("code") for one in results] == ["benefit_account_closed", None]
    assert results[1]["status"] == "credited"


@pytest.mark.parametrize(
    ("verb", "body", "outcome"),
    [("refund", {"amount": 900}, (201, 900)), ("refund", None, (201, 1_500)), ("reversal", None, (409, None))],
)
async def test_a_purchase_of_which_a_part_is_returned_before_its_return_is_written(
    app: RunningApp,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    body: dict[str, int] | None,
    outcome: tuple[int, int | None],
) -> None:
    """A true return changes the account's version, too, which is compared before; so here it is the row alone."""
    operator = app.operator()
    account = await open_benefit_account(operator, CASH=2_000)
    paid = await app.client.post(AUTHORIZER, content=purchase(account, "20.00"), headers=processor_headers())
    assert paid.json() == {"code": "00"}
    (bought,) = (await operator.get(f"/transactions?account={account}")).json()["items"]

    async def change() -> None:
        async with app.database.transaction() as tx:
            await tx.execute(
                text(
                    "INSERT INTO benefits_returns (id, decision_id, kind, amount, created_at)"
                    " VALUES (gen_random_uuid(), :bought, 'refund', 500, now())"
                ),
                {"bought": bought["id"]},
            )

    path = f"/transactions/{bought['id']}/{verb}"
    answer = await overtaken(app, monkeypatch, "CB003", change, lambda: operator.post(path, body, key=str(uuid4())))
    assert (answer.status_code, answer.json().get("amount")) == outcome
