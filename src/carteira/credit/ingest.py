"""What feeds base C from the platform: tables of events of other modules, read by followers in the worker.

The modules are strangers: the composition root hands over each table with a function that reads a row.
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
    """What happened, to whom: a CPF that another module answers for, or a user, who counts once their CPF is proven."""

    happening: BaseCEvent
    cpf: str | None = None
    user_id: UUID | None = None


@dataclass(frozen=True)
class EventSource:
    """A table of events of another module: its rows, and what each means here (None: nothing)."""

    name: str
    table: FromClause
    read: Callable[[RowMapping], SubjectEvent | None]


def followers(stores: Stores, sources: Sequence[EventSource]) -> tuple[Follower, ...]:
    """Make a follower for each source. A batch that comes again changes nothing; Redis being down holds its place."""
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
