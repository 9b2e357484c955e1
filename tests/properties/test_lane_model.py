"""Whatever two processes ask of the lane, in whatever mode and whatever others do meanwhile, agrees with a model."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Literal
from uuid import UUID, uuid4

import orjson
import pytest
from fastapi import Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carteira import ledger
from carteira.benefits import at_once, topups
from carteira.benefits.authorizer.request import Authorization
from carteira.benefits.authorizer.writer import Authorizer
from carteira.benefits.schemas import CreditIn
from carteira.kit.db.engine import Database
from carteira.kit.security.approvals import Act
from carteira.kit.security.operator_days import day_of
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.web.idempotency import Call, KeptAnswer
from carteira.transit import counter, queries, service, taps
from carteira.transit.moves import CardMoves, Direction, MoveRequest
from carteira.transit.schemas import TapIn
from tests.support.benefits import FOOD, OTHER, balances, open_account
from tests.support.databases import NewDatabase
from tests.support.ledger import TESTER

Mode = Literal["remembered", "compared", "locked"]
MODES: Sequence[Mode] = ("remembered", "compared", "locked")
BOUNDS = taps.ClockBounds(timedelta(days=1), timedelta(days=1))
KEEPING = KeptAnswer(Call("tests", None, "POST /"), b"", 200)
"""Requests without keys."""
DAY = day_of(TESTER, None, 0) or ()

modes = st.sampled_from(MODES)
processes = st.integers(0, 1)
amounts = st.integers(1, 300)
keys = st.none() | st.integers(0, 3)
picks = st.integers(0, 2)
moves = st.tuples(picks, st.sampled_from(["debit", "recharge"]), amounts, keys)
purchases = st.tuples(st.integers(0, 1), st.sampled_from([FOOD, OTHER]), amounts, keys, st.booleans())
of_cards = st.one_of(
    st.tuples(st.just("ask"), processes, modes, st.lists(moves, min_size=1, max_size=4)),
    st.tuples(st.just("ride"), picks, amounts, st.booleans()),
    st.tuples(st.just("recharge"), picks, amounts),
    st.tuples(st.just("recharge_for_cash"), picks, amounts),
    st.tuples(st.just("block"), picks),
    st.tuples(st.just("unblock"), picks),
)
of_accounts = st.one_of(
    st.tuples(st.just("ask"), processes, modes, st.lists(purchases, min_size=1, max_size=4)),
    st.tuples(st.just("credit"), st.integers(0, 1), st.sampled_from(["FOOD", "CASH"]), amounts, st.booleans()),
)


@dataclass
class Card:
    """A card as the model knows it."""

    person: UUID
    number: str
    balance: int = 0
    is_blocked: bool = False


@dataclass
class Riders:
    """Two people's cards, done to both the lane and the model."""

    books: Database
    cards: Sequence[Card]
    owed: dict[UUID, list[int]]
    """What each person owes, the oldest ride first."""
    answers: dict[tuple[UUID, int], tuple[bytes, int, int | None]] = field(default_factory=dict)
    """Content, status and balance of the first answer under each key."""

    def __post_init__(self) -> None:
        self.processes = [CardMoves(self.books), CardMoves(self.books)]

    def come_in(self, card: Card, amount: int) -> None:
        """Recharge in the model, which pays the person's rides first."""
        card.balance += amount
        owed = self.owed[card.person]
        while owed and card.balance:
            part = min(owed[0], card.balance)
            card.balance -= part
            owed[0] -= part
            if not owed[0]:
                owed.pop(0)

    def expected(self, request: MoveRequest, card: Card, key: int | None) -> tuple[int, int | None]:
        """Return the status and the balance that the model answers with; 0 is the ordinary way's."""
        known = self.answers.get((card.person, key)) if key is not None else None
        if known is not None:
            return known[1:] if known[0] == request.content else (0, None)
        if card.is_blocked:
            answer: tuple[int, int | None] = (409, None)
        elif request.direction == "debit" and card.balance < request.amount:
            answer = (400, None)
        else:
            if request.direction == "debit":
                card.balance -= request.amount
            else:
                self.come_in(card, request.amount)
            answer = (200, card.balance)
        if key is not None:
            self.answers[card.person, key] = (request.content, *answer)
        return answer

    async def ask(self, process: int, mode: Mode, asked: list[tuple[int, Direction, int, int | None]]) -> None:
        requests, wanted = [], []
        for pick, direction, amount, key in asked:
            card = self.cards[pick]
            named = (str(card.person), f"key-{key}") if key is not None else None
            content = f"{pick} {direction} {amount}".encode()
            by = Actor.person(card.person)
            request = MoveRequest(card.number, direction, amount, card.person, by, named, content, "test")
            requests.append(request)
            wanted.append(self.expected(request, card, key))
        answers = await self.processes[process].decide(requests, mode)
        assert [
            (answer.status, orjson.loads(answer.body).get("new_balance") if answer.body else None) for answer in answers
        ] == wanted

    async def ride(self, pick: int, amount: int, is_quick: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
        card = self.cards[pick]
        tap = TapIn(id=f"tap-{uuid4()}", card_number=card.number, amount=amount, tapped_at=clock.now())
        if is_quick:
            account = partial(
                taps.account_at_once,
                client_id=uuid4(),
                taps=[tap],
                bounds=BOUNDS,
                actor=TESTER,
                answer=lambda _results: (Response(), ([], [], [], [], [])),
            )
            assert await ledger.at_once(self.books, account) is not None
        else:
            async with self.books.transaction() as tx:
                await taps.account_for(tx, uuid4(), [tap], bounds=BOUNDS, actor=TESTER)
        if card.is_blocked:
            return
        paid = min(card.balance, amount)
        card.balance -= paid
        if paid < amount:
            self.owed[card.person].append(amount - paid)

    async def recharge(self, pick: int, amount: int) -> None:
        card = self.cards[pick]
        if not card.is_blocked:
            async with self.books.transaction() as tx:
                await service.recharge(tx, card.person, card.number, amount, actor=TESTER)
            self.come_in(card, amount)

    async def recharge_for_cash(self, pick: int, amount: int) -> None:
        card = self.cards[pick]
        recharge = partial(
            counter.recharge_at_once, card_number=card.number, amount=amount, actor=TESTER, day=DAY, keeping=KEEPING
        )
        assert (await ledger.at_once(self.books, recharge) is None) == card.is_blocked
        if not card.is_blocked:
            self.come_in(card, amount)

    async def block(self, pick: int) -> None:
        card = self.cards[pick]
        async with self.books.transaction() as tx:
            await service.block(tx, card.person, card.number)
        card.is_blocked = True

    async def unblock(self, pick: int) -> None:
        card = self.cards[pick]
        async with self.books.transaction() as tx:
            await service.unblock(tx, card.person, card.number)
        card.is_blocked = False

    async def compare(self) -> None:
        """Compare balances and debts."""
        async with self.books.transaction() as tx:
            for card in self.cards:
                assert await queries.balance(tx, card.person, card.number) == card.balance
            for person, owed in self.owed.items():
                _, debts = await queries.debts(tx, person, limit=100)
                assert [debt.outstanding for debt in debts] == owed


@dataclass
class Holders:
    """Two benefit accounts, done to both the authorizer and the model."""

    books: Database
    accounts: Sequence[str]
    money: list[dict[str, int]]
    run: str = field(default_factory=lambda: str(uuid4()))
    answers: dict[int, tuple[object, str, UUID]] = field(default_factory=dict)
    """Content, code and decision of the first answer under each transaction id."""

    def __post_init__(self) -> None:
        self.processes = [Authorizer(self.books), Authorizer(self.books)]

    def expected(self, request: Authorization, pick: int, key: int | None) -> tuple[str, UUID | None]:
        """Return the code that the model answers with, and the decision if it is an earlier one."""
        if key is not None and key in self.answers:
            content, code, decision_id = self.answers[key]
            return (code, decision_id) if content == request.content else ("07", None)
        money = self.money[pick]
        named = "FOOD" if request.mcc == FOOD else "CASH"
        payers = [named, "CASH"] if request.fallback else [named]
        payer = next((name for name in payers if money[name] >= request.amount), None)
        if payer is not None:
            money[payer] -= request.amount
        code = "00" if payer else "51"
        if key is not None:
            self.answers[key] = (request.content, code, request.id)
        return code, request.id

    async def ask(self, process: int, mode: Mode, asked: list[tuple[int, str, int, int | None, bool]]) -> None:
        requests, wanted = [], []
        for pick, mcc, amount, key, fallback in asked:
            named = f"{self.run}:{key}" if key is not None else None
            request = Authorization(uuid7(), self.accounts[pick], amount, mcc, "LOJA DA MARIA", named, fallback)
            requests.append(request)
            wanted.append(self.expected(request, pick, key))
        decisions = await self.processes[process].decide(requests, mode)
        for decision, (code, decision_id) in zip(decisions, wanted, strict=True):
            assert decision.code == code
            assert decision_id is None or decision.id == decision_id

    async def credit(self, pick: int, category: str, amount: int, is_quick: bool) -> None:  # noqa: FBT001 - Hypothesis draws it
        account, body = self.accounts[pick], CreditIn(category=category, amount=amount)
        if is_quick:
            credit = partial(
                at_once.credit,
                reference=account,
                body=body,
                actor=TESTER,
                who=uuid4(),
                day=lambda moved: day_of(TESTER, None, moved),
                answer=KEEPING.answer,
            )
            assert await ledger.at_once(self.books, credit) is not None
        else:
            async with self.books.transaction() as tx:
                await topups.credit(tx, account, body, Act(TESTER))
        self.money[pick][category] += amount

    async def compare(self) -> None:
        """Compare all balances."""
        for account, money in zip(self.accounts, self.money, strict=True):
            there = await balances(self.books, account)
            assert {name: there[name] for name in money} == money


@pytest.fixture(scope="module")
async def books(new_database: NewDatabase) -> AsyncIterator[Database]:
    database = Database(new_database("lane_model"), pool_size=2)
    yield database
    async with database.transaction() as tx:
        assert (await ledger.reconcile(tx)).differences == []
    await database.close()


@given(st.lists(of_cards, min_size=3, max_size=15))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_cards_agree_with_the_model(books: Database, sequence: list[tuple[str, *tuple[object, ...]]]) -> None:
    people = uuid4(), uuid4()
    async with books.transaction() as tx:
        issued = [(person, await service.issue(tx, person)) for person in (people[0], people[0], people[1])]
    run = Riders(books, [Card(person, card.card_number) for person, card in issued], {person: [] for person in people})
    for name, *arguments in sequence:
        await getattr(run, name)(*arguments)
        await run.compare()


@given(st.lists(of_accounts, min_size=3, max_size=15))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_purchases_agree_with_the_model(books: Database, sequence: list[tuple[str, *tuple[object, ...]]]) -> None:
    accounts = [await open_account(books, FOOD=200, CASH=300) for _ in range(2)]
    run = Holders(books, accounts, [{"FOOD": 200, "CASH": 300} for _ in accounts])
    for name, *arguments in sequence:
        await getattr(run, name)(*arguments)
        await run.compare()
