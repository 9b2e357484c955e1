"""What is held about a person: given to them whole, and erased when nothing is owed (LGPD)."""

import asyncio
import json
from datetime import date

import pytest
from sqlalchemy import text as sql

from carteira.resellers import resellers
from carteira.resellers.errors import CashbackOwed
from tests.resellers.support import Shop, new_month, text


async def test_everything_held_about_a_person(shop: Shop) -> None:
    me, other, operator = await shop.reseller(), await shop.reseller(), shop.operator
    await shop.give_cashback(me, 1_000)
    month = new_month()
    bought = await me.buy(500, month, cashback_to_spend=200)
    rejected = await me.buy(600, month)
    await operator.post(f"/purchases/{rejected['id']}/reject", json={"reason": "Ilegível"})
    await other.buy(700, month)
    async with shop.database.transaction() as tx:
        held = await resellers.export_person(tx, me.user_id)
        assert await resellers.export_person(tx, operator.user_id) == {}
    assert json.loads(json.dumps(held)) == held
    assert (held["reseller"]["cpf"], held["cashback_balance"]) == (me.cpf, 800)
    first, second, third = held["purchases"]
    assert (first["amount"], second["id"], second["cashback_spent"]) == (10_000, bought["id"], 200)
    assert (third["status"], third["rejection_reason"]) == ("Reprovado", "Ilegível")
    assert [closed["cashback_amount"] for closed in held["closed_months"]] == [1_000]


async def test_a_person_is_erased_when_nothing_is_owed(own_shop: Shop) -> None:
    me, operator = await own_shop.reseller(), own_shop.operator
    month = date(2026, 1, 1)
    await operator.post("/cashback/auto-approvals", json={"cpf": me.cpf, "valid_from": "2026-02"})
    rejected = await me.buy(600, month)
    await operator.post(f"/purchases/{rejected['id']}/reject", json={"reason": "Ilegível"})
    await own_shop.approved(me, 1_000, month)

    async def erase() -> None:
        async with own_shop.database.transaction() as tx:
            await resellers.erase_person(tx, me.user_id)

    with pytest.raises(CashbackOwed):
        await erase()  # the month may still pay
    await operator.post(f"/cashback/months/{text(month)}/close")
    with pytest.raises(CashbackOwed):
        await erase()  # and has paid
    bought = await me.buy(100, date(2026, 2, 1), cashback_to_spend=100)
    assert bought["status"] == "Aprovado"
    await operator.post("/cashback/months/2026-02/close")
    await me.buy(10, date(2026, 3, 1), cashback_to_spend=10)
    await operator.post("/cashback/months/2026-03/close")
    await me.buy(1, date(2026, 4, 1), cashback_to_spend=1)
    await operator.post("/cashback/months/2026-04/close")
    await erase()
    await erase()
    assert (await me.call("GET", "/purchases")).json()["code"] == "not_a_reseller"
    items = (await operator.get("/purchases"))["items"]
    assert {(item["cpf"], item["rejection_reason"]) for item in items} == {("***.***.***-**", None)}
    assert (await operator.get("/cashback/auto-approvals"))[0]["cpf"] != me.cpf
    async with own_shop.database.transaction() as tx:
        for table in ("resellers", "resellers_purchases", "resellers_auto_approvals", "resellers_closings"):
            rows = (await tx.execute(sql(f"SELECT to_jsonb(t)::text FROM {table} t"))).scalars()  # noqa: S608 - named here
            assert not [row for row in rows if me.cpf in row]
        assert await tx.scalar(sql("SELECT count(*) FROM resellers WHERE user_id IS NULL AND cpf IS NULL")) == 1
        assert await tx.scalar(sql("SELECT count(*) FROM ledger_accounts WHERE owner_id IS NOT NULL")) == 0
    again = await own_shop.reseller(me.cpf)  # who comes back begins anew
    assert (await again.get("/purchases"))["items"] == []


async def test_erasing_and_registering_at_once_leaves_no_purchase_of_nobody(own_shop: Shop) -> None:
    for _ in range(5):
        me = await own_shop.reseller()

        async def erase() -> bool:
            try:
                async with own_shop.database.transaction() as tx:
                    await resellers.erase_person(tx, me.user_id)  # noqa: B023 - awaited in the same turn
            except CashbackOwed:
                return False
            return True

        bought, erased = await asyncio.gather(
            me.call("POST", "/purchases", json=me.purchase(10, date(2026, 1, 1))), erase()
        )
        assert (bought.status_code == 201) is not erased
