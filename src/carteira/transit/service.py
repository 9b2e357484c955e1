"""Transit's verbs: issue, recharge, debit, cancel, block. Each works in the caller's transaction.

Locks are taken in one order everywhere: taps' ids, cards by id, ledger accounts by id, debts by age.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update

from carteira import ledger
from carteira.kit.db import outbox
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.security.approvals import Act, Gains
from carteira.kit.values.actor import Actor
from carteira.kit.values.card_number import is_card_number
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.values.money import format_brl
from carteira.transit import metrics, numbers
from carteira.transit.errors import (
    BalanceRemains,
    CardCancelled,
    CardNotActive,
    CardNotFound,
    CardOfAnother,
    InsufficientBalance,
    RechargePaid,
    RechargeSpent,
    SameCard,
    TooManyCards,
)
from carteira.transit.models import CardBlock, Tap, TransportCard

ACCOUNT_KIND = "transit.card"
TOP_UP = ledger.system_account("transit.top_up")
CASH = ledger.system_account("transit.cash")
"""Cash for recharges: minus its balance is the counters' debt to the operator."""
FARE_BOX = ledger.system_account("transit.fare_box")
RECEIVABLE = ledger.system_account("transit.receivable")
"""Riders' debts: its balance is minus the sum of all `transit_taps.outstanding`."""

_OPERATORS = {TOP_UP, CASH, FARE_BOX, RECEIVABLE}

RECHARGED_FOR_CASH = "card_recharged_for_cash"
"""The act of a recharge at a counter."""
MAX_CARDS = 20
"""Most cards of one person that are not cancelled."""


@dataclass(frozen=True, slots=True)
class Card:
    """A transport card as others see it; the balance in centavos."""

    id: UUID
    user_id: UUID | None
    card_number: str
    balance: int
    status: str


def view(card: TransportCard, balance: int) -> Card:
    """Return a card as other modules see it."""
    return Card(card.id, card.user_id, card.card_number, balance, card.status)


async def ensure_first_card(tx: Tx, user_id: UUID) -> None:
    """Create a person's first card, unless they have had it (rules.md, transit).

    Concurrent calls create one card.
    """
    had = select(TransportCard.id).where(TransportCard.user_id == user_id, TransportCard.is_first)
    if await tx.scalar(had) is not None:
        return
    await _serialise_issues(tx, user_id)
    if await tx.scalar(had) is None:
        await _issue(tx, user_id, is_first=True)


async def issue(tx: Tx, user_id: UUID) -> Card:
    """Issue one more card to a person.

    Raises:
        TooManyCards: they hold `MAX_CARDS` already.
    """
    await ensure_first_card(tx, user_id)
    await _serialise_issues(tx, user_id)
    held = await tx.scalar(
        select(func.count()).where(TransportCard.user_id == user_id, TransportCard.status != "cancelled")
    )
    if (held or 0) >= MAX_CARDS:
        raise TooManyCards
    return view(await _issue(tx, user_id, is_first=False), 0)


async def _serialise_issues(tx: Tx, user_id: UUID) -> None:
    """Serialise transactions that issue cards to one person."""
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"transit.cards:{user_id}", 0))))


async def _issue(tx: Tx, user_id: UUID, *, is_first: bool) -> TransportCard:
    card_number = numbers.draw()
    while await tx.scalar(select(TransportCard.id).where(TransportCard.card_number == card_number)):
        card_number = numbers.draw()
    card_id = uuid7()
    card = TransportCard(
        id=card_id,
        user_id=user_id,
        card_number=card_number,
        account_id=await ledger.open_account(tx, ACCOUNT_KIND, holder_id=card_id, owner_id=user_id),
        status="active",
        is_first=is_first,
        created_at=clock.now(),
    )
    tx.add(card)
    await tx.flush()
    metrics.cards_issued.inc()
    return card


async def _locked_cards(tx: Tx, card_numbers: Sequence[str]) -> list[TransportCard]:
    """Lock cards, in the order of ids so that transactions cannot deadlock; return them in the given order.

    Raises:
        CardNotFound: one of them does not exist.
    """
    if not all(is_card_number(number) for number in card_numbers):
        raise CardNotFound
    found = await tx.scalars(
        select(TransportCard)
        .where(TransportCard.card_number.in_(card_numbers))
        .order_by(TransportCard.id)
        .with_for_update(key_share=True)
    )
    by_number = {card.card_number: card for card in found}
    if not all(number in by_number for number in card_numbers):
        raise CardNotFound
    return [by_number[number] for number in card_numbers]


