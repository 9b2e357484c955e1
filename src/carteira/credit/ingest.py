"""Feeds base C from the platform: followers in the worker read other modules' tables of events.

The composition root passes each table with a function that reads a row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import RowMapping
from sqlalchemy.sql import FromClause

from carteira.credit.base_c import BaseCEvent
from carteira.credit.stores import Stores
from carteira.kit.db.outbox import Follower
from carteira.kit.db.session import Tx

BATCH = 500


@dataclass(frozen=True)
class SubjectEvent:
    """An event of a CPF that another module has verified, or of a user, which counts once their CPF is proven."""

    happening: BaseCEvent
    cpf: str | None = None
    user_id: UUID | None = None


@dataclass(frozen=True)
class EventSource:
    """Another module's table of events, and the base C event of each row (None: none)."""

    name: str
    table: FromClause
    read: Callable[[RowMapping], SubjectEvent | None]


def followers(stores: Stores, sources: Sequence[EventSource]) -> tuple[Follower, ...]:
    """Return a follower for each source. A repeated batch changes nothing; while Redis is down it waits."""
    return tuple(_follower(stores, source) for source in sources)


def _follower(stores: Stores, source: EventSource) -> Follower:
    async def handle(tx: Tx, rows: Sequence[RowMapping]) -> None:
        cpfs: dict[UUID, str | None] = {}
        happenings = []
        for row in rows:
            occurrence = source.read(row)
            if occurrence is None:
                continue
            cpf, user_id = occurrence.cpf, occurrence.user_id
            if cpf is None and user_id is not None:
                if user_id not in cpfs:
                    cpfs[user_id] = await stores.proven_cpf(tx, user_id)
                cpf = cpfs[user_id]
            if cpf is not None:
                happenings.append((cpf, occurrence.happening))
        if happenings:
            await stores.c.apply_many(happenings)

    return Follower(f"credit.{source.name}", source.table, handle, BATCH)
