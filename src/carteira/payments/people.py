"""Payments' part of a person's data: their charges, by id and amount. Nothing about payers is stored."""

from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from carteira.kit.db.session import Tx
from carteira.payments.models import Charge


async def export_person(tx: Tx, user_id: UUID) -> dict[str, Any]:
    """Return everything that payments holds about a person, JSON-ready (LGPD art. 18, II and V)."""
    rows = await tx.scalars(select(Charge).where(Charge.maker_id == user_id).order_by(Charge.id))
    return {
        "charges": [
            {
                "id": str(row.id),
                "purpose": row.purpose,
                "amount": row.amount,
                "state": row.state,
                "created_at": row.created_at.isoformat(),
                "paid_at": row.paid_at.isoformat() if row.paid_at else None,
            }
            for row in rows
        ]
    }


async def erase_person(tx: Tx, user_id: UUID) -> None:
    """Detach a person from their charges; later payments go to a cancelled card, and so are returned."""
    await tx.execute(update(Charge).where(Charge.maker_id == user_id).values(maker_id=None))
