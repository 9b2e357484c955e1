"""Operators' verbs: the queue of declared documents, and the decision on one.

A decision is about the state that the operator saw; a later change makes the document declared again.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from carteira.documents import metrics
from carteira.documents.errors import (
    AlreadyDecided,
    DocumentChanged,
    DocumentNotFound,
    FileMissing,
    OwnDocument,
)
from carteira.documents.models import Document, DocumentVersion
from carteira.documents.service import DocumentState, DocumentView, view
from carteira.kit.db import outbox
from carteira.kit.db.keyset import keyset
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.clock import clock


async def queue(  # noqa: PLR0913 - a list's filters and bounds
    tx: Tx,
    operator: UUID,
    state: DocumentState | None,
    *,
    limit: int,
    after: UUID | None = None,
    turned: bool = False,
    user_id: UUID | None = None,
) -> list[DocumentView]:
    """Return documents with a file, oldest first, without the operator's own: of a state, of a person, or both."""
    query = select(Document).where(Document.version > 0, Document.user_id != operator)
    if state is not None:
        query = query.where(Document.state == state.value)
    if user_id is not None:
        query = query.where(Document.user_id == user_id)
    query = keyset(query, Document.id, after=after, limit=limit, turned=turned)
    return [view(row) for row in await tx.scalars(query)]


async def _row(tx: Tx, operator: UUID, document_id: UUID, *, lock: bool = False) -> Document:
    query = select(Document).where(Document.id == document_id)
    if lock:
        query = query.with_for_update()
    row = await tx.scalar(query)
    if row is None:
        raise DocumentNotFound
    if row.user_id == operator:
        raise OwnDocument
    return row


async def look(tx: Tx, operator: UUID, document_id: UUID) -> DocumentView:
    """Return another person's document to an operator.

    Raises:
        DocumentNotFound: there is none.
        OwnDocument: it is the operator's own.
    """
    return view(await _row(tx, operator, document_id))


async def file_to_review(tx: Tx, operator: UUID, document_id: UUID) -> tuple[UUID, UUID]:
    """Return the owner and the newest version of another person's document.

    Raises:
        DocumentNotFound, OwnDocument: as `look`.
        FileMissing: it has no file.
    """
    row = await _row(tx, operator, document_id)
    found = await tx.scalar(
        select(DocumentVersion.id).where(
            DocumentVersion.document_id == document_id, DocumentVersion.number == row.version
        )
    )
    if found is None:
        raise FileMissing
    return row.user_id, found


async def decide(  # noqa: PLR0913 - a decision's parts
    tx: Tx,
    operator: UUID,
    document_id: UUID,
    *,
    state: DocumentState,
    decision: str,
    seen_at: datetime,
    seen_in: DocumentState | None = None,
) -> DocumentView:
    """Decide on another person's document as seen: its `updated_at` must equal `seen_at`, its state `seen_in` if given.

    Raises:
        DocumentNotFound, OwnDocument: as `look`.
        DocumentChanged: it has changed since.
        FileMissing: it has no file to see.
        AlreadyDecided: it is in that state, or in another than `seen_in`: somebody was quicker.
    """
    row = await _row(tx, operator, document_id, lock=True)
    if row.version == 0:
        raise FileMissing
    if row.updated_at != seen_at:
        raise DocumentChanged
    if row.state == state.value or (seen_in is not None and row.state != seen_in.value):
        raise AlreadyDecided
    row.state, row.decided_by, row.decided_at, row.decision = state.value, operator, clock.now(), decision
    await tx.flush()
    await audit.record(
        tx,
        f"document_{state.value}",
        actor=operator,
        subject=row.user_id,
        document_id=str(row.id),
        version=row.version,
    )
    payload = {"document_id": str(row.id), "user_id": str(row.user_id)}
    if state is DocumentState.REVIEWED:
        await outbox.emit(tx, "documents.reviewed", payload)
    else:
        await outbox.emit(tx, "documents.refused", payload)
    metrics.decided_documents.labels(state.value).inc()
    return view(row)
