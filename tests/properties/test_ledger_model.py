"""After any operations in any order, the ledger agrees with the simplest model."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from carteira import ledger
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.values.clock import clock
from carteira.kit.web.problems import Problem
from carteira.ledger.errors import CaptureTooLarge, EntryNotReversible
from tests.support.databases import NewDatabase
from tests.support.ledger import SHOP, TESTER, TOP_UP, open_system_accounts

T = TypeVar("T")
Line = tuple[UUID, int]
"""An account and a signed amount."""

WALLETS = 3
wallets = st.integers(0, WALLETS - 1)
amounts = st.integers(1, 300)
picks = st.integers(0, 9)
operations = st.one_of(
    st.tuples(st.just("top_up"), wallets, amounts),
    st.tuples(st.just("spend"), wallets, amounts),
    st.tuples(st.just("give"), wallets, wallets, amounts),
    st.tuples(st.just("hold"), wallets, amounts, st.integers(1, 60)),
    st.tuples(st.just("capture"), picks, st.none() | st.integers(0, 300)),
    st.tuples(st.just("release"), picks),
    st.tuples(st.just("wait"), st.integers(1, 40)),
    st.tuples(st.just("expire")),
    st.tuples(st.just("reverse"), picks),
    st.tuples(st.just("roll_up")),
)


@dataclass
class Hold:
    """A hold as the model knows it."""

    id: UUID
    wallet: UUID
    amount: int
    expires_at: datetime
    is_active: bool = True


@dataclass
class Entry:
    """An entry as the model knows it."""

    id: UUID
    lines: Sequence[Line]
    is_reversal: bool = False
    is_reversed: bool = False


class Run:
    """One sequence of operations, each done to the ledger and to the model, which predicts its outcome."""

    def __init__(self, database: Database, accounts: Sequence[UUID], balances: dict[UUID, int]) -> None:
        self.database = database
        self.wallets = accounts
        self.balances = balances
        self.holds: list[Hold] = []
        self.entries: list[Entry] = []
        self.seen: list[tuple[datetime, dict[UUID, int]]] = []

    def held(self, wallet: UUID) -> int:
        return sum(hold.amount for hold in self.holds if hold.wallet == wallet and hold.is_active)

    def refusal(self, lines: Sequence[Line]) -> type[Problem] | None:
        for wallet in self.wallets:
            net = sum(amount for account, amount in lines if account == wallet)
            if net < 0 and self.balances[wallet] - self.held(wallet) + net < 0:
                return ledger.InsufficientFunds
        return None

    async def attempt(self, expected: type[Problem] | None, verb: Callable[[Tx], Awaitable[T]]) -> T | None:
        """Call a verb in its own transaction; it must fail exactly as predicted, or succeed."""
        if expected is None:
            async with self.database.transaction() as tx:
                return await verb(tx)
        with pytest.raises(expected):
            async with self.database.transaction() as tx:
                await verb(tx)
        return None

    def move(self, entry: Entry) -> None:
        self.entries.append(entry)
        for account, amount in entry.lines:
            self.balances[account] += amount

    async def post(self, *lines: Line) -> None:
        entry = ledger.NewEntry("test.move", [ledger.Posting(*line) for line in lines])
        if await self.attempt(self.refusal(lines), lambda tx: ledger.post(tx, entry, actor=TESTER)):
            self.move(Entry(entry.id, lines))

    async def top_up(self, wallet: int, amount: int) -> None:
        await self.post((TOP_UP, -amount), (self.wallets[wallet], amount))

    async def spend(self, wallet: int, amount: int) -> None:
        await self.post((self.wallets[wallet], -amount), (SHOP, amount))

    async def give(self, giver: int, taker: int, amount: int) -> None:
        await self.post((self.wallets[giver], -amount), (self.wallets[taker], amount))

    async def hold(self, index: int, amount: int, minutes: int) -> None:
        wallet, ttl = self.wallets[index], timedelta(minutes=minutes)
        hold_id = await self.attempt(
            self.refusal([(wallet, -amount)]), lambda tx: ledger.hold(tx, wallet, amount, ttl=ttl)
        )
        if hold_id is not None:
            self.holds.append(Hold(hold_id, wallet, amount, clock.now() + ttl))

    async def capture(self, pick: int, amount: int | None) -> None:
        if not self.holds:
            return
        hold = self.holds[pick % len(self.holds)]
        expected: type[Problem] | None = None
        if not hold.is_active or hold.expires_at <= clock.now():
            expected = ledger.HoldNotActive
        elif amount is not None and not 0 < amount <= hold.amount:
            expected = CaptureTooLarge
        entry_id = await self.attempt(
            expected,
            lambda tx: ledger.capture(tx, hold.id, target=SHOP, kind="test.capture", amount=amount, actor=TESTER),
        )
        if entry_id is not None:
            hold.is_active = False
            captured = hold.amount if amount is None else amount
            self.move(Entry(entry_id, [(hold.wallet, -captured), (SHOP, captured)]))

    async def release(self, pick: int) -> None:
        if not self.holds:
            return
        hold = self.holds[pick % len(self.holds)]
        await self.attempt(None if hold.is_active else ledger.HoldNotActive, lambda tx: ledger.release(tx, hold.id))
        hold.is_active = False

    async def wait(self, minutes: int) -> None:
        clock.advance(timedelta(minutes=minutes))

    async def expire(self) -> None:
        due = [hold for hold in self.holds if hold.is_active and hold.expires_at <= clock.now()]
        assert await self.attempt(None, ledger.expire_holds) == len(due)
        for hold in due:
            hold.is_active = False

    async def reverse(self, pick: int) -> None:
        if not self.entries:
            return
        entry = self.entries[pick % len(self.entries)]
        opposite = [(account, -amount) for account, amount in entry.lines]
        expected = self.refusal(opposite)
        if entry.is_reversal:
            expected = EntryNotReversible
        elif entry.is_reversed:
            expected = ledger.EntryAlreadyReversed
        reversal_id = await self.attempt(expected, lambda tx: ledger.reverse(tx, entry.id, actor=TESTER))
        if reversal_id is not None:
            entry.is_reversed = True
            self.move(Entry(reversal_id, opposite, is_reversal=True))

    async def roll_up(self) -> None:
        await self.attempt(None, ledger.roll_up)

    async def compare(self) -> None:
        """Compare every present balance and hold."""
        async with self.database.transaction() as tx:
            for account, balance in self.balances.items():
                view = await ledger.account(tx, account)
                assert (view.balance, view.held) == (balance, self.held(account))
            now = await tx.scalar(select(func.clock_timestamp()))
        assert isinstance(now, datetime)
        self.seen.append((now, dict(self.balances)))

    async def check_history(self) -> None:
        """Compare every statement and past balance, and run the ledger's own proof."""
        async with self.database.transaction() as tx:
            for wallet in self.wallets:
                mine = [(entry.id, amount) for entry in self.entries for who, amount in entry.lines if who == wallet]
                lines = await ledger.statement(tx, [wallet], limit=1000)
                assert [(line.entry_id, line.amount) for line in reversed(lines)] == mine
            for instant, balances in self.seen:
                assert {account: await ledger.balance_at(tx, account, instant) for account in balances} == balances
        async with self.database.transaction() as tx:
            assert (await ledger.reconcile(tx)).differences == []


@pytest.fixture(scope="module")
async def model_database(new_database: NewDatabase) -> AsyncIterator[Database]:
    database = Database(new_database("model"), pool_size=2)
    async with database.transaction() as tx:
        await open_system_accounts(tx)
    yield database
    await database.close()


@given(st.lists(operations, min_size=5, max_size=30))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_the_ledger_agrees_with_the_model(
    model_database: Database, sequence: list[tuple[str, *tuple[int, ...]]]
) -> None:
    clock.set(datetime.fromisoformat("2027-03-03T12:00:00Z"))
    async with model_database.transaction() as tx:
        await ledger.expire_holds(tx)  # those of earlier examples, however late they end
    clock.set(datetime.fromisoformat("2027-03-01T12:00:00Z"))
    async with model_database.transaction() as tx:
        opened = [await ledger.open_account(tx, "test.wallet", holder_id=uuid4()) for _ in range(WALLETS)]
        operator = {account: (await ledger.account(tx, account)).balance for account in (TOP_UP, SHOP)}
    run = Run(model_database, opened, operator | dict.fromkeys(opened, 0))
    for name, *arguments in sequence:
        await getattr(run, name)(*arguments)
        await run.compare()
    await run.check_history()
