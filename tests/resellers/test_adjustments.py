"""Adjustments of a closed month: the next close includes them, and no centavo is lost or made."""

import asyncio
import random
from datetime import date
from typing import Any

import pytest
from sqlalchemy import text as sql
from sqlalchemy.exc import DBAPIError

from carteira.inbox import texts
from carteira.webhooks.catalog import CATALOG
from tests.support.app import RunningApp
from tests.support.people import Person
from tests.support.resellers import Buyer, approved_purchase, new_operator, new_reseller, text

APRIL, MAY, JUNE, JULY = (date(2026, month, 1) for month in (4, 5, 6, 7))
PATH = "/cashback/adjustments"


async def close(app: RunningApp, month: date) -> dict[str, Any]:
    closed: dict[str, Any] = await new_operator(app).submit(f"/cashback/months/{text(month)}/close")
    return closed


def wanted(me: Buyer, month: date, amount: int) -> dict[str, object]:
    return {"cpf": me.cpf, "month": text(month), "amount": amount, "reason": "Nota lançada errada"}


async def adjust(app: RunningApp, me: Buyer, month: date, amount: int) -> dict[str, Any]:
    booked: dict[str, Any] = await new_operator(app).submit(PATH, json=wanted(me, month, amount))
    return booked


async def own(me: Buyer) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = (await me.read(PATH))["items"]
    return listed


async def seller_with(app: RunningApp, *earned: tuple[date, int]) -> Buyer:
    """Return a reseller whose purchases earn, in each month, so many centavos."""
    me = await new_reseller(app)
    for month, cashback in earned:
        await approved_purchase(app, me, cashback * 10, month)
    return me


async def test_the_next_close_settles_an_adjustment_and_the_closed_month_stays(own_app: RunningApp) -> None:
    me = await seller_with(own_app, (MAY, 1_000), (JUNE, 2_000))
    await close(own_app, MAY)
    before = (await me.read(f"/purchases?month={text(MAY)}"))["items"], (await me.read("/cashback/months"))["items"][1]
    less = await adjust(own_app, me, MAY, -300)
    more = await adjust(own_app, me, MAY, 50)
    assert (less["status"], less["amount"], less["taken_in"], less["cpf"][:4]) == ("waiting", -300, 0, "***.")
    assert await me.balance() == 1_000, "what already belongs to somebody is left alone"
    closed = await close(own_app, JUNE)
    assert (closed["cashback_amount"], closed["adjustment_amount"]) == (2_000, -250)
    assert await me.balance() == 1_000 + 2_000 - 250
    lines = (await me.read("/cashback/statement"))["items"]
    assert [(line["kind"], line["amount"], line["description"]) for line in lines[:-1]] == [
        ("resellers.cashback_adjustment", -300, "Ajuste do cashback de 05/2026"),
        ("resellers.cashback_adjustment", 50, "Ajuste do cashback de 05/2026"),
        ("resellers.cashback_credit", 2_000, "Cashback de 06/2026"),
    ]
    june, may = (await me.read("/cashback/months"))["items"]
    assert (june["cashback_amount"], june["adjustment_amount"]) == (2_000, -250)
    assert ((await me.read(f"/purchases?month={text(MAY)}"))["items"], may) == before
    told = {one["id"]: one for one in await own(me)}
    assert {one["status"] for one in told.values()} == {"settled"}
    assert [(part["month"], part["amount"]) for part in told[more["id"]]["parts"]] == [("2026-06", 50)]
    assert told[less["id"]]["parts"][0]["entry_id"] == lines[0]["entry_id"]
    assert told[less["id"]]["reason"] == "Nota lançada errada"
    assert await close(own_app, JUNE) == closed, "closed again, it includes nothing"
    assert await me.balance() == 2_750


async def test_the_uncovered_rest_waits_for_the_next_month(own_app: RunningApp) -> None:
    me = await seller_with(own_app, (APRIL, 900), (MAY, 200), (JULY, 1_000))
    await close(own_app, APRIL)
    owing = await adjust(own_app, me, APRIL, -700)
    assert (await close(own_app, MAY))["adjustment_amount"] == -200
    assert await me.balance() == 900
    late = await new_operator(own_app).post(f"{PATH}/{owing['id']}/undo")
    assert (late.status_code, late.json()["code"]) == (409, "adjustment_settled")
    assert (await close(own_app, JUNE))["adjustment_amount"] == 0, "it has no purchases"
    assert (await close(own_app, JULY))["adjustment_amount"] == -500
    assert await me.balance() == 900 + 500
    (one,) = await own(me)
    assert [(part["month"], part["amount"]) for part in one["parts"]] == [("2026-05", -200), ("2026-07", -500)]
    async with own_app.database.transaction() as tx:
        told = await tx.scalars(sql("SELECT payload->>'month' FROM events WHERE topic = 'resellers.cashback_credited'"))
        assert sorted(told) == ["2026-04", "2026-07"], "a month without a credit tells nobody"


