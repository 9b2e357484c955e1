"""Events from one module to others: written in the transaction that makes them true, read in commit order.

Any table with `xid` (the writing transaction's position) and `id` (time-ordered) can be followed: the outbox below, the
ledger's entries, the authorizer's decisions. A reader takes only rows below the horizon of all open transactions
(`kit.db.positions`), so that no row can appear before its position later. Subscribers are idempotent.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Index,
    RowMapping,
    Select,
    Text,
    cast,
    delete,
    func,
    literal,
    select,
    text,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql import FromClause

from carteira.kit.db import positions, wakes
from carteira.kit.db.base import INSTANT, Base
from carteira.kit.db.insert import Insert, insert_only
from carteira.kit.db.reads import Query, Reads
from carteira.kit.db.reads import rows as read
from carteira.kit.db.session import Tx, fetch
from carteira.kit.ops import tracing
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import made_at, uuid7

NOTHING = UUID(int=0)
_LAST = UUID(int=(1 << 128) - 1)
_MOST_COUNTED = 10_000

Handler = Callable[[Tx, Sequence[RowMapping]], Awaitable[None]]


class Event(Base):
    """The outbox."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_xid_id", "xid", "id"),
        Index("ix_events_user_id_id", text("(payload ->> 'user_id')"), "id"),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    xid: Mapped[int] = mapped_column(BigInteger, server_default=positions.NOW)
    topic: Mapped[str] = mapped_column(Text)
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    occurred_at: Mapped[datetime] = mapped_column(INSTANT, server_default=func.now())
    traceparent: Mapped[str | None] = mapped_column(Text)
    """The trace that the event is part of, if it was traced."""


class FollowerPlace(Base):
    """The position up to which a follower has read."""

    __tablename__ = "event_followers"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    xid: Mapped[int] = mapped_column(BigInteger, default=0)
    last_id: Mapped[UUID] = mapped_column(default=NOTHING)
    moved_at: Mapped[datetime] = mapped_column(INSTANT, server_default=func.now())


@dataclass(frozen=True)
class Follower:
    """A named reader of a table of events, and its handler of batches."""

    name: str
    source: FromClause
    handle: Handler
    batch: int = 500
    wanted: Callable[[Tx], Awaitable[bool]] | None = None
    """Returns whether there is a subscriber; while there is none, rows are skipped unread."""


async def emit(tx: Tx, topic: str, *payloads: dict[str, Any]) -> None:
    """Publish events with the transaction, in one round trip; payloads are JSON and hold ids, not personal data."""
    if payloads:
        await fetch(tx, _EMIT, *as_rows(topic, payloads))
        wakes.followed(tx)


def as_rows(topic: str, payloads: Sequence[dict[str, Any]]) -> tuple[object, ...]:
    """Return events as the parameters of `EVENTS`."""
    many = len(payloads)
    written = [orjson.dumps(payload).decode() for payload in payloads]
    return [uuid7() for _ in payloads], [topic] * many, written, [tracing.traceparent()] * many


async def events_of_person(  # noqa: PLR0913 - a list's filters and bounds
    tx: Tx, user_id: UUID, topics: Collection[str], *, after: UUID, before: UUID, limit: int
) -> Sequence[Event]:
    """Return the events of these topics whose payload names a person, newest first, between two ids."""
    query = (
        select(Event)
        .where(
            Event.payload["user_id"].astext == str(user_id),
            Event.topic.in_(topics),
            Event.id > after,
            Event.id < before,
        )
        .order_by(Event.id.desc())
        .limit(limit)
    )
    return (await tx.scalars(query)).all()


EVENTS = Insert(
    (
        "events (xid, id, topic, payload, traceparent)",
        "SELECT (SELECT position_now()), new.* FROM unnest({0}::uuid[], {1}::text[], {2}::jsonb[], {3}::text[]) AS new",
    ),
    parameters=4,
)
"""Appends events within the statement that makes them true: ids, topics, payloads as JSON texts, traces."""
_EMIT = insert_only(EVENTS)