async def own_cards(tx: Tx, user_id: UUID, card_numbers: Sequence[str]) -> list[TransportCard]:
    """Lock cards of a person, as `_locked_cards`.

    Raises:
        CardNotFound: one of them does not exist.
        CardOfAnother: one of them is another person's.
    """
    cards = await _locked_cards(tx, card_numbers)
    if any(card.user_id != user_id for card in cards):
        raise CardOfAnother
    return cards


async def recharge(tx: Tx, user_id: UUID, card_number: str, amount: int, *, actor: Actor) -> int:
    """Recharge a person's active card with centavos and return its balance; unpaid rides are paid first.

    The caller is responsible for the payment, unless none is needed (`RECHARGE_WITHOUT_PAYMENT`).

    Raises:
        CardNotFound, CardOfAnother: as `own_cards`.
        CardNotActive: it is blocked or cancelled.
    """
    (card,) = await own_cards(tx, user_id, [card_number])
    _require_active(card)
    book = await _post_recharge(tx, card, TOP_UP, amount, Act(actor))
    return book.account(card.account_id).balance


@dataclass(frozen=True, slots=True)
class CashRecharge:
    """A recharge that was paid in cash at a counter."""

    card_number: str
    amount: int
    entry_id: UUID


async def recharge_for_cash(tx: Tx, card_number: str, amount: int, act: Act) -> CashRecharge:
    """Recharge anybody's active card for cash at a counter; unpaid rides are paid first.

    Raises:
        CardNotFound: there is no such card.
        CardNotActive: it is blocked or cancelled.
        MustWait, DailyCeilingReached: it exceeds the operator's limit.
    """
    (card,) = await _locked_cards(tx, [card_number])
    _require_active(card)
    summary = f"Recarregar {format_brl(amount)} em dinheiro no cartão de final {card_number[-4:]}"
    await act.weigh(tx, amount=amount, summary=summary, gains=Gains.of(card.user_id))
    book = await _post_recharge(tx, card, CASH, amount, act)
    entry_id = book.entries[0].id
    await audit.record(
        tx,
        RECHARGED_FOR_CASH,
        actor=act.actor,
        approved_by=act.approved_by,
        subject=card.user_id,
        entry=entry_id,
        card_id=str(card.id),
        amount=amount,
    )
    return CashRecharge(card_number, amount, entry_id)


async def _post_recharge(tx: Tx, card: TransportCard, source: UUID, amount: int, act: Act) -> ledger.Book:
    book = await ledger.lock(tx, [card.account_id])
    entry = ledger.transfer("transit.recharge", source=source, target=card.account_id, amount=amount, key=act.key)
    book.post(entry)
    await _pay_debts(tx, book, card)
    await ledger.write(tx, book, actor=act.actor, approved_by=act.approved_by)
    await _emit(tx, "transit.recharged", card, amount=amount, entry_id=str(entry.id))
    count("recharge", amount)
    return book


async def card_to_recharge(tx: Tx, user_id: UUID, card_number: str) -> UUID:
    """Return the id of a person's card that a payment may recharge.

    Raises:
        CardNotFound, CardOfAnother: as `own_cards`.
        CardNotActive: it is blocked or cancelled.
    """
    (card,) = await own_cards(tx, user_id, [card_number])
    _require_active(card)
    return card.id


async def recharge_paid(tx: Tx, card_id: UUID, amount: int, *, source: UUID, act: Act) -> UUID:
    """Recharge a card with a payment from a system account, pay unpaid rides, and return the entry's id.

    Raises:
        CardNotFound: there is no such card.
        CardNotActive: it is blocked or cancelled by now.
    """
    card = await tx.get(TransportCard, card_id, with_for_update={"key_share": True}, populate_existing=True)
    if card is None:
        raise CardNotFound
    _require_active(card)
    book = await _post_recharge(tx, card, source, amount, act)
    return book.entries[0].id


async def return_recharge(tx: Tx, card_id: UUID, amount: int, *, target: UUID, act: Act) -> UUID:
    """Debit a returned recharge from a card, whatever its state, and return the entry's id.

    Raises:
        CardNotFound: there is no such card.
        RechargeSpent: its balance does not cover it.
    """
    card = await tx.get(TransportCard, card_id, with_for_update={"key_share": True}, populate_existing=True)
    if card is None:
        raise CardNotFound
    entry = ledger.transfer(
        "transit.payment_returned", source=card.account_id, target=target, amount=amount, key=act.key
    )
    try:
        await ledger.post(tx, entry, actor=act.actor, approved_by=act.approved_by)
    except ledger.InsufficientFunds as error:
        raise RechargeSpent from error
    if card.user_id is not None:
        await _emit(tx, "transit.reversed", card, amount=-amount, entry_id=str(entry.id))
    return entry.id


