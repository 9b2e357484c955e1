"""Months: what they earn while open, that they close once, and the rules that change between them."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text as sql
from sqlalchemy.exc import IntegrityError

from carteira import ledger
from carteira.kit.db import jobs, outbox
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.values.clock import clock
from carteira.resellers import months
from carteira.resellers.jobs import blueprint, close_all_due
from carteira.settings import Settings
from tests.support.app import RunningApp, jobs_app
from tests.support.ledger import TESTER
from tests.support.resellers import Buyer, approved_purchase, new_month, new_operator, new_reseller, next_month, text


async def parts(person: Buyer, month: date) -> list[tuple[int, int, int]]:
    items = (await person.read(f"/purchases?month={text(month)}&limit=100"))["items"]
    return sorted((item["amount"], item["cashback_percentage"], item["cashback_amount"]) for item in items)


@pytest.mark.parametrize(
    ("total", "percentage", "cashback"),
    [(100_000, 10, 10_000), (100_001, 15, 15_000), (150_000, 15, 22_500), (150_001, 20, 30_000)],
)
async def test_the_tier_of_the_total_applies_to_the_whole_month(
    app: RunningApp, total: int, percentage: int, cashback: int
) -> None:
    me, month = await new_reseller(app), new_month()
    for amount in (33_333, 7, total - 33_340):
        await approved_purchase(app, me, amount, month)
    listed = await parts(me, month)
    assert {item[1] for item in listed} == {percentage}
    assert sum(item[2] for item in listed) == cashback
    (figures,) = (await me.read("/cashback/months"))["items"]
    assert (figures["total"], figures["cashback_percentage"], figures["cashback_amount"]) == (
        total,
        percentage,
        cashback,
    )
    closed = await new_operator(app).submit(f"/cashback/months/{text(month)}/close")
    assert (closed["total"], closed["cashback_amount"], closed["resellers"]) == (total, cashback, 1)
    assert await me.balance() == cashback
    assert await parts(me, month) == listed
    (figures,) = (await me.read("/cashback/months"))["items"]
    assert (figures["closed"], figures["cashback_amount"]) == (True, cashback)


async def test_a_decision_moves_the_percentage_of_the_others(app: RunningApp) -> None:
    me, operator, month = await new_reseller(app), new_operator(app), new_month()
    await me.buy(100_000, month)
    assert await parts(me, month) == [(100_000, 10, 10_000)]
    more = await me.buy(1, month)
    assert await parts(me, month) == [(1, 15, 0), (100_000, 15, 15_000)]
    much = await me.buy(50_000, month)
    assert await parts(me, month) == [(1, 20, 0), (50_000, 20, 10_000), (100_000, 20, 20_000)]
    await operator.submit(f"/purchases/{much['id']}/approve")
    assert await parts(me, month) == [(1, 20, 0), (50_000, 20, 10_000), (100_000, 20, 20_000)]
    await operator.submit(f"/purchases/{more['id']}/reject")
    assert await parts(me, month) == [(1, 15, 0), (50_000, 15, 7_500), (100_000, 15, 15_000)]
    await me.buy(100_000, next_month(month))
    assert await parts(me, month) == [(1, 15, 0), (50_000, 15, 7_500), (100_000, 15, 15_000)]


async def test_a_month_with_a_pending_purchase_stays_open_and_a_closed_one_takes_none(app: RunningApp) -> None:
    me, operator, month = await new_reseller(app), new_operator(app), new_month()
    pending, elsewhere = await me.buy(1_000, month), await me.buy(1_000, next_month(month))
    path = f"/cashback/months/{text(month)}/close"
    response = await operator.call("POST", path)
    assert (response.status_code, response.json()["code"], response.json()["pending"]) == (
        409,
        "month_has_pending_purchases",
        1,
    )
    await operator.submit(f"/purchases/{pending['id']}/reject")
    closed = await operator.submit(path)
    assert (closed["cashback_amount"], closed["resellers"]) == (0, 0)
    late = await me.call("POST", "/purchases", json=me.purchase(1_000, month))
    moved = await me.call("PUT", f"/purchases/{elsewhere['id']}", json=me.purchase(1_000, month))
    bulk = await me.submit(
        "/purchases/bulk", content=f"code,amount,date\nX{uuid4()},5,{month}\n", headers={"Content-Type": "text/csv"}
    )
    assert [late.status_code, moved.status_code] == [409, 409]
    assert {late.json()["code"], moved.json()["code"], bulk["results"][0]["error"]} == {"month_closed"}
    assert (await operator.submit(path)) == closed
    this_month = text(clock.today())
    assert (await operator.call("POST", f"/cashback/months/{this_month}/close")).json()["code"] == "month_not_over"
    assert (await operator.call("POST", "/cashback/months/2999-01/close")).status_code == 409


async def test_two_operators_close_one_month_at_once_and_each_reseller_is_credited_once(own_app: RunningApp) -> None:
    month = date(2026, 5, 1)
    people = [await new_reseller(own_app) for _ in range(6)]
    for index, person in enumerate(people):
        await approved_purchase(own_app, person, 50_000 * index + 7, month)
    path = f"/cashback/months/{text(month)}/close"
    operators = [new_operator(own_app) for _ in range(8)]
    answers = await asyncio.gather(*(operator.submit(path) for operator in operators))
    assert all(answer == answers[0] for answer in answers)
    expected = [1, 5_001, 10_000 + 5_001, 30_001, 40_001, 50_001]
    balances = [await person.balance() for person in people]
    assert balances == [1, 5_001, 15_001, 30_001, 40_001, 50_001] == expected
    assert answers[0]["cashback_amount"] == sum(balances)
    for person, balance in zip(people, balances, strict=True):
        (line,) = (await person.read("/cashback/statement"))["items"]
        assert (line["amount"], line["description"]) == (balance, "Cashback de 05/2026")


async def test_registering_and_closing_at_once_never_loses_a_purchase(own_app: RunningApp) -> None:
    """A purchase before the close is in its total; one after it is refused."""
    month = date(2026, 4, 1)
    me, operator = await new_reseller(own_app), new_operator(own_app)
    await operator.submit("/cashback/auto-approvals", json={"cpf": me.cpf, "valid_from": text(month)})
    closing, *bought = await asyncio.gather(
        operator.call("POST", f"/cashback/months/{text(month)}/close"),
        *(me.call("POST", "/purchases", json=me.purchase(1_000, month)) for _ in range(30)),
    )
    assert closing.status_code == 200
    assert {response.status_code for response in bought} <= {201, 409}
    taken = sum(response.status_code == 201 for response in bought)
    assert (closing.json()["total"], await me.balance()) == (taken * 1_000, taken * 100)


class _Killed(Exception):
    pass


async def test_a_close_killed_in_the_middle_leaves_nothing_and_is_run_again(
    own_app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    month = date(2026, 5, 1)
    people = [await new_reseller(own_app) for _ in range(3)]
    for person in people:
        await approved_purchase(own_app, person, 10_000, month)

    async def die(*_: object) -> None:
        raise _Killed

    monkeypatch.setattr(outbox, "emit", die)  # the last step, when every credit is written
    with pytest.raises(_Killed):
        async with own_app.database.transaction() as tx:
            await months.close(tx, month, actor=TESTER)
    monkeypatch.undo()
    assert [await person.balance() for person in people] == [0, 0, 0]
    bought = await people[0].buy(10_000, month)  # the month is still open
    await new_operator(own_app).submit(f"/purchases/{bought['id']}/approve")
    closed = await new_operator(own_app).submit(f"/cashback/months/{text(month)}/close")
    assert (closed["resellers"], closed["cashback_amount"]) == (3, 4_000)
    assert [await person.balance() for person in people] == [2_000, 1_000, 1_000]


async def test_a_close_whose_connection_is_killed_leaves_nothing(own_app: RunningApp) -> None:
    month = date(2026, 5, 1)
    me = await new_reseller(own_app)
    await approved_purchase(own_app, me, 10_000, month)

    async def close_and_die() -> None:
        async with own_app.database.transaction() as tx:
            await months.close(tx, month, actor=TESTER)
            backend = await tx.scalar(sql("SELECT pg_backend_pid()"))
            async with own_app.database.transaction() as other:
                assert await other.scalar(sql("SELECT pg_terminate_backend(:pid)"), {"pid": backend})

    with pytest.raises(DatabaseDown):
        await close_and_die()
    assert await me.balance() == 0
    await new_operator(own_app).submit(f"/cashback/months/{text(month)}/close")
    assert await me.balance() == 1_000


async def test_the_database_refuses_a_second_credit_for_a_month(own_app: RunningApp) -> None:
    """Even if a closed month is opened again by hand, nobody is credited twice."""
    month = date(2026, 5, 1)
    me = await new_reseller(own_app)
    await approved_purchase(own_app, me, 10_000, month)
    await new_operator(own_app).submit(f"/cashback/months/{text(month)}/close")
    async with own_app.database.transaction() as tx:
        await tx.execute(sql("UPDATE resellers_months SET closed_at = NULL"))
    again = await new_operator(own_app).submit(f"/cashback/months/{text(month)}/close")
    assert (again["resellers"], await me.balance()) == (0, 1_000)

    async def credit_past_the_lock() -> None:
        async with own_app.database.transaction() as tx:
            row = (await tx.execute(sql("SELECT id, account_id FROM resellers"))).one()
            book = await ledger.lock(tx, [row.account_id])
            book.post(months._entry(row.id, row.account_id, month, 1_000))  # noqa: SLF001 - the test posts the same entry
            await ledger.write(tx, book, actor=TESTER)

    with pytest.raises(IntegrityError, match="pk_ledger_keys"):
        await credit_past_the_lock()


async def test_a_tier_table_of_july_does_not_change_june(own_app: RunningApp) -> None:
    clock.set(datetime(2026, 8, 15, 12, tzinfo=UTC))
    me, operator = await new_reseller(own_app), new_operator(own_app)
    june, july = date(2026, 6, 1), date(2026, 7, 1)
    for month in (june, july):
        await approved_purchase(own_app, me, 120_000, month)
    tiers = {"tiers": [{"above": 0, "percentage": 5}, {"above": 100_000, "percentage": 50}]}
    put = await operator.call("PUT", "/cashback/tiers/2026-07", json=tiers)
    assert put.json() == {"valid_from": "2026-07"} | tiers
    assert [table["valid_from"] for table in await me.read("/cashback/tiers")] == ["2026-07", "2000-01"]
    assert await parts(me, june) == [(120_000, 15, 18_000)]
    assert await parts(me, july) == [(120_000, 50, 60_000)]
    await operator.submit("/cashback/months/2026-06/close")
    for closed in ("2026-06", "2026-05", "2000-01"):
        response = await operator.call("PUT", f"/cashback/tiers/{closed}", json=tiers)
        assert (response.status_code, response.json()["code"]) == (409, "month_closed")
    assert (await operator.call("DELETE", "/cashback/tiers/2000-01")).json()["code"] == "first_rules_stay"
    assert (await operator.call("DELETE", "/cashback/tiers/2026-01")).status_code == 404
    assert (await operator.call("DELETE", "/cashback/tiers/2026-07")).status_code == 204
    assert await parts(me, july) == [(120_000, 15, 18_000)]
    await operator.submit("/cashback/months/2026-07/close")
    assert await me.balance() == 36_000
    assert (await operator.call("PUT", "/cashback/tiers/2026-07", json=tiers)).status_code == 409
    assert (await me.call("PUT", "/cashback/tiers/2026-08", json=tiers)).status_code == 403


@pytest.mark.parametrize(
    "tiers",
    [
        [],
        [{"above": 1, "percentage": 10}],
        [{"above": 0, "percentage": 10}, {"above": 0, "percentage": 15}],
        [{"above": 0, "percentage": 10}, {"above": 9, "percentage": 15}, {"above": 5, "percentage": 20}],
        [{"above": 0, "percentage": 101}],
        [{"above": 0, "percentage": 10.5}],
    ],
)
async def test_a_tier_table_begins_at_zero_and_grows(app: RunningApp, tiers: list[dict[str, Any]]) -> None:
    response = await new_operator(app).call("PUT", "/cashback/tiers/2999-01", json={"tiers": tiers})
    assert response.status_code == 422


async def test_due_months_close_by_themselves_on_the_configured_day(own_app: RunningApp) -> None:
    operator, me = new_operator(own_app), await new_reseller(own_app)
    put = await operator.call("PUT", "/cashback/closing-days/2026-06", json={"day": 10})
    assert put.json() == {"valid_from": "2026-06", "day": 10}
    for month in (5, 6, 7):
        await approved_purchase(own_app, me, 10_000, date(2026, month, 28))
    for now, balance in [
        (datetime(2026, 6, 5, 2, tzinfo=UTC), 0),  # still the 4th in São Paulo
        (datetime(2026, 6, 5, 3, tzinfo=UTC), 1_000),
        (datetime(2026, 7, 9, 12, tzinfo=UTC), 1_000),
        (datetime(2026, 7, 10, 12, tzinfo=UTC), 2_000),
        (datetime(2026, 7, 10, 13, tzinfo=UTC), 2_000),
    ]:
        clock.set(now)
        assert await close_all_due(own_app.database) == 0
        assert await me.balance() == balance
    clock.run()
    pending = await me.buy(10_000, date(2026, 7, 1))
    assert await close_all_due(own_app.database) >= 1
    assert await me.balance() == 2_000
    await operator.submit(f"/purchases/{pending['id']}/approve")
    await asyncio.gather(close_all_due(own_app.database), close_all_due(own_app.database))
    assert await me.balance() == 4_000
    assert [day["day"] for day in await operator.read("/cashback/closing-days")] == [10, 5]
    for begins, status in (("2026-06", 409), ("2000-01", 409), ("2026-02", 404)):
        assert (await operator.call("DELETE", f"/cashback/closing-days/{begins}")).status_code == status
    assert (await operator.call("PUT", "/cashback/closing-days/2999-01", json={"day": 29})).status_code == 422


async def test_the_worker_runs_the_job(own_app: RunningApp, settings: Settings) -> None:
    me = await new_reseller(own_app)
    await approved_purchase(own_app, me, 10_000, date(2026, 5, 1))
    async with own_app.database.transaction() as tx:
        await jobs.defer(tx, "resellers:close_due_months", timestamp=0)
        url = await tx.scalar(sql("SELECT current_database()"))
    conninfo = settings.database().rpartition("/")[0] + f"/{url}"
    async with jobs_app(conninfo, {"resellers": blueprint}).open_async() as app:
        await app.run_worker_async(
            wait=False, install_signal_handlers=False, additional_context={"database": own_app.database}
        )
    assert await me.balance() == 1_000


async def test_operators_see_months_of_everybody_added_up(own_app: RunningApp) -> None:
    one, two, operator = await new_reseller(own_app), await new_reseller(own_app), new_operator(own_app)
    month = date(2026, 2, 1)
    await approved_purchase(own_app, one, 100_000, month)
    await two.buy(100_001, month)
    dropped = await two.buy(7, month + timedelta(days=1))
    await operator.submit(f"/purchases/{dropped['id']}/reject")
    await one.buy(15, date(2026, 1, 1))
    first = await operator.read("/cashback/months?limit=1")
    (figures,) = first["items"]
    assert figures == {
        "month": "2026-02",
        "purchases": 3,
        "total": 200_001,
        "approved": 100_000,
        "pending": 100_001,
        "rejected": 7,
        "cashback_percentage": None,
        "cashback_amount": 25_000,
        "adjustment_amount": 0,
        "closed": False,
        "closed_at": None,
    }
    rest = await operator.read(f"/cashback/months?cursor={first['next_cursor']}")
    assert [(item["month"], item["cashback_amount"]) for item in rest["items"]] == [("2026-01", 2)]
    of_two = (await operator.read(f"/cashback/months?cpf={two.cpf}"))["items"]
    assert [(item["cashback_percentage"], item["cashback_amount"]) for item in of_two] == [(15, 15_000)]
