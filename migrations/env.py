"""Alembic's environment: one linear history over all modules' tables, online with psycopg or as SQL text."""

import time
from collections.abc import Collection
from functools import partial

import psycopg
from alembic import context
from sqlalchemy import Connection, create_engine, text

from carteira.kit.db.address import DatabaseAddress
from carteira.kit.db.base import Base
from carteira.schema import load_models

LOCK = 7_246_001
"""Advisory lock: two processes that migrate at once take turns."""

load_models()


_PARTITIONS = "SELECT relname FROM pg_class WHERE relispartition AND relnamespace = 'public'::regnamespace"
"""Made by the clock, and like the tables that they are part of: no model knows them."""


def _include(name: str | None, kind: str, _parents: object, *, partitions: Collection[str] = ()) -> bool:
    if kind != "table" or name is None:
        return True
    return not name.startswith("procrastinate_") and name not in partitions


def _offline() -> None:
    context.configure(
        url="postgresql+psycopg://",
        target_metadata=Base.metadata,
        literal_binds=True,
        include_name=_include,
        dialect_opts={"paramstyle": "named"},  # psycopg's own would double the percent signs
    )
    with context.begin_transaction():
        context.run_migrations()


def _take_turn(connection: Connection) -> None:
    """Wait for the lock without a statement that waits: an index that is made concurrently waits for each of those."""
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}):
        connection.rollback()
        time.sleep(0.1)


def _online() -> None:
    address = DatabaseAddress.parse(context.config.attributes["url"])
    engine = create_engine("postgresql+psycopg://", creator=partial(psycopg.connect, address.conninfo))
    with engine.connect() as connection:
        _take_turn(connection)
        # Live traffic goes on: a migration that cannot have its lock soon gives way and is run again. Why no statement
        # has a time-out: ADR 0046.
        connection.execute(text("SET lock_timeout = '5s'"))
        partitions = set(connection.scalars(text(_PARTITIONS)))
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            include_name=partial(_include, partitions=partitions),
            compare_server_default=False,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
        connection.commit()
    engine.dispose()


if context.is_offline_mode():
    _offline()
else:
    _online()
