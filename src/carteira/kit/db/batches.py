"""Work in batches, each in its own transaction: a backlog of any size is processed under a statement's time-out.

A failing batch undoes none of the former ones, and the next run continues there.
"""

from collections.abc import Awaitable, Callable

from sqlalchemy import ColumnElement, delete, inspect, select, tuple_

from carteira.kit.db.base import Base
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx

ROWS_AT_ONCE = 5_000
DoBatch = Callable[[Tx], Awaitable[int]]


async def run_batches(database: Database, do_batch: DoBatch) -> None:
    """Call a function in one transaction after another, until it returns 0 or False, because nothing is left."""
    while True:
        async with database.transaction() as tx:
            if not await do_batch(tx):
                return


async def delete_batch(tx: Tx, table: type[Base], *conditions: ColumnElement[bool], limit: int = ROWS_AT_ONCE) -> int:
    """Delete up to `limit` of the rows that fulfil all conditions, and return how many."""
    key = inspect(table).primary_key
    chosen = select(*key).where(*conditions).limit(limit)
    gone = await tx.execute(
        delete(table).where(tuple_(*key).in_(chosen)).returning(key[0]).execution_options(synchronize_session=False)
    )
    return len(gone.all())