async def follow(tx: Tx, follower: Follower) -> int:
    """Pass the next batch to the follower and store its position, in one transaction.

    Returns the number of rows handled; 0 when there is nothing new or another process reads.
    """
    await tx.execute(insert(FollowerPlace).values(name=follower.name).on_conflict_do_nothing())
    place = await tx.scalar(
        select(FollowerPlace).where(FollowerPlace.name == follower.name).with_for_update(skip_locked=True)
    )
    if place is None:
        return 0
    if follower.wanted is not None and await _pass_over(tx, place, follower.wanted):
        return 0
    source = follower.source.c
    rows = (
        (
            await tx.execute(
                select(follower.source)
                .where(
                    tuple_(source.xid, source.id) > tuple_(place.xid, place.last_id),
                    source.xid < positions.HORIZON,
                )
                .order_by(source.xid, source.id)
                .limit(follower.batch)
            )
        )
        .mappings()
        .all()
    )
    if rows:
        with tracing.together(
            f"follower {follower.name}", _causes(follower, rows), "consumer", {"batch.size": len(rows)}
        ):
            await follower.handle(tx, rows)
        place.xid, place.last_id, place.moved_at = rows[-1]["xid"], rows[-1]["id"], func.now()
    return len(rows)


async def begin_again(tx: Tx, prefix: str) -> None:
    """Make followers whose names have a prefix read everything again."""
    await tx.execute(delete(FollowerPlace).where(FollowerPlace.name.startswith(prefix)))


def _causes(follower: Follower, rows: Sequence[RowMapping]) -> list[str]:
    """Return the distinct traces of rows: a row's `traceparent`, or its `trace_id`."""
    if not tracing.is_on():
        return []
    columns = follower.source.c
    if "trace_id" in columns:
        traces = [tracing.carried(row["trace_id"]) for row in rows]
    else:
        traces = [row["traceparent"] for row in rows] if "traceparent" in columns else []
    return list(dict.fromkeys(filter(None, traces)))


async def _pass_over(tx: Tx, place: FollowerPlace, wanted: Callable[[Tx], Awaitable[bool]]) -> bool:
    """Move the position past all readable rows, if there is no subscriber; return whether it moved.

    The horizon is read first: a subscriber that appears later gets what is written after it.
    """
    horizon = await tx.scalar(select(positions.HORIZON)) or 0
    if await wanted(tx):
        return False
    place.xid, place.last_id, place.moved_at = horizon - 1, _LAST, func.now()
    return True


@dataclass(frozen=True, slots=True)
class Lag:
    """A follower's backlog: the number of rows (10,000 at most), and the age of the oldest."""

    rows: int
    oldest_seconds: float


class Backlog:
    """Reads the backlog of several followers in one trip."""

    def __init__(self, followers: Sequence[Follower]) -> None:
        self._followers = {follower.name: follower for follower in followers}

    @cached_property
    def _firsts(self) -> Query:
        return Query(union_all(*map(_first, self._followers.values())))

    @cached_property
    def _lags(self) -> Query:
        return Query(union_all(*map(_counted, self._followers.values())))

    async def look(self, reads: Reads) -> tuple[list[Follower], bool]:
        """Return the followers with something to read now, and whether more rows wait for an open transaction to end.

        Raises:
            DatabaseDown: PostgreSQL is unreachable.
        """
        if not self._followers:
            return [], False
        found = await read(reads, self._firsts)
        ready = [self._followers[name] for name, first, horizon in found if first is not None and first < horizon]
        return ready, any(first is not None and first >= horizon for _, first, horizon in found)

    async def lags(self, reads: Reads) -> dict[str, Lag]:
        """Return each follower's backlog. A row's id is time-ordered and holds the time at which it was made.

        Raises:
            DatabaseDown: PostgreSQL is unreachable.
        """
        if not self._followers:
            return {}
        now = clock.now().timestamp()
        return {
            name: Lag(count, max(0.0, now - made_at(UUID(oldest))) if oldest else 0.0)
            for name, count, oldest in await read(reads, self._lags)
        }


def _after_place(follower: Follower) -> ColumnElement[bool]:
    """Return the condition for rows that a follower has not handled."""
    source = follower.source.c
    place = select(FollowerPlace).where(FollowerPlace.name == follower.name).subquery()
    xid, last_id = (select(column).scalar_subquery() for column in (place.c.xid, place.c.last_id))
    return tuple_(source.xid, source.id) > tuple_(func.coalesce(xid, 0), func.coalesce(last_id, NOTHING))


def _first(follower: Follower) -> Select[*tuple[Any, ...]]:
    """Select a follower's name, the position of the first row that it has not handled, and the horizon."""
    source = follower.source.c
    first = select(source.xid).where(_after_place(follower)).order_by(source.xid, source.id).limit(1)
    return select(literal(follower.name), first.scalar_subquery(), positions.HORIZON)


def _counted(follower: Follower) -> Select[*tuple[Any, ...]]:
    """Select a follower's name, the number of rows that wait for it, and the id of the oldest."""
    waiting = select(follower.source.c.id).where(_after_place(follower)).limit(_MOST_COUNTED).subquery()
    return select(literal(follower.name), func.count(), func.min(cast(waiting.c.id, Text))).select_from(waiting)
