"""Unanswered questions, scrubbed and without their person, which show operators what is missing."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, select

from carteira.assistant.errors import QuestionNotFound
from carteira.assistant.models import ChatbotUnanswered
from carteira.assistant.text import anonymous
from carteira.kit.db.batches import delete_batch
from carteira.kit.db.keyset import keyset
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7


async def store(tx: Tx, question: str, nearest: Sequence[str]) -> None:
    """Store a question, with the titles of the nearest topics."""
    tx.add(ChatbotUnanswered(id=uuid7(), question=anonymous(question), nearest=list(nearest), asked_at=clock.now()))
    await tx.flush()


async def listed(
    tx: Tx, *, limit: int, before: UUID | None, near: str | None = None, turned: bool = False
) -> Sequence[ChatbotUnanswered]:
    """List unanswered questions, newest first; those that came nearest to a topic, if its title is given."""
    query = select(ChatbotUnanswered)
    if near is not None:
        query = query.where(ChatbotUnanswered.nearest[1] == near)
    query = keyset(query, ChatbotUnanswered.id, after=before, limit=limit, newest_first=True, turned=turned)
    return (await tx.scalars(query)).all()


async def dismiss(tx: Tx, question_id: UUID) -> None:
    """Delete a question, once its answer is written or it needs none.

    Raises:
        QuestionNotFound: there is none.
    """
    gone = await tx.scalar(
        delete(ChatbotUnanswered).where(ChatbotUnanswered.id == question_id).returning(ChatbotUnanswered.id)
    )
    if gone is None:
        raise QuestionNotFound
    await audit.record(tx, "assistant_question_dismissed", question_id=str(question_id))


async def forget_old(tx: Tx, *, days: int) -> int:
    """Delete some questions that are older than so many days; return how many. A job calls it."""
    before = clock.now() - timedelta(days=days)
    return await delete_batch(tx, ChatbotUnanswered, ChatbotUnanswered.asked_at < before)
