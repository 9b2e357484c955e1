"""The knowledge base: the package's topics, their import, and operators' changes, with every version."""

import asyncio
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, update

from carteira.assistant.errors import TopicNotFound
from carteira.assistant.models import ChatbotKnowledge, ChatbotTopic, ChatbotTopicVersion
from carteira.kit.db.keyset import keyset
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.web.pagination import CursorOf
from carteira.kit.web.preconditions import UNCONDITIONAL, Precondition

PACKAGE_VERSION = 9
"""Raise it with every change of `knowledge/*.toml`: servers then import the topics that no operator has changed."""

OUTSIDE_SLUG = "_outside"
TOPICS = CursorOf(str)
_INTENTS_FILE, _OUTSIDE_FILE = "_intents.toml", "_outside.toml"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as others see it. `kind`: a question (`faq`), an intent's phrases, or out of scope."""

    slug: str
    kind: str
    title: str
    answer: str
    action: str | None
    phrases: tuple[str, ...]
    active: bool = True
    version: int = 1
    page: str | None = None
    """The address of the wallet's page that the answer sends to (`pages.PAGES`)."""


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a topic, as an operator writes it."""

    title: str
    answer: str
    action: str | None
    phrases: tuple[str, ...]
    active: bool
    page: str | None = None


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


@cache
def package() -> tuple[Topic, ...]:
    """Read the topics that come with the package."""
    topics = []
    for file in sorted(files("carteira.assistant").joinpath("knowledge").iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".toml"):
            continue
        content: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        if file.name == _OUTSIDE_FILE:
            topics.append(Topic(OUTSIDE_SLUG, "outside", "", "", None, _lines(content["phrases"])))
        elif file.name == _INTENTS_FILE:
            topics += [Topic(name, "intent", "", "", None, _lines(item["phrases"])) for name, item in content.items()]
        else:
            topics += [
                Topic(
                    slug,
                    "faq",
                    item["title"],
                    item["answer"],
                    item.get("action"),
                    _lines(item["phrases"]),
                    page=item.get("page"),
                )
                for slug, item in content.items()
            ]
    return tuple(topics)


async def current_version(tx: Tx) -> int:
    """Return the version of the knowledge; a newer package is imported first."""
    row = (await tx.execute(select(ChatbotKnowledge.package_version, ChatbotKnowledge.version))).one()
    if row.package_version >= PACKAGE_VERSION:
        return int(row.version)
    return await _import_package(tx)


async def _import_package(tx: Tx) -> int:
    """Import the package's topics; one process does it, and the others wait for its transaction.

    Topics that an operator has changed are kept. Topics that the package no longer has are deactivated.
    """
    row = await tx.scalar(select(ChatbotKnowledge).with_for_update())
    assert row is not None, "the migration wrote it"
    if row.package_version >= PACKAGE_VERSION:
        return row.version
    topics = await asyncio.to_thread(package)  # reading the files takes the time of many requests
    known = {topic.slug: topic for topic in await tx.scalars(select(ChatbotTopic))}
    for topic in topics:
        old = known.get(topic.slug)
        if old is None:
            await _write(tx, topic, author_id=None)
        elif old.from_package and replace(_view(old), version=topic.version) != topic:
            await _write(tx, replace(topic, version=old.version + 1), author_id=None)
    gone = {slug for slug, topic in known.items() if topic.from_package} - {topic.slug for topic in topics}
    for slug in sorted(gone):
        if known[slug].active:
            await _write(tx, replace(_view(known[slug]), active=False, version=known[slug].version + 1), author_id=None)
    row.package_version = PACKAGE_VERSION
    row.version += 1
    await tx.flush()
    return row.version


async def _write(tx: Tx, topic: Topic, *, author_id: UUID | None) -> None:
    """Store a topic's new version, and update the topic."""
    now = clock.now()
    content = {
        "title": topic.title,
        "answer": topic.answer,
        "action": topic.action,
        "page": topic.page,
        "phrases": list(topic.phrases),
        "active": topic.active,
        "version": topic.version,
    }
    values = content | {"kind": topic.kind, "from_package": author_id is None, "updated_at": now}
    if topic.version == 1:
        await tx.execute(insert(ChatbotTopic).values(slug=topic.slug, **values))
    else:
        await tx.execute(update(ChatbotTopic).where(ChatbotTopic.slug == topic.slug).values(**values))
    await tx.execute(
        insert(ChatbotTopicVersion).values(slug=topic.slug, author_id=author_id, created_at=now, **content)
    )


