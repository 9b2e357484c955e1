import asyncio
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from carteira import resellers
from carteira.kit.values.clock import clock
from tests.support.app import RunningApp
from tests.support.people import new_cpf
from tests.support.resellers import (
    APPROVED,
    AUTO_APPROVED,
    PENDING,
    REJECTED,
    approved_purchase,
    buyer,
    new_month,
    new_operator,
    new_reseller,
    text,
)


async def test_a_purchase_begins_pending_and_is_its_resellers(app: RunningApp) -> None:
    me, other = await new_reseller(app), await new_reseller(app)
    month = new_month()
    body = me.purchase(12_345, month)
    response = await me.call("POST", "/purchases", json=body)
    assert response.status_code == 201
    bought = response.json()
    assert {name: bought[name] for name in body} == body
    assert bought["status"] == PENDING
    (listed,) = (await me.read(f"/purchases?month={text(month)}"))["items"]
    assert (listed["cashback_percentage"], listed["cashback_amount"], listed["cpf"]) == (10, 1_234, me.cpf)
    assert (await other.read("/purchases"))["items"] == []
    path = f"/purchases/{bought['id']}"
    assert (await me.read(path)) == listed
    changed = {"code": body["code"], "amount": 100, "date": month.isoformat()}
    for method, content in (("GET", None), ("PUT", changed), ("DELETE", None)):
        assert (await other.call(method, path, json=content)).status_code == 403
        assert (await app.client.request(method, path)).status_code == 401
    for action in ("approve", "reject"):
        assert (await me.call("POST", f"{path}/{action}")).status_code == 403
    assert (await me.call("POST", f"/cashback/months/{text(month)}/close")).status_code == 403
    assert (await me.read(path)) == listed


async def test_only_a_pending_purchase_is_edited_deleted_or_decided(app: RunningApp) -> None:
    me, operator = await new_reseller(app), new_operator(app)
    month = new_month()
    kept, dropped = await me.buy(1_000, month), await me.buy(2_000, month)
    change = me.purchase(5_000, month + timedelta(days=3))
    changed = await me.call("PUT", f"/purchases/{kept['id']}", json=change)
    assert changed.status_code == 200
    assert {name: changed.json()[name] for name in change} == change
    assert (await me.call("DELETE", f"/purchases/{dropped['id']}")).status_code == 204
    assert (await me.call("DELETE", f"/purchases/{dropped['id']}")).status_code == 404
    assert (await operator.submit(f"/purchases/{kept['id']}/approve"))["status"] == APPROVED
    rejected = await me.buy(2_000, month)
    reason = {"reason": "Nota fiscal ilegível"}
    assert (await operator.submit(f"/purchases/{rejected['id']}/reject", json=reason))["status"] == REJECTED
    assert (await me.read(f"/purchases/{rejected['id']}"))["rejection_reason"] == reason["reason"]
    for decided in (kept, rejected):
        path = f"/purchases/{decided['id']}"
        for person in (me, operator):
            assert (await person.call("PUT", path, json=change)).status_code == 409
            assert (await person.call("DELETE", path)).status_code == 409
        for action in ("approve", "reject"):
            response = await operator.call("POST", f"{path}/{action}")
            assert (response.status_code, response.json()["code"]) == (409, "purchase_decided")
    for method, path in (("PUT", ""), ("DELETE", ""), ("GET", ""), ("POST", "/approve"), ("POST", "/reject")):
        response = await operator.call(method, f"/purchases/{uuid4()}{path}", json=change if method == "PUT" else None)
        assert (response.status_code, response.json()["code"]) == (404, "purchase_not_found")


async def test_a_code_names_one_purchase(app: RunningApp) -> None:
    me, other = await new_reseller(app), await new_reseller(app)
    month = new_month()
    first, second = await me.buy(1_000, month), await me.buy(1_000, month)
    for person in (me, other):
        response = await person.call("POST", "/purchases", json=person.purchase(5, month, code=first["code"]))
        assert (response.status_code, response.json()["code"]) == (409, "purchase_code_taken")
    body = me.purchase(5, month, code=first["code"])
    assert (await me.call("PUT", f"/purchases/{second['id']}", json=body)).status_code == 409
    assert (await me.read(f"/purchases/{second['id']}"))["amount"] == 1_000
    code = f"twenty at once {uuid4()}"
    posts = [me.call("POST", "/purchases", json=me.purchase(5, month, code=code)) for _ in range(20)]
    statuses = sorted(response.status_code for response in await asyncio.gather(*posts))
    assert statuses == [201] + [409] * 19