async def returnable_balance(tx: Tx, card_id: UUID) -> int:
    """Lock a card and return the centavos that can be debited for a return; 0: there is no such card."""
    card = await tx.get(TransportCard, card_id, with_for_update={"key_share": True}, populate_existing=True)
    if card is None:
        return 0
    return (await ledger.lock(tx, [card.account_id])).account(card.account_id).available


async def holder_of(tx: Tx, card_id: UUID) -> UUID | None:
    """Return a card's holder; None: it has none."""
    return await tx.scalar(select(TransportCard.user_id).where(TransportCard.id == card_id))


async def debit(tx: Tx, user_id: UUID, card_number: str, amount: int, *, actor: Actor) -> int:
    """Debit centavos from a person's active card and return its balance.

    Raises:
        CardNotFound, CardOfAnother: as `own_cards`.
        CardNotActive: it is blocked or cancelled.
        InsufficientBalance: it does not cover the amount.
    """
    (card,) = await own_cards(tx, user_id, [card_number])
    _require_active(card)
    book = await ledger.lock(tx, [card.account_id])
    entry = ledger.transfer("transit.debit", source=card.account_id, target=FARE_BOX, amount=amount)
    try:
        book.post(entry)
    except ledger.InsufficientFunds as error:
        metrics.refusals.inc()
        raise InsufficientBalance from error
    await ledger.write(tx, book, actor=actor)
    await _emit(tx, "transit.debited", card, amount=amount, entry_id=str(entry.id))
    count("debit", amount)
    return book.account(card.account_id).balance


def _require_active(card: TransportCard) -> None:
    if card.status != "active":
        raise CardNotActive


async def _pay_debts(tx: Tx, book: ledger.Book, card: TransportCard) -> None:
    """Pay the person's outstanding rides, the oldest first, from the card's balance."""
    available = book.account(card.account_id).available
    debts = await tx.scalars(
        select(Tap)
        .where(Tap.user_id == card.user_id, Tap.outstanding > 0)
        .order_by(Tap.tapped_at, Tap.id)
        .with_for_update()
    )
    paid = 0
    for debt in debts:
        part = min(debt.outstanding, available - paid)
        debt.outstanding -= part
        paid += part
        if paid == available:
            break
    if paid:
        entry = ledger.transfer("transit.debt_payment", source=card.account_id, target=RECEIVABLE, amount=paid)
        book.post(entry)
        await emit_paid(tx, [(card.user_id, card.id, entry.id, paid)])


async def cancel(tx: Tx, user_id: UUID, card_number: str, *, actor: Actor, move_balance_to: str | None = None) -> Card:
    """Cancel a card for good and, if asked, move its balance to another active card of the same person.

    For a card that is cancelled already, its balance is moved to the target.

    Raises:
        CardNotFound, CardOfAnother: as `own_cards`, for both cards.
        SameCard: the target is the card itself.
        CardNotActive: the target is blocked or cancelled.
        CardCancelled: it is cancelled already and no target was named.
    """
    if move_balance_to == card_number:
        raise SameCard
    named = [card_number] if move_balance_to is None else [card_number, move_balance_to]
    card, *targets = await own_cards(tx, user_id, named)
    for target in targets:
        _require_active(target)
    if card.status == "cancelled":
        if not targets:
            raise CardCancelled
    else:
        card.status, card.cancelled_at = "cancelled", clock.now()
        await tx.flush()
        await _emit(tx, "transit.card_cancelled", card)
        metrics.movements.add("cancel")
    book = await ledger.lock(tx, [owned.account_id for owned in (card, *targets)])
    moving = book.account(card.account_id).available
    for target in targets:
        if moving:
            book.post(
                ledger.transfer("transit.transfer", source=card.account_id, target=target.account_id, amount=moving)
            )
            await _pay_debts(tx, book, target)
            await ledger.write(tx, book, actor=actor)
            count("transfer", moving)
    return view(card, book.account(card.account_id).balance)


async def block(tx: Tx, user_id: UUID, card_number: str) -> Card:
    """Block a lost card against recharges and debits. Repeating it changes nothing.

    Raises:
        CardNotFound, CardOfAnother: as `own_cards`.
        CardCancelled: it is cancelled.
    """
    (card,) = await own_cards(tx, user_id, [card_number])
    if card.status == "cancelled":
        raise CardCancelled
    if card.status == "active":
        card.status = "blocked"
        tx.add(CardBlock(card_id=card.id, blocked_at=clock.now()))
        await tx.flush()
        await _emit(tx, "transit.card_blocked", card)
    return await _with_balance(tx, card)


