"""Debits and recharges in the lane: with two processes that remember balances, no money moves wrongly or twice."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from asyncpg import UniqueViolationError
from sqlalchemy import text

from carteira import ledger
from carteira.kit.db.engine import Database
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.transit import queries, service, taps
from carteira.transit.moves import CardMoves, Direction, MoveAnswer, MoveQueue, MoveRequest, deferred_gauge
from carteira.transit.schemas import TapIn
from tests.support.databases import NewDatabase
from tests.support.ledger import TESTER

BOUNDS = taps.ClockBounds(timedelta(days=1), timedelta(days=1))


@dataclass(frozen=True)
class Rider:
    id: UUID
    card: str


@pytest.fixture(scope="module")
async def books(new_database: NewDatabase) -> AsyncIterator[Database]:
    database = Database(new_database("moves"), pool_size=8)
    yield database
    async with database.transaction() as tx:
        assert (await ledger.reconcile(tx)).differences == []
    await database.close()


async def rider(books: Database, balance: int = 0) -> Rider:
    person = uuid4()
    async with books.transaction() as tx:
        card = await service.issue(tx, person)
        if balance:
            await service.recharge(tx, person, card.card_number, balance, actor=TESTER)
    return Rider(person, card.card_number)


def move(who: Rider, direction: Direction, amount: int, key: str | None = None) -> MoveRequest:
    content = f"{direction} {amount}".encode()
    keyed = (str(who.id), key) if key else None
    return MoveRequest(who.card, direction, amount, who.id, Actor.person(who.id), keyed, content, "test")


async def ask(moves: CardMoves, *requests: MoveRequest) -> list[MoveAnswer]:
    return await moves.decide(requests, "remembered")


async def statuses(moves: CardMoves, *requests: MoveRequest) -> list[int]:
    return [answer.status for answer in await ask(moves, *requests)]


async def balance(books: Database, who: Rider) -> int:
    async with books.transaction() as tx:
        return await queries.balance(tx, who.id, who.card)


async def owed(books: Database, who: Rider) -> list[int]:
    async with books.transaction() as tx:
        _, debts = await queries.debts(tx, who.id, limit=100)
        return [debt.outstanding for debt in debts]


def new_balance_of(answer: MoveAnswer) -> int:
    told: int = json.loads(answer.body)["new_balance"]
    return told


async def test_the_returned_balance_is_the_one_after_the_move(books: Database) -> None:
    who, one, other = await rider(books, 1_000), CardMoves(books), CardMoves(books)
    assert new_balance_of((await ask(one, move(who, "debit", 100)))[0]) == 900
    assert new_balance_of((await ask(other, move(who, "debit", 50)))[0]) == 850
    assert new_balance_of((await ask(one, move(who, "recharge", 10)))[0]) == 860, "it remembers 900"
    first, second = await ask(other, move(who, "debit", 860), move(who, "debit", 1))
    assert (new_balance_of(first), second.status) == (0, 400)
    assert await balance(books, who) == 0


async def test_two_processes_at_one_card_spend_the_balance_and_no_more(books: Database) -> None:
    who, writers = await rider(books, 1_000), [CardMoves(books), CardMoves(books)]
    queues = [MoveQueue(writer, deferred_gauge=deferred_gauge) for writer in writers]
    async with queues[0].running(), queues[1].running():
        answers = await asyncio.gather(*(queues[n % 2].decide(move(who, "debit", 10)) for n in range(200)))
    assert sorted(answer.status for answer in answers) == [200] * 100 + [400] * 100
    assert sorted(new_balance_of(answer) for answer in answers if answer.status == 200) == list(range(0, 1_000, 10))
    assert await balance(books, who) == 0


async def test_one_key_moves_once_in_a_batch_in_two_processes_and_later(books: Database) -> None:
    who, one, other = await rider(books, 1_000), CardMoves(books), CardMoves(books)
    again = move(who, "debit", 100, "key-1")
    first, second = await ask(one, again, again)
    assert (first.status, first.replayed, second.replayed, second.body) == (200, False, True, first.body)
    many = [move(who, "debit", 1, "key-2")] * 10
    answers = await asyncio.gather(*(ask(one if n % 2 else other, each) for n, each in enumerate(many)))
    assert sorted(answer.replayed for (answer,) in answers) == [False] + [True] * 9
    (late,) = await ask(CardMoves(books), again)
    assert (late.replayed, late.body) == (True, first.body)
    assert await balance(books, who) == 899


async def test_a_refusal_is_repeated_and_a_reused_key_goes_the_ordinary_way(
    books: Database,
) -> None:
    who, moves = await rider(books, 100), CardMoves(books)
    assert await statuses(moves, move(who, "debit", 500, "much")) == [400]
    assert await statuses(moves, move(who, "recharge", 900)) == [200]
    (again,) = await ask(moves, move(who, "debit", 500, "much"))
    assert (again.status, again.replayed) == (400, True)
    assert await statuses(moves, move(who, "debit", 5, "much")) == [0]
    assert await balance(books, who) == 1_000


async def test_a_card_blocked_after_it_was_cached_moves_nothing(books: Database) -> None:
    who, moves = await rider(books, 100), CardMoves(books)
    assert await statuses(moves, move(who, "debit", 1)) == [200]
    async with books.transaction() as tx:
        await service.block(tx, who.id, who.card)
    assert await statuses(moves, move(who, "debit", 1), move(who, "recharge", 1)) == [409, 409]
    async with books.transaction() as tx:
        await service.unblock(tx, who.id, who.card)
    assert await statuses(moves, move(who, "debit", 1)) == [200]
    assert await balance(books, who) == 98


async def test_a_stranger_and_an_unknown_card_are_left_to_the_ordinary_way(books: Database) -> None:
    who, stranger, moves = await rider(books, 100), uuid4(), CardMoves(books)
    assert await statuses(moves, move(who, "debit", 1)) == [200]
    theirs = move(Rider(stranger, who.card), "debit", 1)
    unknown = move(Rider(who.id, "9076000000000000"), "debit", 1)
    assert await statuses(moves, theirs, move(who, "debit", 1), unknown) == [0, 200, 0]
    assert await balance(books, who) == 98


async def test_a_ride_owed_after_the_card_was_cached_is_paid_by_the_recharge(books: Database) -> None:
    who, moves = await rider(books, 100), CardMoves(books)
    assert await statuses(moves, move(who, "recharge", 1)) == [200]
    ride = TapIn(id=f"tap-{uuid4()}", card_number=who.card, amount=500, tapped_at=clock.now())
    async with books.transaction() as tx:
        await taps.account_for(tx, uuid4(), [ride], actor=TESTER, bounds=BOUNDS)
    refused, paid = await ask(moves, move(who, "debit", 1), move(who, "recharge", 1_000))
    assert (refused.status, paid.status, new_balance_of(paid)) == (400, 200, 601)
    assert new_balance_of((await ask(moves, move(who, "recharge", 1)))[0]) == 602


async def test_two_processes_and_a_session_pay_rides_once_oldest_first(books: Database) -> None:
    who, one, other = await rider(books), CardMoves(books), CardMoves(books)
    now = clock.now()
    rides = [TapIn(id=f"tap-{uuid4()}", card_number=who.card, amount=100, tapped_at=now) for _ in range(3)]
    async with books.transaction() as tx:
        await taps.account_for(tx, uuid4(), rides, actor=TESTER, bounds=BOUNDS)
    assert new_balance_of((await ask(one, move(who, "recharge", 120)))[0]) == 0
    assert await owed(books, who) == [80, 100], "what it remembers of the rides"
    async with books.transaction() as tx:
        assert await service.recharge(tx, who.id, who.card, 30, actor=TESTER) == 0
    assert new_balance_of((await ask(one, move(who, "recharge", 20)))[0]) == 0, "it remembers 80 and 100"
    answers = await asyncio.gather(*(ask(one if n % 2 else other, move(who, "recharge", 10)) for n in range(20)))
    assert {answer.status for (answer,) in answers} == {200}
    assert (await owed(books, who), await balance(books, who)) == ([], 70)


async def test_a_debtor_of_very_many_rides_recharges_the_ordinary_way(
    books: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    who, moves = await rider(books), CardMoves(books)
    monkeypatch.setattr("carteira.transit.moves.MOST_DEBTS", 1)
    rides = [TapIn(id=f"tap-{uuid4()}", card_number=who.card, amount=100, tapped_at=clock.now()) for _ in range(2)]
    async with books.transaction() as tx:
        await taps.account_for(tx, uuid4(), rides, actor=TESTER, bounds=BOUNDS)
    assert await statuses(moves, move(who, "recharge", 50)) == [0]
    assert await owed(books, who) == [100, 100]


async def test_each_move_is_reported_once_with_its_entry(books: Database) -> None:
    who, moves = await rider(books, 100), CardMoves(books)
    await ask(moves, move(who, "debit", 7, "told"), move(who, "recharge", 3), move(who, "debit", 7, "told"))
    async with books.transaction() as tx:
        told = (
            await tx.execute(
                text("""
                SELECT topic, (payload ->> 'amount')::int, entry.kind, entry.actor_kind, entry.actor_id
                FROM events JOIN ledger_entries entry ON entry.id = (payload ->> 'entry_id')::uuid
                WHERE payload ->> 'user_id' = :who ORDER BY events.id
                """),
                {"who": str(who.id)},
            )
        ).all()
    by = ("person", str(who.id))
    assert [tuple(row) for row in told][1:] == [
        ("transit.debited", 7, "transit.debit", *by),
        ("transit.recharged", 3, "transit.recharge", *by),
    ]


async def test_a_locked_card_holds_up_its_own_moves_only(books: Database) -> None:
    held, free = await rider(books, 100), await rider(books, 100)
    queue = MoveQueue(CardMoves(books), deferred_gauge=deferred_gauge)
    async with queue.running():
        async with books.transaction() as other:
            (card,) = await service.own_cards(other, held.id, [held.card])
            await ledger.lock(other, [card.account_id])
            waits = asyncio.create_task(queue.decide(move(held, "debit", 1)))
            assert (await asyncio.wait_for(queue.decide(move(free, "debit", 1)), 10)).status == 200
            assert not waits.done()
        assert (await asyncio.wait_for(waits, 10)).status == 200


async def test_a_key_that_another_transaction_is_taking_holds_up_its_own_moves_only(books: Database) -> None:
    """A caller that keeps its own key open on an ordinary route does not stop other people's cards."""
    held, free, key = await rider(books, 100), await rider(books, 100), f"open-{uuid4()}"
    queue = MoveQueue(CardMoves(books), deferred_gauge=deferred_gauge)
    taken = {"caller": str(held.id), "key": key}
    async with queue.running():
        async with books.transaction() as other:
            await other.execute(
                text("INSERT INTO idempotency_keys (caller, key, fingerprint) VALUES (:caller, :key, '')"), taken
            )
            waits = asyncio.create_task(queue.decide(move(held, "debit", 1, key)))
            for _ in range(5):
                assert (await queue.decide(move(free, "debit", 1))).status == 200
                assert not waits.done(), "the others are decided while it waits"
            await other.rollback()
        assert (await asyncio.wait_for(waits, 10)).status == 200