async def test_purchases_may_have_only_allowed_cpfs(app: RunningApp) -> None:
    me, other, operator = await new_reseller(app), await new_reseller(app), new_operator(app)
    month = new_month()
    stranger, claimless = buyer(app, "reseller"), buyer(app)
    for person, cpf, status, code in [
        (me, other.cpf, 403, "forbidden"),
        (me, new_cpf(), 422, "unknown_reseller"),
        (operator, new_cpf(), 422, "unknown_reseller"),
        (operator, "11111111111", 422, "invalid_input"),
        (operator, me.cpf, 201, None),
        (me, f"{me.cpf[:3]}.{me.cpf[3:6]}.{me.cpf[6:9]}-{me.cpf[9:]}", 201, None),
        (stranger, me.cpf, 403, "not_a_reseller"),
        (claimless, me.cpf, 403, "forbidden"),
    ]:
        response = await person.call("POST", "/purchases", json=person.purchase(100, month, cpf=cpf))
        assert (response.status_code, response.json().get("code")) == (status, code or response.json()["code"])
    items = (await operator.read(f"/purchases?month={text(month)}"))["items"]
    assert [item["cpf"] for item in items] == [me.cpf, me.cpf]
    bought = items[0]["id"]
    moved = me.purchase(100, month, cpf=other.cpf)
    assert (await me.call("PUT", f"/purchases/{bought}", json=moved)).status_code == 422
    only_approves = buyer(app, "purchases:approve")
    approved = await only_approves.submit(f"/purchases/{bought}/approve")
    assert approved["cpf"] == f"***.{me.cpf[3:6]}.{me.cpf[6:9]}-**"
    for path in ("/purchases", "/cashback/months", "/cashback/balance", "/cashback/statement"):
        assert (await claimless.call("GET", path)).status_code == 403
        assert (await stranger.call("GET", path)).status_code == 403
        assert (await me.call("GET", f"{path}?cpf={other.cpf}")).status_code == 403
        assert (await me.call("GET", f"{path}?cpf={me.cpf}")).status_code == 200
        assert (await operator.call("GET", f"{path}?cpf={me.cpf}")).status_code == 200
        assert (await operator.call("GET", f"{path}?cpf={new_cpf()}")).status_code == 404


async def test_the_cpf_of_the_specification_starts_approved(own_app: RunningApp) -> None:
    me, operator = await new_reseller(own_app, AUTO_APPROVED), new_operator(own_app)
    month = date(2026, 3, 1)
    assert await operator.read("/cashback/auto-approvals") == [], "the list is empty outside of the demo data"
    async with own_app.database.transaction() as tx:
        await resellers.seed(tx, me.id)
        await resellers.seed(tx, me.id)
    assert (await me.buy(1_000, month))["status"] == APPROVED
    assert (await operator.buy(1_000, month, cpf=AUTO_APPROVED))["status"] == APPROVED
    (approval,) = await operator.read("/cashback/auto-approvals")
    ended = {"cpf": AUTO_APPROVED, "valid_from": approval["valid_from"], "valid_until": "2026-03"}
    assert (await operator.submit("/cashback/auto-approvals", json=ended)) == ended | {"id": approval["id"]}
    assert (await me.buy(1_000, date(2026, 4, 1)))["status"] == PENDING
    assert (await me.buy(1_000, date(2026, 3, 31)))["status"] == APPROVED
    other = await new_reseller(own_app)
    await operator.submit("/cashback/auto-approvals", json={"cpf": other.cpf, "valid_from": "2026-04"})
    assert [(await other.buy(1, date(2026, m, 1)))["status"] for m in (3, 4, 5)] == [PENDING, APPROVED, APPROVED]
    assert (await operator.call("DELETE", f"/cashback/auto-approvals/{approval['id']}")).status_code == 204
    assert (await operator.call("DELETE", f"/cashback/auto-approvals/{approval['id']}")).status_code == 404
    assert (await me.buy(1_000, month))["status"] == PENDING