async def unblock(tx: Tx, user_id: UUID, card_number: str) -> Card:
    """Unblock a card that was found. Repeating it changes nothing.

    Raises:
        CardNotFound, CardOfAnother: as `own_cards`.
        CardCancelled: it is cancelled.
    """
    (card,) = await own_cards(tx, user_id, [card_number])
    if card.status == "cancelled":
        raise CardCancelled
    if card.status == "blocked":
        card.status = "active"
        await tx.execute(
            update(CardBlock)
            .where(CardBlock.card_id == card.id, CardBlock.unblocked_at.is_(None))
            .values(unblocked_at=clock.now())
        )
        await tx.flush()
        await _emit(tx, "transit.card_unblocked", card)
    return await _with_balance(tx, card)


async def _with_balance(tx: Tx, card: TransportCard) -> Card:
    return view(card, (await ledger.account(tx, card.account_id)).balance)


RIDE_PAID = "transit.ride_paid"
Payment = tuple[UUID | None, UUID, UUID, int]
"""Rides paid from a card's balance: its person, the card, the entry, and how many centavos."""


async def emit_paid(tx: Tx, payments: Iterable[Payment]) -> None:
    """Emit events of rides paid from cards' balances."""
    await outbox.emit(tx, RIDE_PAID, *events_of_paid(payments))


def events_of_paid(payments: Iterable[Payment]) -> list[dict[str, Any]]:
    """Return the payloads of `RIDE_PAID`; none for erased people."""
    return [
        event_of(user_id, card_id, amount=amount, entry_id=str(entry_id))
        for user_id, card_id, entry_id, amount in payments
        if user_id
    ]


async def emit_reversed(tx: Tx, reversal: ledger.NewEntry) -> None:
    """Emit the event of the reversal of a recharge, a debit or a tap; its amount is negative if the card loses it.

    Raises:
        RechargePaid: it was paid, and is undone by returning the payment.
    """
    for account_id, amount in reversal.postings:
        if account_id in _OPERATORS:
            continue
        holder_id = (await ledger.account(tx, account_id)).holder_id
        if holder_id is None:
            raise RechargePaid
        card = await tx.get_one(TransportCard, holder_id)
        if card.user_id is not None:
            await _emit(tx, "transit.reversed", card, amount=amount, entry_id=str(reversal.id))


async def _emit(tx: Tx, topic: str, card: TransportCard, **more: Any) -> None:  # noqa: ANN401 - any JSON
    await outbox.emit(tx, topic, _payload(card, **more))


def _payload(card: TransportCard, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return event_of(card.user_id, card.id, **more)


def event_of(user_id: UUID | None, card_id: UUID | None, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Return the payload of an event of a person's card."""
    return {"user_id": str(user_id), "card_id": str(card_id), "at": clock.now().isoformat(), **more}


def count(kind: str, amount: int) -> None:
    """Count a movement that somebody asked for on a card of theirs."""
    metrics.movements.add(kind)
    metrics.moved_centavos.add(kind, amount=amount)


async def _cards_of_person(tx: Tx, user_id: UUID) -> Sequence[TransportCard]:
    await _serialise_issues(tx, user_id)
    cards = await tx.scalars(
        select(TransportCard)
        .where(TransportCard.user_id == user_id)
        .order_by(TransportCard.id)
        .with_for_update(key_share=True)
    )
    return cards.all()


async def refuse_erasure(tx: Tx, user_id: UUID) -> None:
    """Lock a person's cards and their accounts.

    Raises:
        BalanceRemains: a card has a balance or a hold.
    """
    cards = await _cards_of_person(tx, user_id)
    book = await ledger.lock(tx, [card.account_id for card in cards])
    if any(account.balance or account.held for account in book.accounts.values()):
        raise BalanceRemains


async def erase_person(tx: Tx, user_id: UUID) -> None:
    """Detach a person from their cards and rides; cards are cancelled, movements stay under the cards' ids.

    Debts stay in the books without a debtor (LGPD art. 16, I: the entries are kept by law).
    """
    cards = await _cards_of_person(tx, user_id)
    for card in cards:
        await ledger.assign_owner(tx, holder_id=card.id, owner_id=None)
        card.user_id = None
        if card.status != "cancelled":
            card.status, card.cancelled_at = "cancelled", clock.now()
    await tx.flush()
    await tx.execute(
        update(Tap).where(Tap.card_id.in_([card.id for card in cards])).values(user_id=None, line=None, vehicle=None)
    )
