"""The assistant's tables: conversations' states, the knowledge, unanswered questions, and tickets."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, CheckConstraint, ForeignKey, Identity, Index, Integer, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import INSTANT, Base

KINDS = "kind IN ('faq', 'intent', 'outside')"


class ChatbotState(Base):
    """The state of a person's conversation; no intent means the menu. `context` is cleared when an intent ends."""

    __tablename__ = "chatbot_states"
    __table_args__ = (
        CheckConstraint("(intent IS NULL) = (step IS NULL)", name="step"),
        Index("ix_chatbot_states_updated_at", "updated_at", postgresql_where="intent IS NOT NULL"),
    )

    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    intent: Mapped[str | None] = mapped_column(Text)
    step: Mapped[str | None] = mapped_column(Text)
    context: Mapped[dict[str, Any]] = mapped_column(JSONB)
    updated_at: Mapped[datetime] = mapped_column(INSTANT)


class ChatbotTopic(Base):
    """A topic: a question with its answer, an intent's phrases, or out of scope.

    `from_package`: no operator has changed it, so an upgrade may replace it.
    """

    __tablename__ = "chatbot_topics"
    __table_args__ = (
        CheckConstraint("slug ~ '^[a-z0-9_-]{1,64}$'", name="slug"),
        CheckConstraint(KINDS, name="kind"),
    )

    slug: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    answer: Mapped[str] = mapped_column(Text)
    action: Mapped[str | None] = mapped_column(Text)
    page: Mapped[str | None] = mapped_column(Text)
    phrases: Mapped[list[str]] = mapped_column(ARRAY(Text))
    active: Mapped[bool] = mapped_column(Boolean)
    version: Mapped[int] = mapped_column(Integer)
    from_package: Mapped[bool] = mapped_column(Boolean)
    updated_at: Mapped[datetime] = mapped_column(INSTANT)


class ChatbotTopicVersion(Base):
    """A topic's version and its author (None: the package). Append-only."""

    __tablename__ = "chatbot_topic_versions"

    slug: Mapped[str] = mapped_column(ForeignKey("chatbot_topics.slug"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    answer: Mapped[str] = mapped_column(Text)
    action: Mapped[str | None] = mapped_column(Text)
    page: Mapped[str | None] = mapped_column(Text)
    phrases: Mapped[list[str]] = mapped_column(ARRAY(Text))
    active: Mapped[bool] = mapped_column(Boolean)
    author_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(INSTANT)


class ChatbotKnowledge(Base):
    """One row: the imported package's version, and the knowledge's version, which every change raises."""

    __tablename__ = "chatbot_knowledge"
    __table_args__ = (CheckConstraint("only_row", name="only_row"),)

    only_row: Mapped[bool] = mapped_column(Boolean, primary_key=True, default=True)
    package_version: Mapped[int] = mapped_column(Integer)
    version: Mapped[int] = mapped_column(BigInteger)


class ChatbotUnanswered(Base):
    """An unanswered question without personal data, and deliberately without its person."""

    __tablename__ = "chatbot_unanswered"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    question: Mapped[str] = mapped_column(Text)
    nearest: Mapped[list[str]] = mapped_column(ARRAY(Text))
    asked_at: Mapped[datetime] = mapped_column(INSTANT)


class ChatbotTicket(Base):
    """A person's request for a human answer; one is open at a time. `number` is the protocol."""

    __tablename__ = "chatbot_tickets"
    __table_args__ = (
        CheckConstraint("(answer IS NULL) = (answered_at IS NULL)", name="answered"),
        Index("ix_chatbot_tickets_user_id_id", "user_id", "id"),
        Index("uq_chatbot_tickets_open_of_user", "user_id", unique=True, postgresql_where="answer IS NULL"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, Identity(start=1001), unique=True)
    user_id: Mapped[UUID]
    message: Mapped[str] = mapped_column(Text)
    answer: Mapped[str | None] = mapped_column(Text)
    answered_by: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(INSTANT)
    answered_at: Mapped[datetime | None] = mapped_column(INSTANT)
