"""What the console asks of the assistant: tickets and their answers, questions that it could not answer, topics."""

from uuid import UUID

from sqlalchemy import func, select

from carteira.assistant import tickets, unanswered
from carteira.assistant.errors import TicketAnswered
from carteira.assistant.models import ChatbotTicket
from carteira.assistant.schemas import UnansweredOut as Question
from carteira.assistant.tickets import Ticket, answer
from carteira.assistant.unanswered import dismiss
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.web.pagination import Page, PageRequest

__all__ = ["Question", "Ticket", "TicketAnswered", "answer", "count_open", "dismiss", "listed", "questions", "ticket"]


async def count_open(tx: Tx) -> int:
    """Count the tickets that nobody has answered."""
    return await tx.scalar(select(func.count()).where(ChatbotTicket.answer.is_(None))) or 0


async def listed(tx: Tx, *, is_open: bool | None, asked: PageRequest[UUID]) -> Page[Ticket]:
    """List tickets in the order in which people wait; each of them is looked at."""
    rows = await tickets.listed(tx, is_open=is_open, limit=asked.limit + 1, after=asked.after)
    page = asked.page(rows, lambda row: row.id)
    await audit.record_looks(tx, "assistant_tickets_listed", [row.user_id for row in page.items])
    return page


async def ticket(tx: Tx, ticket_id: UUID) -> tuple[Ticket, UUID | None]:
    """Give a ticket and who answered it; its person is looked at.

    Raises:
        TicketNotFound: there is none.
    """
    found, answered_by = await tickets.whole(tx, ticket_id)
    await audit.record_looks(tx, "assistant_tickets_listed", [found.user_id])
    return found, answered_by


async def questions(tx: Tx, asked: PageRequest[UUID]) -> Page[Question]:
    """List what the assistant could not answer, newest first, without whose it was."""
    rows = await unanswered.listed(tx, limit=asked.limit + 1, before=asked.after)
    return asked.page(rows, lambda row: row.id).map(Question.model_validate)
