"""Operators propose, approve, refuse and leave, in any order and over several days: no day exceeds its ceiling."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from sqlalchemy import select

from carteira.kit.db.engine import Database
from carteira.kit.db.errors import CommitThenRaise
from carteira.kit.db.session import Tx
from carteira.kit.security import approvals
from carteira.kit.security.approvals import Act, DailyCeilingReached, Gains, OperatorDay, OwnOperation, PendingOperation
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.values.limits import Limit
from carteira.kit.web.access import Principal
from carteira.kit.web.approvals import (
    CLAIM,
    Desk,
    Operation,
    PendingDecided,
    PendingExpired,
    PendingFailed,
    People,
    WaitingOut,
)
from carteira.kit.web.idempotency import Answered
from carteira.kit.web.problems import Conflict
from tests.support.databases import NewDatabase, open_database, rolled_back
from tests.support.kit_app import new_sealer

ALONE, DAILY, LASTS = 100, 300, timedelta(hours=30)
PEOPLE = [Principal(uuid4(), frozenset({CLAIM})) for _ in range(5)]
makers = st.integers(0, 1)
people = st.integers(0, 4)
picks = st.integers(0, 3)
"""The number of an operation, counted back from the newest."""
steps = st.one_of(
    st.tuples(st.just("ask"), makers, st.integers(1, 100) | st.integers(101, 200), people),
    st.tuples(st.just("approve"), people, picks, st.sampled_from(["well", "well", "less", "more", "not"])),
    st.tuples(st.just("refuse"), people, picks),
    st.tuples(st.just("wait"), st.integers(1, 20)),
    st.tuples(st.just("expire")),
)


class Order(BaseModel):
    """So many centavos for one of the people."""

    amount: int
    to: int


@dataclass
class Proposed:
    """An operation that waits, or waited, as the model knows it."""

    id: UUID
    maker: int
    to: int
    amount: int
    day: date
    expires_at: datetime
    status: str = approvals.PENDING


@dataclass
class Model:
    """The simplest record: each operation, each day's total, what has moved."""

    tx: Tx
    asked: list[Proposed] = field(default_factory=list)
    days: Counter[tuple[int, date]] = field(default_factory=Counter)
    moved: int = 0
    given: list[int] = field(default_factory=list)
    """Record what the verb returned."""
    fate: str = "well"

    def __post_init__(self) -> None:
        self.operation = Operation("tests.model", Order, self.give, "tests:give", limit="model")
        self.desk = Desk(
            [self.operation],
            [Limit("model", ALONE, DAILY)],
            lasts=LASTS,
            people=People(nobody, acting, nameless),
            digests=lambda cpf: [cpf.encode()],
            sealer=new_sealer(),
        )

    async def give(self, tx: Tx, order: Order, act: Act) -> None:
        if self.fate == "not":
            raise Conflict
        amount = order.amount + {"less": -1, "more": 1}.get(self.fate, 0)
        await act.weigh(tx, amount=amount, summary="Dar", gains=Gains.of(PEOPLE[order.to].id))
        self.given.append(amount)

    async def ask(self, maker: int, amount: int, to: int) -> None:
        self.fate, day = "well", clock.today()
        left = DAILY - self.days[maker, day]
        order = Order(amount=amount, to=to)
        if amount > left:
            with pytest.raises(DailyCeilingReached) as reached:
                await self.desk.carry_out(self.tx, self.operation, order, PEOPLE[maker])
            assert reached.value.left == left
            return
        answer = await self.desk.carry_out(self.tx, self.operation, order, PEOPLE[maker])
        self.days[maker, day] += amount
        if amount > ALONE:
            assert isinstance(answer, Answered)
            assert isinstance(answer.body, WaitingOut)
            self.asked.append(Proposed(answer.body.pending.id, maker, to, amount, day, clock.now() + LASTS))
        else:
            assert answer is None
            self.moved += amount

    async def approve(self, who: int, pick: int, fate: str) -> None:
        if not self.asked:
            return
        one, self.fate = self.asked[-1 - pick % len(self.asked)], fate
        expected: type[Exception] | None = None
        if one.status == approvals.EXPIRED or (one.status == approvals.PENDING and one.expires_at <= clock.now()):
            expected = PendingExpired
            self.end(one, approvals.EXPIRED)
        elif one.status != approvals.PENDING:
            expected = PendingDecided
        elif who in {one.maker, one.to}:
            expected = OwnOperation
        elif fate in {"not", "more"}:
            expected = PendingFailed
            self.end(one, approvals.FAILED)
        else:
            carried_out = one.amount - (fate == "less")
            self.end(one, approvals.APPROVED, carried_out)
            self.moved += carried_out
        await self.raises(expected, lambda: self.desk.approve(self.tx, PEOPLE[who], one.id))

    async def refuse(self, who: int, pick: int) -> None:
        if not self.asked:
            return
        one = self.asked[-1 - pick % len(self.asked)]
        expected: type[Exception] | None = None
        if one.status == approvals.EXPIRED or (one.status == approvals.PENDING and one.expires_at <= clock.now()):
            expected = PendingExpired
            self.end(one, approvals.EXPIRED)
        elif one.status != approvals.PENDING:
            expected = PendingDecided
        else:
            self.end(one, approvals.REFUSED)
        await self.raises(expected, lambda: self.desk.refuse(self.tx, PEOPLE[who], one.id, None))

    async def wait(self, hours: int) -> None:
        clock.advance(timedelta(hours=hours))

    async def expire(self) -> None:
        await approvals.expire(self.tx)
        for one in self.asked:
            if one.status == approvals.PENDING and one.expires_at <= clock.now():
                self.end(one, approvals.EXPIRED)

    def end(self, one: Proposed, status: str, carried_out: int = 0) -> None:
        if one.status == approvals.PENDING:
            one.status = status
            self.days[one.maker, one.day] -= one.amount - carried_out

    async def raises(self, expected: type[Exception] | None, work: Callable[[], Awaitable[object]]) -> None:
        raised: Exception | None = None
        try:
            await work()
        except CommitThenRaise as failure:
            raised = failure.error
        except (OwnOperation, PendingDecided, PendingExpired) as error:
            raised = error
        assert (type(raised) if raised else None) == expected

    async def compare(self) -> None:
        rows = await self.tx.scalars(select(OperatorDay))
        told = {(row.actor_id, row.day): row.amount for row in rows if row.amount}
        assert told == {(str(PEOPLE[who].id), day): amount for (who, day), amount in self.days.items() if amount}
        assert all(0 <= amount <= DAILY for amount in self.days.values())
        statuses = {row.id: row.status for row in await self.tx.scalars(select(PendingOperation))}
        assert statuses == {one.id: one.status for one in self.asked}
        assert sum(self.given) == self.moved


async def nobody(_tx: Tx, _user_id: UUID) -> None:
    return None


async def acting(_tx: Tx, _actor: Actor, _claim: str) -> bool:
    return True


async def nameless(_tx: Tx, _ids: Iterable[UUID]) -> Mapping[UUID, str]:
    return {}


@pytest.fixture(scope="module")
async def approvals_database(new_database: NewDatabase) -> AsyncIterator[Database]:
    async with open_database(new_database("approvals"), pool_size=2) as database:
        yield database


@given(st.lists(steps, min_size=15, max_size=40))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_the_desk_agrees_with_the_model(
    approvals_database: Database, sequence: list[tuple[str, *tuple[int, ...]]]
) -> None:
    clock.set(datetime.fromisoformat("2027-03-01T12:00:00Z"))
    async with rolled_back(approvals_database) as tx:
        model = Model(tx)
        for name, *arguments in sequence:
            await getattr(model, name)(*arguments)
            await model.compare()