def _view(row: ChatbotTopic) -> Topic:
    return Topic(
        row.slug, row.kind, row.title, row.answer, row.action, tuple(row.phrases), row.active, row.version, row.page
    )


async def load(tx: Tx) -> list[Topic]:
    """Return every active topic."""
    rows = await tx.scalars(select(ChatbotTopic).where(ChatbotTopic.active).order_by(ChatbotTopic.slug))
    return [_view(row) for row in rows]


async def topics(tx: Tx, *, query: str | None, limit: int, after: str | None) -> list[Topic]:
    """List topics by slug, as `known_topics` does, once the package's are imported."""
    await current_version(tx)
    return await known_topics(tx, query=query, limit=limit, after=after)


async def known_topics(
    tx: Tx, *, query: str | None, limit: int, after: str | None, turned: bool = False
) -> list[Topic]:
    """List topics by slug; `query` searches titles, answers and phrases by Portuguese word stems."""
    statement = keyset(select(ChatbotTopic), ChatbotTopic.slug, after=after, limit=limit, turned=turned)
    if query:
        whole = func.concat_ws(
            " ", ChatbotTopic.title, ChatbotTopic.answer, func.array_to_string(ChatbotTopic.phrases, " ")
        )
        statement = statement.where(
            func.to_tsvector("portuguese", whole).bool_op("@@")(func.websearch_to_tsquery("portuguese", query))
        )
    return [_view(row) for row in await tx.scalars(statement)]


async def topic(tx: Tx, slug: str) -> Topic:
    """Return a topic.

    Raises:
        TopicNotFound: there is none.
    """
    await current_version(tx)
    return await known_topic(tx, slug)


async def known_topic(tx: Tx, slug: str) -> Topic:
    """Return a topic, without importing a newer package first.

    Raises:
        TopicNotFound: there is none.
    """
    row = await tx.get(ChatbotTopic, slug, populate_existing=True)
    if row is None:
        raise TopicNotFound
    return _view(row)


async def versions(tx: Tx, slug: str) -> Sequence[ChatbotTopicVersion]:
    """Return a topic's versions, newest first.

    Raises:
        TopicNotFound: there is no such topic.
    """
    await topic(tx, slug)
    return await known_versions(tx, slug)


async def known_versions(tx: Tx, slug: str) -> Sequence[ChatbotTopicVersion]:
    """Return a topic's versions, newest first; none where there is no such topic."""
    rows = await tx.scalars(
        select(ChatbotTopicVersion).where(ChatbotTopicVersion.slug == slug).order_by(ChatbotTopicVersion.version.desc())
    )
    return rows.all()


async def put(tx: Tx, slug: str, content: Content, *, author_id: UUID, seen: Precondition = UNCONDITIONAL) -> Topic:
    """Store a topic's new version, or a new question; former versions are kept.

    An upgrade never replaces an operator's version. Concurrent changes are serialised, and both versions are kept.

    Raises:
        RecordChanged: the topic has another version than the one that was seen.
    """
    await current_version(tx)
    knowledge = await tx.scalar(select(ChatbotKnowledge).with_for_update())
    assert knowledge is not None, "the migration wrote it"
    old = await tx.get(ChatbotTopic, slug, populate_existing=True)
    seen.hold(str(old.version) if old else None)
    written = Topic(
        slug,
        old.kind if old else "faq",
        content.title,
        content.answer,
        content.action,
        content.phrases,
        content.active,
        old.version + 1 if old else 1,
        content.page,
    )
    await _write(tx, written, author_id=author_id)
    knowledge.version += 1
    await tx.flush()
    await audit.record(tx, "assistant_topic_written", slug=slug, version=written.version)
    return written
