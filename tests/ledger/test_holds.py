"""Holds: authorized, then captured, released or expired, once."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from carteira import ledger
from carteira.kit.values.clock import clock
from carteira.ledger.errors import CaptureTooLarge, HoldNotFound
from tests.support.ledger import SHOP, TESTER, open_wallet, purchase

Tx = AsyncSession
HOUR = timedelta(hours=1)


async def state(tx: Tx, wallet: UUID) -> tuple[int, int]:
    view = await ledger.account(tx, wallet)
    return view.balance, view.held


async def status_of(tx: Tx, hold_id: UUID) -> tuple[str, int]:
    row = await tx.execute(text("SELECT status, captured FROM ledger_holds WHERE id = :id"), {"id": hold_id})
    status, captured = row.one()
    return status, captured


async def test_held_money_cannot_be_spent_or_held_again(ledger_tx: Tx) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    await ledger.hold(ledger_tx, wallet, 70, ttl=HOUR)
    assert await state(ledger_tx, wallet) == (100, 70)
    with pytest.raises(ledger.InsufficientFunds) as refusal:
        await ledger.post(ledger_tx, purchase(wallet, 31), actor=TESTER)
    assert refusal.value.short_by == 1
    with pytest.raises(ledger.InsufficientFunds):
        await ledger.hold(ledger_tx, wallet, 31, ttl=HOUR)
    await ledger.post(ledger_tx, purchase(wallet, 30), actor=TESTER)
    assert await state(ledger_tx, wallet) == (70, 70)


@pytest.mark.parametrize("amount", [0, -1])
async def test_a_hold_needs_a_positive_amount(ledger_tx: Tx, amount: int) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    with pytest.raises(ValueError, match="positive"):
        await ledger.hold(ledger_tx, wallet, amount, ttl=HOUR)


async def test_a_capture_takes_all_that_is_held(ledger_tx: Tx) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    held = await ledger.hold(ledger_tx, wallet, 70, ttl=HOUR)
    entry = await ledger.capture(ledger_tx, held, target=SHOP, kind="test.capture", actor=TESTER)
    assert await state(ledger_tx, wallet) == (30, 0)
    assert await status_of(ledger_tx, held) == ("captured", 70)
    line = (await ledger.statement(ledger_tx, [wallet], limit=1))[0]
    assert (line.entry_id, line.amount, line.balance_after) == (entry, -70, 30)


async def test_a_partial_capture_releases_the_rest(ledger_tx: Tx) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    held = await ledger.hold(ledger_tx, wallet, 100, ttl=HOUR)
    await ledger.capture(ledger_tx, held, target=SHOP, kind="test.capture", amount=1, actor=TESTER)
    assert await state(ledger_tx, wallet) == (99, 0)
    assert await status_of(ledger_tx, held) == ("captured", 1)


@pytest.mark.parametrize("amount", [0, -1, 71])
async def test_a_capture_is_within_the_hold(ledger_tx: Tx, amount: int) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    held = await ledger.hold(ledger_tx, wallet, 70, ttl=HOUR)
    with pytest.raises(CaptureTooLarge):
        await ledger.capture(ledger_tx, held, target=SHOP, kind="test.capture", amount=amount, actor=TESTER)
    assert await state(ledger_tx, wallet) == (100, 70)


async def test_a_release_gives_it_back(ledger_tx: Tx) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    held = await ledger.hold(ledger_tx, wallet, 70, ttl=HOUR)
    await ledger.release(ledger_tx, held)
    assert await state(ledger_tx, wallet) == (100, 0)
    assert await status_of(ledger_tx, held) == ("released", 0)


@pytest.mark.parametrize("first", ["capture", "release", "expire"])
async def test_a_hold_is_settled_once(ledger_tx: Tx, first: str) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    held = await ledger.hold(ledger_tx, wallet, 70, ttl=HOUR)
    if first == "capture":
        await ledger.capture(ledger_tx, held, target=SHOP, kind="test.capture", actor=TESTER)
    elif first == "release":
        await ledger.release(ledger_tx, held)
    else:
        clock.advance(HOUR)
        assert await ledger.expire_holds(ledger_tx) == 1
    before = await state(ledger_tx, wallet)
    with pytest.raises(ledger.HoldNotActive):
        await ledger.capture(ledger_tx, held, target=SHOP, kind="test.capture", actor=TESTER)
    with pytest.raises(ledger.HoldNotActive):
        await ledger.release(ledger_tx, held)
    assert await state(ledger_tx, wallet) == before


async def test_holds_expire_at_their_instant_and_not_before(ledger_tx: Tx) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    clock.set(clock.now())
    held = await ledger.hold(ledger_tx, wallet, 70, ttl=HOUR)
    later = await ledger.hold(ledger_tx, wallet, 20, ttl=2 * HOUR)
    clock.advance(HOUR - timedelta(microseconds=1))
    assert await ledger.expire_holds(ledger_tx) == 0
    clock.advance(timedelta(microseconds=1))
    with pytest.raises(ledger.HoldNotActive):  # the job has not run yet, and it is too late all the same
        await ledger.capture(ledger_tx, held, target=SHOP, kind="test.capture", actor=TESTER)
    assert await ledger.expire_holds(ledger_tx) == 1
    assert await state(ledger_tx, wallet) == (100, 20)
    assert (await status_of(ledger_tx, held), await status_of(ledger_tx, later)) == (("expired", 0), ("active", 0))


async def test_an_expired_hold_can_still_be_released(ledger_tx: Tx) -> None:
    wallet = await open_wallet(ledger_tx, 100)
    held = await ledger.hold(ledger_tx, wallet, 70, ttl=HOUR)
    clock.advance(2 * HOUR)
    await ledger.release(ledger_tx, held)
    assert await ledger.expire_holds(ledger_tx) == 0
    assert await state(ledger_tx, wallet) == (100, 0)


async def test_expiry_processes_due_holds_in_batches(ledger_tx: Tx) -> None:
    one, two = await open_wallet(ledger_tx, 100), await open_wallet(ledger_tx, 100)
    for index in range(6):
        await ledger.hold(ledger_tx, (one, two)[index % 2], 10, ttl=HOUR)
    clock.advance(HOUR)
    assert [await ledger.expire_holds(ledger_tx, limit=4) for _ in range(3)] == [4, 2, 0]
    assert (await state(ledger_tx, one), await state(ledger_tx, two)) == ((100, 0), (100, 0))


async def test_unknown_holds_and_accounts_are_not_found(ledger_tx: Tx) -> None:
    with pytest.raises(HoldNotFound):
        await ledger.release(ledger_tx, uuid4())
    with pytest.raises(HoldNotFound):
        await ledger.capture(ledger_tx, uuid4(), target=SHOP, kind="test.capture", actor=TESTER)
    with pytest.raises(ledger.AccountNotFound):
        await ledger.hold(ledger_tx, uuid4(), 1, ttl=HOUR)
    with pytest.raises(ledger.AccountNotFound):  # the operator's accounts cannot hold money
        await ledger.hold(ledger_tx, SHOP, 1, ttl=HOUR)
