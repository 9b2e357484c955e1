"""Transit's reads: one's own cards, a balance, a history, debts, and cards that validators deny."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, case, exists, select, true, tuple_
from sqlalchemy.sql.functions import sum as sum_

from carteira import ledger
from carteira.kit.db.reads import Query, Reads, first, rows
from carteira.kit.db.session import Tx
from carteira.kit.values.card_number import is_card_number
from carteira.kit.values.days import Instant
from carteira.kit.web.pagination import CursorOf
from carteira.transit import service
from carteira.transit.errors import CardNotFound, CardOfAnother
from carteira.transit.models import Tap, TransportCard
from carteira.transit.service import Card

_TYPES = {
    "transit.recharge": "recharge",
    "transit.debit": "debit",
    "transit.tap": "debit",
    "transit.debt_payment": "debit",
    "transit.transfer": "transfer",
}


@dataclass(frozen=True, slots=True)
class CardMovement:
    """One line of a card's history; amounts in centavos, always positive."""

    id: UUID
    type: str
    amount: int
    direction: str
    balance_after: int | None
    created_at: datetime
    key: ledger.LineKey


class DebtKey(NamedTuple):
    """The sort key of debts."""

    tapped_at: Instant
    id: UUID


DEBTS = CursorOf(DebtKey, at=lambda instant: DebtKey(instant, UUID(int=0)))


@dataclass(frozen=True, slots=True)
class RideDebt:
    """A ride that is not fully paid yet; amounts in centavos."""

    id: UUID
    card_number: str
    amount: int
    outstanding: int
    tapped_at: datetime
    line: str | None
    vehicle: str | None

    @property
    def key(self) -> DebtKey:
        """The debt's sort key."""
        return DebtKey(self.tapped_at, self.id)


@dataclass(frozen=True, slots=True)
class DeniedCard:
    """A card that validators deny, and why."""

    id: UUID
    card_number: str
    reason: str


_CARD = select(TransportCard.user_id, TransportCard.account_id, ledger.BALANCES.c.balance).join(
    ledger.BALANCES, ledger.BALANCES.c.id == TransportCard.account_id
)
_BY_NUMBER = Query(_CARD.where(TransportCard.card_number == bindparam("number")))
_OF_PERSON = Query(
    select(
        TransportCard.id,
        TransportCard.user_id,
        TransportCard.card_number,
        ledger.BALANCES.c.balance,
        TransportCard.status,
    )
    .join(ledger.BALANCES, ledger.BALANCES.c.id == TransportCard.account_id)
    .where(TransportCard.user_id == bindparam("user_id"), TransportCard.id > bindparam("after"))
    .order_by(TransportCard.id)
    .limit(bindparam("limit"))
)
_HISTORY = ledger.statement_of_one("""
    SELECT CASE WHEN user_id = CAST(:user_id AS uuid) THEN account_id END AS account_id,
           user_id = CAST(:user_id AS uuid) AS beside
    FROM transport_cards WHERE card_number = CAST(:number AS text)
""")
_NONE_BEFORE = UUID(int=0)


async def cards(tx: Tx, user_id: UUID, *, limit: int = 1000, after: UUID | None = None) -> list[Card]:
    """Return a person's cards, oldest first; the first read creates the card of their registration."""
    await service.ensure_first_card(tx, user_id)
    return await known_cards(tx, user_id, limit=limit, after=after)


async def known_cards(via: Tx | Reads, user_id: UUID, *, limit: int = 1000, after: UUID | None = None) -> list[Card]:
    """Return a person's cards, oldest first; empty before the first read or issue."""
    found = await rows(via, _OF_PERSON, user_id=user_id, after=after or _NONE_BEFORE, limit=limit)
    return [Card(*row) for row in found]


async def _own(via: Tx | Reads, user_id: UUID, card_number: str) -> tuple[UUID, int]:
    """Return a person's card's account and balance, without a lock.

    Raises:
        CardNotFound: there is no such card.
        CardOfAnother: it is another person's.
    """
    card = await first(via, _BY_NUMBER, number=card_number) if is_card_number(card_number) else None
    if card is None:
        raise CardNotFound
    holder_id, account_id, balance = card
    if holder_id != user_id:
        raise CardOfAnother
    return account_id, balance


async def balance(via: Tx | Reads, user_id: UUID, card_number: str) -> int:
    """Return the balance of a person's card in centavos.

    Raises:
        CardNotFound: there is no such card.
        CardOfAnother: it is another person's.
    """
    _, centavos = await _own(via, user_id, card_number)
    return centavos


async def history(
    via: Tx | Reads, user_id: UUID, card_number: str, *, limit: int, before: ledger.LineKey | None = None
) -> list[CardMovement]:
    """Return up to `limit` movements of a person's card, newest first; `before` is the key of the last one seen.

    Raises:
        CardNotFound: there is no such card.
        CardOfAnother: it is another person's.
    """
    of_card = (
        await ledger.lines_beside(via, _HISTORY, limit=limit, before=before, number=card_number, user_id=user_id)
        if is_card_number(card_number)
        else None
    )
    if of_card is None:
        raise CardNotFound
    is_own, lines = of_card
    if not is_own:
        raise CardOfAnother
    return [
        CardMovement(
            line.entry_id,
            _TYPES.get(line.kind, "reversal"),
            abs(line.amount),
            "in" if line.amount > 0 else "out",
            line.balance_after,
            line.posted_at,
            line.key,
        )
        for line in lines
    ]