async def test_nothing_is_lost_or_made_among_moves_cancellations_and_blocks(books: Database) -> None:
    picker = random.Random(11)
    riders = [await rider(books, 5_000) for _ in range(4)]
    queues = [MoveQueue(CardMoves(books), deferred_gauge=deferred_gauge) for _ in range(2)]
    expected = dict.fromkeys((who.id for who in riders), 5_000)

    async def act(who: Rider) -> None:
        for _ in range(30):
            direction: Direction = picker.choice(("debit", "recharge"))
            amount = picker.randrange(1, 400)
            answer = await picker.choice(queues).decide(move(who, direction, amount, uuid4().hex))
            if answer.status == 200:
                expected[who.id] += amount if direction == "recharge" else -amount

    async def disturb(who: Rider) -> None:
        for change in (service.block, service.unblock) * 5:
            async with books.transaction() as tx:
                await change(tx, who.id, who.card)
            await asyncio.sleep(0)
        async with books.transaction() as tx:
            target = await service.issue(tx, who.id)
            await service.cancel(tx, who.id, who.card, actor=TESTER, move_balance_to=target.card_number)

    async with queues[0].running(), queues[1].running():
        await asyncio.gather(*(act(who) for who in riders), *(act(who) for who in riders), *map(disturb, riders[:2]))
    async with books.transaction() as tx:
        for who in riders:
            cards = await queries.cards(tx, who.id, limit=10)
            assert sum(card.balance for card in cards) == expected[who.id]
            assert all(card.balance == 0 for card in cards if card.status == "cancelled")


async def test_keys_are_unique_in_a_table_of_their_own(books: Database) -> None:
    who = await rider(books, 100)
    async with books.transaction() as tx:
        (card,) = await service.own_cards(tx, who.id, [who.card])
        source, key = card.account_id, f"k-{who.id}"
        entry = ledger.transfer("test.move", source=source, target=service.FARE_BOX, amount=1, key=key)
        await ledger.post(tx, entry, actor=TESTER)
        kept = await tx.execute(text("SELECT entry_id FROM ledger_keys WHERE key = :key"), {"key": key})
        assert kept.scalar_one() == entry.id
    again = ledger.transfer("test.move", source=source, target=service.FARE_BOX, amount=1, key=key)
    async with books.lean_statements() as connection:
        book = await ledger.read(connection, [source])
        book.post(again)
        with pytest.raises(UniqueViolationError):
            await ledger.write(connection, book, actor=TESTER)
