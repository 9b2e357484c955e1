"""Reversal: a new entry undoes an entry, once."""

from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from carteira import ledger
from carteira.kit.web.problems import Conflict
from carteira.ledger.errors import EntryNotReversible
from tests.support.ledger import SHOP, TESTER, TOP_UP, balance_of, open_wallet, purchase

Tx = AsyncSession


async def test_a_reversal_is_an_entry_of_its_own(ledger_tx: Tx) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    shop = await balance_of(ledger_tx, SHOP)
    entry = await ledger.post(ledger_tx, purchase(wallet, 60), actor=TESTER)
    reversal = await ledger.reverse(ledger_tx, entry, description="Produto devolvido", actor=TESTER)
    assert (await balance_of(ledger_tx, wallet), await balance_of(ledger_tx, SHOP)) == (100, shop)
    newest, undone, _ = await ledger.statement(ledger_tx, [wallet], limit=10)
    assert (newest.entry_id, newest.kind, newest.amount) == (reversal, "test.purchase.reversal", 60)
    assert (newest.description, undone.entry_id, undone.amount) == ("Produto devolvido", entry, -60)
    named = await ledger_tx.scalar(text("SELECT reverses_id FROM ledger_entries WHERE id = :id"), {"id": reversal})
    assert named == entry


async def test_an_entry_is_reversed_once(ledger_tx: Tx) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    entry = await ledger.post(ledger_tx, purchase(wallet, 60), actor=TESTER)
    await ledger.reverse(ledger_tx, entry, actor=TESTER)
    with pytest.raises(ledger.EntryAlreadyReversed):
        await ledger.reverse(ledger_tx, entry, actor=TESTER)
    assert await balance_of(ledger_tx, wallet) == 100


async def test_a_reversal_is_not_reversed(ledger_tx: Tx) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    reversal = await ledger.reverse(
        ledger_tx, await ledger.post(ledger_tx, purchase(wallet, 60), actor=TESTER), actor=TESTER
    )
    with pytest.raises(EntryNotReversible):
        await ledger.reverse(ledger_tx, reversal, actor=TESTER)


async def test_money_that_is_spent_or_held_is_not_taken_back(ledger_tx: Tx) -> None:
    wallet = await open_wallet(ledger_tx)
    top_up = await ledger.post(
        ledger_tx, ledger.transfer("test.top_up", source=TOP_UP, target=wallet, amount=100), actor=TESTER
    )
    await ledger.post(ledger_tx, purchase(wallet, 1), actor=TESTER)
    with pytest.raises(ledger.InsufficientFunds) as refusal:
        await ledger.reverse(ledger_tx, top_up, actor=TESTER)
    assert refusal.value.short_by == 1
    assert await balance_of(ledger_tx, wallet) == 99


async def test_the_module_that_posted_an_entry_can_refuse_its_reversal(ledger_tx: Tx) -> None:
    asked = []

    async def never(_tx: Tx, reversal: ledger.NewEntry) -> None:
        asked.append(reversal.reverses_id)
        raise Conflict

    ledger.guard_reversal("test.guarded", never)
    wallet = await open_wallet(ledger_tx, 100)
    entry = await ledger.post(
        ledger_tx, ledger.transfer("test.guarded", source=wallet, target=SHOP, amount=60), actor=TESTER
    )
    with pytest.raises(Conflict):
        await ledger.reverse(ledger_tx, entry, actor=TESTER)
    assert (asked, await balance_of(ledger_tx, wallet)) == ([entry], 40)
    assert not await ledger.is_reversed(ledger_tx, entry)


async def test_an_unknown_entry_is_not_found(ledger_tx: Tx) -> None:
    with pytest.raises(ledger.EntryNotFound):
        await ledger.reverse(ledger_tx, uuid4(), actor=TESTER)
