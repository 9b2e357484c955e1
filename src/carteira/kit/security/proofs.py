"""Proofs of append-only tables: of all rows, or of those since the last proof.

A recent proof begins where the last one ended, and relies on it: it does not see what was altered before that point.
The weekly proof of the whole does. A recent proof needs a last one without findings in the same history of the
database; otherwise the whole is proved.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from sqlalchemy import BigInteger, Text, inspect, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import INSTANT, Base
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.values.clock import clock

WHOLE_EVERY = timedelta(days=6, hours=12)
"""The age from which the daily job proves the whole again: on the seventh day at the same hour."""


class LastProof(Base):
    """The columns of a proof's last result."""

    __abstract__ = True

    checked_at: Mapped[datetime] = mapped_column(INSTANT)
    whole_at: Mapped[datetime | None] = mapped_column(INSTANT)
    """The instant of the last whole proof."""
    findings: Mapped[int] = mapped_column(BigInteger)
    history: Mapped[str | None] = mapped_column(Text)
    """The database's history in which it was made (`history_of`)."""


P = TypeVar("P", bound=LastProof)


@dataclass(frozen=True, slots=True)
class Pass(Generic[P]):
    """A pass of a proof: it continues from the row `key` of `table` (None: it proves the whole), and replaces it."""

    table: type[P]
    key: object
    base: P | None
    began_at: datetime
    history: str


async def is_due(database: Database, table: type[LastProof], key: object) -> bool:
    """Return whether the weekly proof of the whole is due."""
    async with database.transaction() as tx:
        found = await tx.get(table, key)
    return found is None or found.whole_at is None or clock.now() - found.whole_at >= WHOLE_EVERY


async def begin(database: Database, table: type[P], key: object, *, whole: bool) -> Pass[P]:
    """Begin a pass: of the whole, if that is requested or there is no proof to continue from."""
    began_at = clock.now()
    async with database.transaction() as tx:
        base = None if whole else await last(tx, table, key)
        return Pass(table, key, base, began_at, await history_of(tx))


async def last(tx: Tx, table: type[P], key: object) -> P | None:
    """Return the last proof if a recent one may continue from it: it found nothing, in the present history."""
    found = await tx.get(table, key)
    return found if found is not None and found.findings == 0 and found.history == await history_of(tx) else None


async def store_result(database: Database, done: Pass[P], *, findings: int, **values: object) -> None:
    """Store the result of a pass. A recent one without findings gives way to a whole one stored meanwhile.

    A standby stores nothing.
    """
    (key,) = inspect(done.table).primary_key
    values |= {"checked_at": done.began_at, "findings": findings, "history": done.history}
    stands = None
    if done.base is None:
        values["whole_at"] = done.began_at
    elif not findings:
        stands = done.table.whole_at.is_not_distinct_from(done.base.whole_at)
    row = insert(done.table).values({key: done.key, **values})
    async with database.transaction() as tx:
        if await tx.scalar(text("SELECT pg_is_in_recovery()")):
            return
        await tx.execute(row.on_conflict_do_update(index_elements=[key], set_=values, where=stands))


async def history_of(tx: Tx) -> str:
    """Return the id of this database's history, which changes with a restore, a failover and `pg_upgrade`."""
    return str(
        await tx.scalar(
            text("""
            SELECT concat_ws(':', system_identifier, timeline_id, pg_database.oid, 'positions'::regclass::oid)
            FROM pg_control_system(), pg_control_checkpoint(), pg_database WHERE datname = current_database()
            """)
        )
    )