@pytest.mark.parametrize(
    ("now", "today"),
    [
        (datetime(2026, 7, 1, 2, 59, 59, tzinfo=UTC), date(2026, 6, 30)),  # 23:59:59 of the last day in São Paulo
        (datetime(2026, 7, 1, 3, 0, 0, tzinfo=UTC), date(2026, 7, 1)),
    ],
)
async def test_today_is_a_day_in_sao_paulo(own_app: RunningApp, now: datetime, today: date) -> None:
    clock.set(now)
    me = await new_reseller(own_app)
    await me.buy(90_000, today)
    tomorrow = await me.call("POST", "/purchases", json=me.purchase(1, today + timedelta(days=1)))
    assert (tomorrow.status_code, tomorrow.json()["errors"][0]["field"]) == (422, "date")
    (month,) = (await me.read("/cashback/months"))["items"]
    assert (month["month"], month["total"]) == (text(today), 90_000)
    june = await new_operator(own_app).call("POST", "/cashback/months/2026-06/close")
    assert june.status_code == (409 if today.month == 6 else 200)
    if today.month == 6:
        assert june.json()["code"] == "month_not_over"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", 0),
        ("amount", -1),
        ("amount", 10**12 + 1),
        ("amount", "100"),
        ("amount", 1.0),
        ("amount", True),
        ("amount", None),
        ("date", "2026-02-30"),
        ("date", "2026-06-30T00:00:00Z"),
        ("date", "30/06/2026"),
        ("date", 1_750_000_000),
        ("date", "1999-12-31"),
        ("date", "9999-12-31"),
        ("date", "0001-01-01"),
        ("code", ""),
        ("code", "a\u0000b"),
        ("code", "x" * 65),
        ("code", 7),
        ("cpf", "15350946057"),
        ("cpf", "１５３５０９４６０５６"),
        ("cashback_to_spend", -1),
        ("cashback_to_spend", 1_001),
        ("cashback_amount", 1),
    ],
)
async def test_rubbish_is_refused(app: RunningApp, field: str, value: object) -> None:
    me = await new_reseller(app)
    response = await me.call("POST", "/purchases", json=me.purchase(1_000, date(2026, 1, 2)) | {field: value})
    assert response.status_code == 422, response.text
    assert response.json()["errors"]
    assert (await me.read("/purchases"))["items"] == []


async def test_bad_months_cursors_and_bodies_are_refused(app: RunningApp) -> None:
    me, operator = await new_reseller(app), new_operator(app)
    for path in (
        "/purchases?month=2026-13",
        "/purchases?month=0000-01",
        "/purchases?month=2026-6",
        "/purchases?status=aprovado",
        "/purchases?cursor=lixo",
        "/purchases?cpf=123",
        "/cashback/months?cursor=MTIzfDQ1Ng",
        "/cashback/statement?cursor=x",
        "/purchases/nada",
    ):
        assert (await me.call("GET", path)).status_code == 422, path
    for path in ("/cashback/months/junho/close", "/cashback/months/2026-00/close"):
        assert (await operator.call("POST", path)).status_code == 422
    assert (await me.call("POST", "/purchases", content=b"{")).status_code == 422
    assert (await me.call("POST", "/purchases", content=b"[]")).status_code == 422


async def test_the_list_pages_and_filters(app: RunningApp) -> None:
    me, operator = await new_reseller(app), new_operator(app)
    month, other = new_month(), new_month()
    for index in range(7):
        await me.buy(10_000 + index, month + timedelta(days=index % 3))
    approved = (await approved_purchase(app, me, 5, other))["id"]
    seen, cursor = [], ""
    while True:
        page = await me.read(f"/purchases?month={text(month)}&limit=3{cursor}")
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert [item["date"] for item in seen] == sorted((item["date"] for item in seen), reverse=True)
    assert len({item["id"] for item in seen}) == 7
    assert sum(item["cashback_amount"] for item in seen) == 7_002  # 10 % of 700,21, across pages
    only = (await operator.read(f"/purchases?cpf={me.cpf}&status=Aprovado"))["items"]
    assert [item["id"] for item in only] == [approved]


async def test_the_same_key_registers_once(app: RunningApp) -> None:
    me = await new_reseller(app)
    body, key = me.purchase(1_000, new_month()), {"Idempotency-Key": str(uuid4())}
    first, second = [await me.call("POST", "/purchases", json=body, headers=key) for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    assert len((await me.read("/purchases"))["items"]) == 1
