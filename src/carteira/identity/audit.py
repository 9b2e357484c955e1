"""The audit: sign-ins, changes of claims, exports, looks at another person's data. Append-only; ids, never content."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from carteira.identity.models import AuditRecord
from carteira.kit.clock import clock
from carteira.kit.ids import uuid7
from carteira.kit.tx import Tx


async def record(
    tx: Tx,
    action: str,
    *,
    actor: UUID | None,
    subject: UUID | None = None,
    **details: Any,  # noqa: ANN401 - any JSON
) -> None:
    """Write that somebody did something, with the transaction that does it. Details hold no personal data."""
    tx.add(
        AuditRecord(
            id=uuid7(), actor_id=actor, subject_id=subject, action=action, details=details, created_at=clock.now()
        )
    )
    await tx.flush()


async def record_looks(tx: Tx, action: str, *, actor: UUID, subjects: Iterable[UUID]) -> None:
    """Write that somebody looked at others' data, a record for each of them."""
    now = clock.now()
    rows = [
        {
            "id": uuid7(),
            "actor_id": actor,
            "subject_id": subject,
            "action": action,
            "details": {},
            "created_at": now,
        }
        for subject in subjects
        if subject != actor
    ]
    if rows:
        await tx.execute(insert(AuditRecord), rows)