async def test_an_adjustment_is_credited_without_new_purchases(own_app: RunningApp) -> None:
    me = await seller_with(own_app, (MAY, 100))
    await close(own_app, MAY)
    await adjust(own_app, me, MAY, 1_234)
    assert (await close(own_app, JUNE))["adjustment_amount"] == 1_234
    assert await me.balance() == 1_334


async def test_an_adjustment_is_undone_before_a_close(own_app: RunningApp) -> None:
    me = await seller_with(own_app, (MAY, 100), (JUNE, 100))
    await close(own_app, MAY)
    booked = await adjust(own_app, me, MAY, 500)
    operator = new_operator(own_app)
    for _ in range(2):
        undone = await operator.submit(f"{PATH}/{booked['id']}/undo")
        assert undone["status"] == "undone"
    assert (await close(own_app, JUNE))["adjustment_amount"] == 0
    assert await me.balance() == 200


async def test_systems_and_the_reseller_are_notified_of_a_correction_and_its_undoing(own_app: RunningApp) -> None:
    me = await seller_with(own_app, (MAY, 1_000))
    await close(own_app, MAY)
    booked = await adjust(own_app, me, MAY, -300)
    undo = f"{PATH}/{booked['id']}/undo"
    for _ in range(2):
        assert (await new_operator(own_app).post(undo)).status_code == 200
    async with own_app.database.transaction() as tx:
        query = sql("SELECT topic, payload FROM events WHERE payload->>'adjustment_id' = :id ORDER BY id")
        told = [(row.topic, row.payload) for row in await tx.execute(query, {"id": booked["id"]})]
    payload = {"adjustment_id": booked["id"], "user_id": str(me.id), "month": text(MAY), "amount": -300}
    assert [topic for topic, _ in told] == ["resellers.adjustment_booked", "resellers.adjustment_undone"]
    assert all(payload.items() <= one.items() for _, one in told)
    assert "R$ 3,00 saem do cashback" in texts.EVENTS[told[0][0]](told[0][1]).text
    assert texts.EVENTS[told[1][0]](told[1][1]).title == "Uma correção do seu cashback de maio de 2026 foi desfeita"
    assert CATALOG["resellers.adjustment_booked"].claim == "purchases:read"


async def test_invalid_corrections_are_refused(own_app: RunningApp) -> None:
    me = await seller_with(own_app, (MAY, 1_000), (JUNE, 1_000))
    operator = new_operator(own_app)
    early = await operator.post(PATH, wanted(me, MAY, 1))
    assert (early.status_code, early.json()["code"]) == (409, "month_not_closed")
    await close(own_app, MAY)
    await adjust(own_app, me, MAY, -400)
    much = await operator.post(PATH, wanted(me, MAY, -601))
    assert (much.status_code, much.json()["code"], much.json()["left"]) == (409, "adjustment_too_large", 600)
    for body, field in (
        (wanted(me, MAY, 0), "amount"),
        (wanted(me, MAY, 10**12 + 1), "amount"),
        (wanted(me, MAY, 1) | {"reason": "  "}, "reason"),
        (wanted(me, MAY, 1) | {"month": "2026-13"}, "month"),
    ):
        answer = await operator.post(PATH, body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field), answer.text
    assert (await operator.post(PATH, wanted(me, MAY, 1) | {"cpf": "52998224725"})).status_code == 404
    assert (await operator.post(f"{PATH}/{me.id}/undo")).json()["code"] == "adjustment_not_found"
    assert (await me.post(PATH, wanted(me, MAY, 1))).status_code == 403
    other = await new_reseller(own_app)
    assert (await other.get(PATH, cpf=str(me.cpf))).status_code == 403
    assert await own(other) == []


