"""The horizon below which followers read is the whole server's: transactions of other test workers hold it back."""

import asyncio

from sqlalchemy import text

from carteira.kit.db.engine import Database


async def pass_horizon(database: Database) -> None:
    """Wait until every transaction that began before now, in any database of the server, has ended."""
    async with database.transaction() as tx:
        mine = await tx.scalar(text("SELECT pg_current_xact_id()::text::bigint"))
    passed = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint > :mine")
    while True:
        async with database.transaction() as tx:
            if await tx.scalar(passed, {"mine": mine}):
                return
        await asyncio.sleep(0.005)
