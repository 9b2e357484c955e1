"""The inbox's part of a person's data (LGPD art. 18). Its notices belong to other modules, which export them."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import delete

from carteira.inbox.models import InboxMark
from carteira.kit.db.session import Tx


async def export_person(tx: Tx, user_id: UUID) -> Mapping[str, Any]:
    """Return when a person last marked their notices as read, JSON-ready."""
    mark = await tx.get(InboxMark, user_id, populate_existing=True)
    return {"read_at": mark.marked_at.isoformat() if mark else None}


async def erase_person(tx: Tx, user_id: UUID) -> None:
    """Erase the mark of a person's last read notice."""
    await tx.execute(delete(InboxMark).where(InboxMark.user_id == user_id))
