"""Proofs over the ledger that an operator runs from the command line."""

from carteira import ledger
from carteira.kit.tx import Database


async def reconcile(url: str) -> ledger.Reconciliation:
    """Compare every balance with its postings and holds, in one snapshot."""
    database = Database(url, pool_size=2)
    try:
        async with database.transaction() as tx:
            return await ledger.reconcile(tx)
    finally:
        await database.close()