async def debt_total(tx: Tx, user_id: UUID) -> int:
    """Return a person's debt for rides, in centavos."""
    return int(await tx.scalar(select(sum_(Tap.outstanding)).where(Tap.user_id == user_id, Tap.outstanding > 0)) or 0)


async def balance_and_debt(tx: Tx, card_number: str) -> tuple[int, int]:
    """Return anybody's card's balance, and what its holder owes for rides, in centavos.

    Raises:
        CardNotFound: there is no such card.
    """
    card = await first(tx, _BY_NUMBER, number=card_number) if is_card_number(card_number) else None
    if card is None:
        raise CardNotFound
    holder_id, _, balance = card
    return balance, 0 if holder_id is None else await debt_total(tx, holder_id)


async def debts(tx: Tx, user_id: UUID, *, limit: int, after: DebtKey | None = None) -> tuple[int, list[RideDebt]]:
    """Return a person's total debt in centavos, and its rides, the oldest first, as a recharge pays them.

    Up to `limit` rides that follow `after` are returned.
    """
    owed = (Tap.user_id == user_id, Tap.outstanding > 0)
    query = (
        select(Tap.id, TransportCard.card_number, Tap.amount, Tap.outstanding, Tap.tapped_at, Tap.line, Tap.vehicle)
        .join(TransportCard, TransportCard.id == Tap.card_id)
        .where(*owed)
        .order_by(Tap.tapped_at, Tap.id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(Tap.tapped_at, Tap.id) > after)
    total, page = select(sum_(Tap.outstanding).label("total")).where(*owed).subquery(), query.subquery()
    both = select(total, page).select_from(total.outerjoin(page, true())).order_by(page.c.tapped_at, page.c.id)
    rows = (await tx.execute(both)).all()
    return int(rows[0][0] or 0), [RideDebt(*row[1:]) for row in rows if row[1] is not None]


@dataclass(frozen=True, slots=True)
class Ride:
    """A recorded ride and its outcome; amounts in centavos."""

    id: UUID
    entry_id: UUID | None
    fare: int
    paid: int
    tapped_at: datetime
    line: str | None
    denied_for: str | None
    """Why it was denied: `card_blocked` or `card_cancelled`."""


async def rides(tx: Tx, user_id: UUID, card_number: str, *, limit: int) -> list[Ride]:
    """Return the last rides of a person's card, newest first, including denied ones.

    Raises:
        CardNotFound: there is no such card.
        CardOfAnother: it is another person's.
    """
    await _own(tx, user_id, card_number)
    query = (
        select(Tap.id, Tap.entry_id, Tap.amount, Tap.paid, Tap.tapped_at, Tap.line, Tap.reason)
        .join(TransportCard, TransportCard.id == Tap.card_id)
        .where(TransportCard.card_number == card_number, Tap.result != "waiting")
        .order_by(Tap.tapped_at.desc(), Tap.id.desc())
        .limit(limit)
    )
    return [Ride(*row) for row in await tx.execute(query)]


async def denied_cards(tx: Tx, *, limit: int, after: UUID | None = None) -> list[DeniedCard]:
    """Return the cards that validators deny, by id: blocked, cancelled, or with an unpaid ride."""
    owes = exists().where(Tap.user_id == TransportCard.user_id, Tap.card_id == TransportCard.id, Tap.outstanding > 0)
    reason = case(
        (TransportCard.status == "blocked", "card_blocked"),
        (TransportCard.status == "cancelled", "card_cancelled"),
        else_="card_owes",
    )
    query = (
        select(TransportCard.id, TransportCard.card_number, reason)
        .where((TransportCard.status != "active") | owes)
        .order_by(TransportCard.id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(TransportCard.id > after)
    return [DeniedCard(*row) for row in await tx.execute(query)]


async def export_person(tx: Tx, user_id: UUID) -> dict[str, Any]:
    """Return everything that transit holds about a person, JSON-ready (LGPD art. 18, II and V)."""
    exported = []
    rows = await tx.scalars(select(TransportCard).where(TransportCard.user_id == user_id).order_by(TransportCard.id))
    for card in rows.all():
        movements: list[CardMovement] = []
        page = await history(tx, user_id, card.card_number, limit=500)
        while page:
            movements += page
            page = await history(tx, user_id, card.card_number, limit=500, before=page[-1].key)
        exported.append(
            {
                "id": str(card.id),
                "card_number": card.card_number,
                "status": card.status,
                "created_at": card.created_at.isoformat(),
                "balance": movements[0].balance_after if movements else 0,
                "history": [
                    {
                        "id": str(movement.id),
                        "type": movement.type,
                        "amount": movement.amount,
                        "direction": movement.direction,
                        "created_at": movement.created_at.isoformat(),
                    }
                    for movement in movements
                ],
            }
        )
    taps = await tx.scalars(select(Tap).where(Tap.user_id == user_id).order_by(Tap.tapped_at, Tap.id))
    return {
        "cards": exported,
        "rides": [
            {
                "card_id": str(tap.card_id),
                "amount": tap.amount,
                "outstanding": tap.outstanding,
                "tapped_at": tap.tapped_at.isoformat(),
                "line": tap.line,
                "vehicle": tap.vehicle,
                "result": tap.result,
            }
            for tap in taps
        ],
    }