async def test_nobody_adjusts_their_own_month(own_app: RunningApp) -> None:
    me = await new_reseller(own_app, None, "purchases:read", "purchases:write", "purchases:approve")
    await approved_purchase(own_app, me, 10_000, MAY)
    await close(own_app, MAY)
    for amount in (1, -1):
        answer = await me.post(PATH, wanted(me, MAY, amount))
        assert (answer.status_code, answer.json()["code"]) == (403, "own_operation")
    owing = await adjust(own_app, me, MAY, -5)
    assert (await me.post(f"{PATH}/{owing['id']}/undo")).json()["code"] == "own_operation"


async def test_adjustments_deduct_no_more_than_a_month_credited(own_app: RunningApp) -> None:
    me = await seller_with(own_app, (MAY, 1_000))
    await close(own_app, MAY)
    answers = await asyncio.gather(*(new_operator(own_app).post(PATH, wanted(me, MAY, -400)) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409, 409]


async def test_adjustments_that_others_need_are_not_undone(own_app: RunningApp) -> None:
    """A month that paid 10 gets adjustments of +500 and -510: the first cannot be undone before the second."""
    me = await seller_with(own_app, (MAY, 10), (JUNE, 2_000))
    await close(own_app, MAY)
    owed = await adjust(own_app, me, MAY, 500)
    owing = await adjust(own_app, me, MAY, -510)
    operator = new_operator(own_app)
    refused = await operator.post(f"{PATH}/{owed['id']}/undo")
    assert (refused.status_code, refused.json()["code"]) == (409, "adjustment_too_large")
    assert (await operator.post(f"{PATH}/{owing['id']}/undo")).status_code == 200
    assert (await operator.post(f"{PATH}/{owed['id']}/undo")).status_code == 200
    await close(own_app, JUNE)
    assert await me.balance() == 2_010


async def test_closing_booking_and_undoing_at_once_neither_lose_nor_make_a_centavo(own_app: RunningApp) -> None:
    """In any order: an adjustment in a close is in the balance; any other waits or is undone."""
    people = [await seller_with(own_app, (APRIL, 1_000), (MAY, 700), (JUNE, 900)) for _ in range(3)]
    await close(own_app, APRIL)
    chance = random.Random(7)
    booked = [await adjust(own_app, me, APRIL, chance.choice([-300, -150, 40, 250])) for me in people for _ in range(3)]

    async def quietly(person: Person, path: str, json: object = None) -> None:
        answer = await person.post(path, json)
        assert answer.status_code in {200, 201, 409}, answer.text

    operators = [new_operator(own_app) for _ in range(12)]
    work = [quietly(operators[0], f"/cashback/months/{text(MAY)}/close")]
    work += [quietly(operators[1], f"/cashback/months/{text(JUNE)}/close")]
    work += [quietly(one, f"{PATH}/{row['id']}/undo") for one, row in zip(operators[2:], booked[::2], strict=False)]
    work += [quietly(one, PATH, wanted(me, APRIL, -60)) for one, me in zip(operators[8:], people, strict=False)]
    await asyncio.gather(*work)
    for month in (MAY, JUNE, JULY):
        await close(own_app, month)
    for me in people:
        rows = await own(me)
        for row in rows:
            assert row["taken_in"] == sum(part["amount"] for part in row["parts"])
            assert row["status"] != "undone" or not row["parts"]
            assert abs(row["taken_in"]) <= abs(row["amount"])
        assert sum(row["amount"] for row in rows if row["status"] != "undone") >= -1_000, "no more than April gave"
        assert await me.balance() == 2_600 + sum(row["taken_in"] for row in rows)
        figures = (await me.read("/cashback/months"))["items"]
        in_months = sum(part["amount"] for row in rows for part in row["parts"] if part["month"] != text(JULY))
        assert sum(one["adjustment_amount"] for one in figures) == in_months


async def test_adjustments_in_a_close_are_never_rewritten(own_app: RunningApp) -> None:
    me = await seller_with(own_app, (MAY, 100), (JUNE, 100))
    await close(own_app, MAY)
    await adjust(own_app, me, MAY, -30)
    await close(own_app, JUNE)
    for statement, reason in (
        ("UPDATE resellers_adjustment_parts SET amount = -1", "append-only"),
        ("UPDATE resellers_adjustments SET taken = -31", "ck_resellers_adjustments_taken"),
        ("UPDATE resellers_adjustments SET undone_at = now()", "ck_resellers_adjustments_undone_at"),
    ):
        with pytest.raises(DBAPIError, match=reason):
            async with own_app.database.transaction() as tx:
                await tx.execute(sql(statement))
