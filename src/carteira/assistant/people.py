"""The assistant's part of a person's data (LGPD art. 18)."""

from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, update

from carteira.assistant.models import ChatbotState, ChatbotTicket, ChatbotTopicVersion
from carteira.kit.db.session import Tx


async def export_person(tx: Tx, user_id: UUID) -> dict[str, Any]:
    """Return everything that is held about a person here, JSON-ready. Unanswered questions have no person."""
    state = await tx.get(ChatbotState, user_id, populate_existing=True)
    tickets = await tx.scalars(select(ChatbotTicket).where(ChatbotTicket.user_id == user_id).order_by(ChatbotTicket.id))
    return {
        "conversation": None
        if state is None
        else {
            "intent": state.intent,
            "step": state.step,
            "context": state.context,
            "updated_at": state.updated_at.isoformat(),
        },
        "tickets": [
            {
                "number": ticket.number,
                "message": ticket.message,
                "answer": ticket.answer,
                "created_at": ticket.created_at.isoformat(),
                "answered_at": ticket.answered_at.isoformat() if ticket.answered_at else None,
            }
            for ticket in tickets
        ],
    }


async def erase_person(tx: Tx, user_id: UUID) -> None:
    """Erase a person's conversation and tickets; texts that they wrote as an operator stay, without an author."""
    await tx.execute(delete(ChatbotState).where(ChatbotState.user_id == user_id))
    await tx.execute(delete(ChatbotTicket).where(ChatbotTicket.user_id == user_id))
    await tx.execute(update(ChatbotTopicVersion).where(ChatbotTopicVersion.author_id == user_id).values(author_id=None))
    await tx.execute(update(ChatbotTicket).where(ChatbotTicket.answered_by == user_id).values(answered_by=None))
