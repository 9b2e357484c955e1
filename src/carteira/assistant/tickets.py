"""Tickets: a person's request to the staff, and the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from carteira import identity
from carteira.assistant.errors import OwnTicket, TicketAnswered, TicketNotFound
from carteira.assistant.models import ChatbotTicket
from carteira.kit.db.keyset import keyset
from carteira.kit.db.session import Tx, locked
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.web.access import Principal

LEAST, MOST = 3, 2000
"""Characters of a ticket's message."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as others see it."""

    id: UUID
    number: int
    user_id: UUID
    message: str
    answer: str | None
    created_at: datetime
    answered_at: datetime | None


def _view(row: ChatbotTicket) -> Ticket:
    return Ticket(row.id, row.number, row.user_id, row.message, row.answer, row.created_at, row.answered_at)


async def latest(tx: Tx, user_id: UUID) -> Ticket | None:
    """Return a person's newest ticket."""
    row = await tx.scalar(
        select(ChatbotTicket).where(ChatbotTicket.user_id == user_id).order_by(ChatbotTicket.id.desc()).limit(1)
    )
    return None if row is None else _view(row)


async def open_ticket(tx: Tx, user_id: UUID, message: str) -> Ticket:
    """Open a ticket; the caller has locked the person's conversation, so that one is open at a time."""
    row = ChatbotTicket(id=uuid7(), user_id=user_id, message=message[:MOST], created_at=clock.now())
    tx.add(row)
    await tx.flush()
    await tx.refresh(row)
    return _view(row)


async def listed(
    tx: Tx, *, is_open: bool | None, limit: int, after: UUID | None, turned: bool = False
) -> Sequence[Ticket]:
    """List tickets, the longest waiting first."""
    query = select(ChatbotTicket)
    if is_open is not None:
        query = query.where(ChatbotTicket.answer.is_(None) if is_open else ChatbotTicket.answer.is_not(None))
    query = keyset(query, ChatbotTicket.id, after=after, limit=limit, turned=turned)
    return [_view(row) for row in await tx.scalars(query)]


async def ticket_and_author(tx: Tx, ticket_id: UUID) -> tuple[Ticket, UUID | None]:
    """Return a ticket and who answered it.

    Raises:
        TicketNotFound: there is none.
    """
    row = await tx.get(ChatbotTicket, ticket_id)
    if row is None:
        raise TicketNotFound
    return _view(row), row.answered_by


async def answer(tx: Tx, who: Principal, ticket_id: UUID, text: str) -> Ticket:
    """Answer a ticket, once.

    Raises:
        TicketNotFound: there is none.
        OwnTicket: the ticket is the operator's own; or a client answers, and the person can act as the client.
        TicketAnswered: it is answered already.
    """
    row = await locked(tx, ChatbotTicket, ticket_id)
    if row is None:
        raise TicketNotFound
    if await identity.is_own(tx, who, row.user_id):
        raise OwnTicket
    if row.answer is not None:
        raise TicketAnswered
    row.answer, row.answered_by, row.answered_at = text, who.id, clock.now()
    await tx.flush()
    await audit.record(tx, "assistant_ticket_answered", subject=row.user_id, ticket_id=str(ticket_id))
    return _view(row)
