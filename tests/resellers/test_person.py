"""A person's data: exported whole, and erased when nothing is owed (LGPD)."""

import asyncio
import json
from datetime import date

import pytest
from sqlalchemy import text as sql

from carteira.resellers import resellers
from carteira.resellers.errors import CashbackOwed
from tests.support.app import RunningApp
from tests.support.resellers import approved_purchase, earn_cashback, new_month, new_operator, new_reseller, text


async def test_everything_held_about_a_person(app: RunningApp) -> None:
    me, other, operator = await new_reseller(app), await new_reseller(app), new_operator(app)
    await earn_cashback(app, me, 1_000)
    month = new_month()
    bought = await me.buy(500, month, cashback_to_spend=200)
    rejected = await me.buy(600, month)
    await operator.submit(f"/purchases/{rejected['id']}/reject", json={"reason": "Ilegível"})
    await other.buy(700, month)
    async with app.database.transaction() as tx:
        held = await resellers.export_person(tx, me.id)
        assert await resellers.export_person(tx, operator.id) == {}
    assert json.loads(json.dumps(held)) == held
    assert (held["reseller"]["cpf"], held["cashback_balance"]) == (me.cpf, 800)
    first, second, third = held["purchases"]
    assert (first["amount"], second["id"], second["cashback_spent"]) == (10_000, bought["id"], 200)
    assert (third["status"], third["rejection_reason"]) == ("Reprovado", "Ilegível")
    assert [closed["cashback_amount"] for closed in held["closed_months"]] == [1_000]


async def test_a_person_is_erased_when_nothing_is_owed(own_app: RunningApp) -> None:
    me, operator = await new_reseller(own_app), new_operator(own_app)
    month = date(2026, 1, 1)
    await operator.submit("/cashback/auto-approvals", json={"cpf": me.cpf, "valid_from": "2026-02"})
    rejected = await me.buy(600, month)
    await operator.submit(f"/purchases/{rejected['id']}/reject", json={"reason": "Ilegível"})
    await approved_purchase(own_app, me, 1_000, month)

    async def erase() -> None:
        async with own_app.database.transaction() as tx:
            await resellers.refuse_erasure(tx, me.id)
            await resellers.erase_person(tx, me.id)

    with pytest.raises(CashbackOwed):
        await erase()  # the month may still pay
    await operator.submit(f"/cashback/months/{text(month)}/close")
    with pytest.raises(CashbackOwed):
        await erase()  # and has paid
    bought = await me.buy(100, date(2026, 2, 1), cashback_to_spend=100)
    assert bought["status"] == "Aprovado"
    await operator.submit("/cashback/months/2026-02/close")
    await me.buy(10, date(2026, 3, 1), cashback_to_spend=10)
    await operator.submit("/cashback/months/2026-03/close")
    await me.buy(1, date(2026, 4, 1), cashback_to_spend=1)
    await operator.submit("/cashback/months/2026-04/close")
    await erase()
    await erase()
    assert (await me.call("GET", "/purchases")).json()["code"] == "not_a_reseller"
    items = (await operator.read("/purchases"))["items"]
    assert {(item["cpf"], item["rejection_reason"]) for item in items} == {("***.***.***-**", None)}
    approvals = await operator.read("/cashback/auto-approvals")
    assert [approval["cpf"] for approval in approvals] == [me.cpf], "an operator's, and the CPF was not proven"
    async with own_app.database.transaction() as tx:
        for table in ("resellers", "resellers_purchases", "resellers_closings"):
            rows = (await tx.execute(sql(f"SELECT to_jsonb(t)::text FROM {table} t"))).scalars()
            assert not [row for row in rows if me.cpf in row]
        assert await tx.scalar(sql("SELECT count(*) FROM resellers WHERE user_id IS NULL AND cpf IS NULL")) == 1
        assert await tx.scalar(sql("SELECT count(*) FROM ledger_accounts WHERE owner_id IS NOT NULL")) == 0
    again = await new_reseller(own_app, me.cpf)  # who comes back starts without a history
    assert (await again.read("/purchases"))["items"] == []


async def test_erasing_and_registering_at_once_leaves_no_purchase_of_nobody(own_app: RunningApp) -> None:
    for _ in range(5):
        me = await new_reseller(own_app)

        async def erase() -> bool:
            try:
                async with own_app.database.transaction() as tx:
                    await resellers.refuse_erasure(tx, me.id)  # noqa: B023 - it is awaited within the iteration
                    await resellers.erase_person(tx, me.id)  # noqa: B023 - it is awaited within the iteration
            except CashbackOwed:
                return False
            return True

        bought, erased = await asyncio.gather(
            me.call("POST", "/purchases", json=me.purchase(10, date(2026, 1, 1))), erase()
        )
        assert (bought.status_code == 201) is not erased
