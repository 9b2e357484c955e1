"""The audit: sign-ins, changes of claims, exports, looks at another person's data. Append-only; ids, never content."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, Text, insert, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from carteira.kit.db.base import INSTANT, Base
from carteira.kit.db.session import Tx
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7


class AuditRecord(Base):
    """Who did what to whom; append-only, and without personal data beyond ids."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("ix_audit_log_subject_id_id", "subject_id", "id"),
        Index("ix_audit_log_action_id", "action", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    actor_id: Mapped[UUID | None]
    subject_id: Mapped[UUID | None]
    action: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(INSTANT)


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


async def record_accesses(tx: Tx, action: str, *, actor: UUID, subjects: Iterable[UUID]) -> None:
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
