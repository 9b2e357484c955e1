"""The assistant for the console: tickets and their answers, unanswered questions, topics."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, func, literal_column, select

from carteira.assistant import intents, knowledge, tickets, unanswered
from carteira.assistant.conversation import Assistant
from carteira.assistant.errors import TicketAnswered, TopicNotFound
from carteira.assistant.knowledge import TOPICS, Content, Topic, put
from carteira.assistant.models import ChatbotTicket, ChatbotUnanswered
from carteira.assistant.pages import PAGES
from carteira.assistant.schemas import Line, TopicIn, TopicVersionOut
from carteira.assistant.schemas import UnansweredOut as Question
from carteira.assistant.tickets import Ticket, answer
from carteira.assistant.unanswered import dismiss
from carteira.assistant.understanding import meaning
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.web.pagination import Page, PageRequest

__all__ = [
    "ACTIONS",
    "PAGES",
    "TOPICS",
    "Content",
    "Line",
    "Question",
    "QuestionGroup",
    "Ticket",
    "TicketAnswered",
    "Topic",
    "TopicIn",
    "TopicNotFound",
    "TopicVersionOut",
    "TriedOut",
    "answer",
    "count_open",
    "dismiss",
    "listed",
    "put_topic",
    "question_groups",
    "questions",
    "ticket",
    "topic",
    "topics",
    "try_out",
    "versions",
]

ACTIONS = {name: intent.title for name, intent in intents.ALL.items()}
"""The acts that an answer may offer, by name, with their titles in the menu."""
put_topic = put
_GROUPED, _GROUPS = 5_000, 8


def count_open(operator: UUID) -> Select[int]:
    """Return the query that counts the tickets that nobody has answered, except the operator's own."""
    return select(func.count()).where(ChatbotTicket.answer.is_(None), ChatbotTicket.user_id != operator)


async def listed(tx: Tx, *, is_open: bool | None, asked: PageRequest[UUID]) -> Page[Ticket]:
    """List tickets, the longest waiting first; each look at a person is recorded."""
    rows = await tickets.listed(tx, is_open=is_open, limit=asked.limit + 1, after=asked.after, turned=asked.turned)
    page = asked.page(rows, lambda row: row.id)
    await audit.record_looks(tx, "assistant_tickets_listed", [row.user_id for row in page.items])
    return page


async def ticket(tx: Tx, ticket_id: UUID) -> tuple[Ticket, UUID | None]:
    """Return a ticket and who answered it; the look at its person is recorded.

    Raises:
        TicketNotFound: there is none.
    """
    found, answered_by = await tickets.ticket_and_author(tx, ticket_id)
    await audit.record_looks(tx, "assistant_tickets_listed", [found.user_id])
    return found, answered_by


async def questions(tx: Tx, near: str | None, asked: PageRequest[UUID]) -> Page[Question]:
    """List unanswered questions, newest first, without their people; near a topic, if one is named."""
    rows = await unanswered.listed(tx, limit=asked.limit + 1, before=asked.after, near=near, turned=asked.turned)
    return asked.page(rows, lambda row: row.id).map(Question.model_validate)


@dataclass(frozen=True, slots=True)
class QuestionGroup:
    """Questions that came nearest to the same topic: how many, since when, and the newest of them."""

    near: str
    count: int
    newest_at: datetime


async def question_groups(tx: Tx) -> list[QuestionGroup]:
    """Group the newest unanswered questions by the topic that came nearest, the largest group first."""
    newest = (
        select(ChatbotUnanswered.asked_at, literal_column("nearest[1]").label("near"))
        .order_by(ChatbotUnanswered.id.desc())
        .limit(_GROUPED)
        .subquery()
    )
    many = func.count().label("many")
    query = (
        select(newest.c.near, many, func.max(newest.c.asked_at))
        .where(newest.c.near.is_not(None))
        .group_by(newest.c.near)
        .having(func.count() > 1)
        .order_by(many.desc(), newest.c.near)
        .limit(_GROUPS)
    )
    return [QuestionGroup(*row) for row in await tx.execute(query)]


async def topics(tx: Tx, words: str | None, asked: PageRequest[str]) -> Page[Topic]:
    """List topics by slug; words are searched for by their stems."""
    rows = await knowledge.known_topics(tx, query=words, limit=asked.limit + 1, after=asked.after, turned=asked.turned)
    return asked.page(rows, lambda row: row.slug)


async def topic(tx: Tx, slug: str) -> Topic:
    """Return a topic.

    Raises:
        TopicNotFound: there is none.
    """
    return await knowledge.known_topic(tx, slug)


async def versions(tx: Tx, slug: str) -> list[TopicVersionOut]:
    """Return a topic's versions, newest first."""
    return [TopicVersionOut.model_validate(row) for row in await knowledge.known_versions(tx, slug)]


@dataclass(frozen=True, slots=True)
class TriedOut:
    """The result of a try-out: the question's kind, the answer or act, and the nearest topics."""

    kind: str
    title: str
    answer: str
    nearest: Sequence[str]


async def try_out(assistant: Assistant, database: Database, question: str) -> TriedOut:
    """Return how the assistant would understand a question now; no conversation changes, nothing is stored."""
    await assistant.model_cache.ready(database)
    async with database.transaction() as tx:
        model = await assistant.model_cache.model(tx)
        await audit.record(tx, "assistant_tried_out")
    meant = await asyncio.to_thread(meaning, model, question)
    found = model.topics.get(meant.name)
    if meant.kind == "answer" and found is not None:
        return TriedOut(meant.kind, found.title, found.answer, meant.nearest)
    title = ACTIONS.get(meant.name) or meant.name
    return TriedOut(meant.kind, title, "", meant.nearest)
