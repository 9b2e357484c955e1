"""The ledger's part of a person's data: export and erasure."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from carteira.kit.db.session import Tx
from carteira.ledger import queries
from carteira.ledger.errors import MoneyRemains
from carteira.ledger.models import LedgerAccount

_LINES = 10_000


async def export_person(tx: Tx, user_id: UUID) -> Mapping[str, Any]:
    """Return a person's accounts and their newest 10,000 movements, JSON-ready; amounts in centavos."""
    accounts = await queries.accounts_of_owner(tx, user_id)
    lines = await queries.statement(tx, [account.id for account in accounts], limit=_LINES)
    return {
        "accounts": [
            {
                "id": str(account.id),
                "kind": account.kind,
                "balance": account.balance,
                "held": account.held,
                "created_at": account.created_at,
            }
            for account in accounts
        ],
        "movements": [
            {
                "account_id": str(line.account_id),
                "entry_id": str(line.entry_id),
                "kind": line.kind,
                "description": line.description,
                "amount": line.amount,
                "balance_after": line.balance_after,
                "posted_at": line.posted_at,
            }
            for line in lines
        ],
    }


async def refuse_erasure(tx: Tx, user_id: UUID) -> None:
    """Lock a person's accounts, so that nothing arrives between the check and the commit.

    Raises:
        MoneyRemains: a balance or a hold is left.
    """
    accounts = await tx.scalars(
        select(LedgerAccount).where(LedgerAccount.owner_id == user_id).order_by(LedgerAccount.id).with_for_update()
    )
    if any(account.balance != 0 or account.held != 0 for account in accounts):
        raise MoneyRemains


async def erase_person(tx: Tx, user_id: UUID) -> None:
    """Detach a person from their accounts; entries and postings stay, and so do all proofs."""
    await tx.execute(update(LedgerAccount).where(LedgerAccount.owner_id == user_id).values(owner_id=None))
