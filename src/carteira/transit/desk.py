"""Transit for the console: taps that wait for an operator, riders' debts, and lost cards."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Select, select

from carteira import identity, ledger
from carteira.kit.db.keyset import keyset
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.security.approvals import OwnOperation
from carteira.kit.values.days import Instant
from carteira.kit.web.access import Principal
from carteira.kit.web.pagination import CursorOf, Page, PageRequest
from carteira.transit import service, waiting
from carteira.transit.errors import CardNotFound, TapNotFound
from carteira.transit.models import Tap, TransportCard
from carteira.transit.queries import known_cards
from carteira.transit.waiting import WaitingTap, charge, dismiss

__all__ = [
    "DEBTS",
    "CardSeen",
    "DebtSeen",
    "WaitingTap",
    "block_lost",
    "card",
    "cards",
    "charge",
    "debts",
    "dismiss",
    "known_cards",
    "taps",
    "unblock_found",
    "waiting_tap",
]


class DebtPlace(NamedTuple):
    """The sort key of riders' debts: the person, then the oldest first, as a recharge pays them."""

    user_id: UUID
    tapped_at: Instant
    id: UUID


DEBTS = CursorOf(DebtPlace)


@dataclass(frozen=True, slots=True)
class DebtSeen:
    """An unpaid ride and its person; amounts in centavos."""

    id: UUID
    user_id: UUID
    card_number: str
    amount: int
    outstanding: int
    tapped_at: datetime
    line: str | None


@dataclass(frozen=True, slots=True)
class CardSeen:
    """A card as an operator sees it; the balance in centavos."""

    id: UUID
    user_id: UUID | None
    card_number: str
    status: Literal["active", "blocked", "cancelled"]
    balance: int
    created_at: datetime


async def taps(tx: Tx, asked: PageRequest[UUID]) -> Page[WaitingTap]:
    """List waiting taps, the oldest first; looks at people are recorded."""
    found = await waiting.listed(tx, limit=asked.limit + 1, after=asked.after, turned=asked.turned)
    page = asked.page(found, lambda tap: tap.id)
    await audit.record_looks(tx, "waiting_taps_listed", waiting.people_of(page.items))
    return page


async def waiting_tap(tx: Tx, tap_id: UUID) -> WaitingTap:
    """Return a waiting tap.

    Raises:
        TapNotFound: there is none, or it does not wait.
    """
    before = UUID(int=tap_id.int - 1) if tap_id.int else tap_id
    page = await taps(tx, PageRequest(1, before))
    if not page.items or page.items[0].id != tap_id:
        raise TapNotFound
    return page.items[0]


async def debts(tx: Tx, asked: PageRequest[DebtPlace], user_id: UUID | None = None) -> Page[DebtSeen]:
    """List unpaid rides, person by person, or a person's; looks at people are recorded."""
    place = (Tap.user_id, Tap.tapped_at, Tap.id)
    query = (
        select(Tap.id, Tap.user_id, TransportCard.card_number, Tap.amount, Tap.outstanding, Tap.tapped_at, Tap.line)
        .join(TransportCard, TransportCard.id == Tap.card_id)
        .where(Tap.outstanding > 0, Tap.user_id.is_not(None) if user_id is None else Tap.user_id == user_id)
    )
    query = keyset(query, *place, after=asked.after, limit=asked.limit + 1, turned=asked.turned)
    found = [DebtSeen(*row) for row in await tx.execute(query)]  # type: ignore[arg-type] # each has a rider
    page = asked.page(found, lambda row: DebtPlace(row.user_id, row.tapped_at, row.id))
    await audit.record_looks(tx, "ride_debts_listed", [row.user_id for row in page.items])
    return page


def _cards() -> Select[*tuple[Any, ...]]:
    return select(
        TransportCard.id,
        TransportCard.user_id,
        TransportCard.card_number,
        TransportCard.status,
        ledger.BALANCES.c.balance,
        TransportCard.created_at,
    ).join(ledger.BALANCES, ledger.BALANCES.c.id == TransportCard.account_id)


async def cards(
    tx: Tx, asked: PageRequest[UUID], *, number: str | None = None, user_id: UUID | None = None
) -> Page[CardSeen]:
    """List a person's cards, or the one of a number, or else blocked ones; looks at holders are recorded."""
    query = _cards()
    if number is not None:
        query = query.where(TransportCard.card_number == number)
    elif user_id is not None:
        query = query.where(TransportCard.user_id == user_id)
    else:
        query = query.where(TransportCard.status == "blocked")
    query = keyset(query, TransportCard.id, after=asked.after, limit=asked.limit + 1, turned=asked.turned)
    page = asked.page([CardSeen(*row) for row in await tx.execute(query)], lambda row: row.id)
    await audit.record_looks(tx, "transport_cards_listed", [row.user_id for row in page.items])
    return page


async def card(tx: Tx, card_id: UUID) -> CardSeen:
    """Return a card; the look at its person is recorded.

    Raises:
        CardNotFound: there is none.
    """
    row = (await tx.execute(_cards().where(TransportCard.id == card_id))).one_or_none()
    if row is None:
        raise CardNotFound
    found = CardSeen(*row)
    await audit.record_looks(tx, "transport_cards_listed", [found.user_id])
    return found


async def block_lost(tx: Tx, who: Principal, card_id: UUID) -> None:
    """Block a card that its holder reports as lost.

    Raises:
        CardNotFound, CardCancelled.
        OwnOperation: it is the operator's own.
    """
    holder_id, number = await _holder(tx, who, card_id)
    await service.block(tx, holder_id, number)
    await audit.record(tx, "transport_card_blocked", actor=who.actor, subject=holder_id, card=str(card_id))


async def unblock_found(tx: Tx, who: Principal, card_id: UUID) -> None:
    """Unblock a card that was found.

    Raises:
        CardNotFound, CardCancelled.
        OwnOperation: it is the operator's own.
    """
    holder_id, number = await _holder(tx, who, card_id)
    await service.unblock(tx, holder_id, number)
    await audit.record(tx, "transport_card_unblocked", actor=who.actor, subject=holder_id, card=str(card_id))


async def _holder(tx: Tx, who: Principal, card_id: UUID) -> tuple[UUID, str]:
    """Return a card's holder and number."""
    query = select(TransportCard.user_id, TransportCard.card_number).where(TransportCard.id == card_id)
    row = (await tx.execute(query)).one_or_none()
    if row is None or row.user_id is None:
        raise CardNotFound
    if await identity.is_own(tx, who, row.user_id):
        raise OwnOperation
    return row.user_id, row.card_number
