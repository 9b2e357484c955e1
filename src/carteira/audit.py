"""Proofs over the ledger that an operator runs from the command line."""

from collections.abc import Callable

from carteira import ledger
from carteira.kit.db.engine import Database
from carteira.kit.db.session import fetch


async def reconcile(url: str) -> ledger.Reconciliation:
    """Compare every balance with its postings and holds, in one snapshot."""
    database = Database(url, pool_size=2)
    try:
        async with database.transaction() as tx:
            return await ledger.reconcile(tx)
    finally:
        await database.close()


async def verify(
    url: str, *, expected: tuple[int, bytes] | None, progress: Callable[[int], None]
) -> ledger.Verification:
    """Verify the hash chain in one snapshot, telling the number of entries verified so far."""
    database = Database(url, pool_size=2)
    result = ledger.Verification()
    try:
        async with database.transaction() as tx:
            async for result in ledger.verify(tx, expected=expected):
                progress(result.entries)
    finally:
        await database.close()
    return result


async def count_entries(url: str) -> int:
    """Estimate how many entries there are, for a progress bar."""
    database = Database(url, pool_size=2)
    try:
        async with database.transaction() as tx:
            rows = await fetch(
                tx, "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE relname = 'ledger_entries'"
            )
            return int(rows[0][0])
    finally:
        await database.close()
