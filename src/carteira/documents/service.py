"""Documents' verbs: register, change, replace a file, delete, open, prove. Each works in the caller's transaction.

Files are streamed outside of transactions (`forms`, `upload`); these verbs begin once a file is sealed.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, func, or_, select

from carteira.documents import metrics
from carteira.documents.errors import (
    DocumentNotFound,
    DocumentRefused,
    FileDamaged,
    FileMissing,
    LinkRefused,
    ProofNeedsFile,
    TooManyDocuments,
    TooManyVersions,
)
from carteira.documents.keys import MasterKeyRing
from carteira.documents.kinds import DocumentType
from carteira.documents.models import Document, DocumentVersion
from carteira.documents.sealing import FileSealer
from carteira.documents.storage import Storage
from carteira.documents.upload import StoredFile
from carteira.kit.db import jobs, outbox
from carteira.kit.db.reads import Query, Reads, rows
from carteira.kit.db.session import Tx
from carteira.kit.values.clock import SAO_PAULO, clock
from carteira.kit.values.ids import uuid7

REMOVE_FILES = "documents:remove_files"
KEPT_FOR_BACKUPS = timedelta(days=1)
"""For how long a deleted document's sealed bytes are kept, since a backup copies them after the rows that name them. An
erased person's bytes are removed at once."""
MAX_DOCUMENTS = 200
MAX_VERSIONS = 50
REMIND_DAYS = (30, 7, 1)
"""The days before a document's expiry at which its owner is reminded."""

HolderName = Callable[[Tx, UUID], Awaitable[str | None]]
"""Returns a person's name, for a proof."""


class DocumentState(StrEnum):
    """A document's assurance: declared by its owner, or an operator's decision on its present state."""

    DECLARED = "declared"
    REVIEWED = "reviewed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class DocumentView:
    """A document as others see it. `decision` is what an operator compared, or why they refused it."""

    id: UUID
    user_id: UUID
    document_type: DocumentType
    document_number: str
    file_name: str | None
    expires_on: date | None
    version: int
    uploaded_at: datetime
    updated_at: datetime
    state: DocumentState
    decided_at: datetime | None
    decision: str | None

    @property
    def refusal_reason(self) -> str | None:
        """The reason of an operator's refusal."""
        return self.decision if self.state is DocumentState.REFUSED else None


@dataclass(frozen=True, slots=True)
class VersionView:
    """One file of a document as others see it."""

    id: UUID
    number: int
    file_name: str
    content_type: str
    size: int
    uploaded_at: datetime


@dataclass(frozen=True, slots=True)
class Proof:
    """The content of a document's proof; instants are in São Paulo's time."""

    document_type: DocumentType
    holder_name: str | None
    expires_on: date | None
    valid: bool
    checked_at: datetime
    state: DocumentState
    reviewed_by: str | None
    reviewed_at: datetime | None


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file ready to be read."""

    file_name: str
    content_type: str
    size: int
    segments: int
    version_id: UUID
    sealer: FileSealer

    async def read(self, storage: Storage) -> AsyncIterator[bytes]:
        """Yield the file segment by segment, each verified first.

        Raises:
            FileDamaged: the stored bytes were changed or lost.
            StorageDown: the storage does not answer.
        """
        given = 0
        for index in range(self.segments):
            sealed = await storage.get(self.version_id, index)
            clear = self.sealer.open(index, sealed, last=index == self.segments - 1)
            given += len(clear)
            yield clear
        if given != self.size:
            raise FileDamaged


_SHOWN = (
    Document.id,
    Document.user_id,
    Document.document_type,
    Document.document_number,
    Document.file_name,
    Document.expires_on,
    Document.version,
    Document.uploaded_at,
    Document.updated_at,
    Document.state,
    Document.decided_at,
    Document.decision,
)


def view(row: Document) -> DocumentView:
    """Return a document as others see it."""
    return _view_of(*(getattr(row, column.key) for column in _SHOWN))


def _view_of(*columns: Any) -> DocumentView:  # noqa: ANN401 - the columns of `_SHOWN`
    document = DocumentView(*columns)
    return replace(document, document_type=DocumentType(document.document_type), state=DocumentState(document.state))


def _declare(row: Document, now: datetime) -> None:
    """Remove an operator's decision from a changed document, since it was about the former state."""
    row.state, row.decided_by, row.decided_at, row.decision = DocumentState.DECLARED.value, None, None, None
    row.updated_at = now


async def _own(tx: Tx, user_id: UUID, document_id: UUID, *, lock: bool = False) -> Document:
    """Return a person's document.

    Raises:
        DocumentNotFound: there is none, or it is another person's.
    """
    query = select(Document).where(Document.id == document_id, Document.user_id == user_id)
    if lock:
        query = query.with_for_update()
    row = await tx.scalar(query)
    if row is None:
        raise DocumentNotFound
    return row


async def register(  # noqa: PLR0913 - a document's parts
    tx: Tx,
    ring: MasterKeyRing,
    user_id: UUID,
    *,
    document_type: DocumentType,
    document_number: str,
    file_name: str | None = None,
    expires_on: date | None = None,
    file: StoredFile | None = None,
) -> DocumentView:
    """Register a document of a person, with the file that was uploaded for it or without one; the number is checked.

    Raises:
        TooManyDocuments: the person keeps `MAX_DOCUMENTS`.
    """
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"documents:{user_id}", 0))))
    kept = await tx.scalar(select(func.count()).where(Document.user_id == user_id))
    if (kept or 0) >= MAX_DOCUMENTS:
        raise TooManyDocuments
    now = clock.now()
    row = Document(
        id=file.document_id if file else uuid7(),
        user_id=user_id,
        document_type=document_type.value,
        document_number=document_number,
        file_name=file.file_name if file else file_name,
        expires_on=expires_on,
        version=0,
        uploaded_at=now,
        updated_at=now,
    )
    tx.add(row)
    await tx.flush()
    if file is not None:
        await _attach(tx, ring, row, file, now)
    return view(row)


async def replace_file(tx: Tx, ring: MasterKeyRing, user_id: UUID, file: StoredFile) -> DocumentView:
    """Make an uploaded file the document's newest version; the older ones are kept.

    Raises:
        DocumentNotFound: there is none, or it is another person's.
        TooManyVersions: it has `MAX_VERSIONS`.
    """
    row = await _own(tx, user_id, file.document_id, lock=True)
    if row.version >= MAX_VERSIONS:
        raise TooManyVersions
    await _attach(tx, ring, row, file, clock.now())
    return view(row)


async def _attach(tx: Tx, ring: MasterKeyRing, row: Document, file: StoredFile, now: datetime) -> None:
    key_id, wrapped_key = ring.wrap(file.data_key, wrapping_context(file.document_id, file.version_id))
    tx.add(
        DocumentVersion(
            id=file.version_id,
            document_id=row.id,
            number=row.version + 1,
            file_name=file.file_name,
            content_type=file.content_type,
            size=file.size,
            segments=file.segments,
            key_id=key_id,
            wrapped_key=wrapped_key,
            uploaded_at=now,
        )
    )
    row.version, row.file_name = row.version + 1, file.file_name
    _declare(row, now)
    await tx.flush()
    metrics.stored_files.labels(file.content_type).inc()
    metrics.stored_bytes.inc(file.size)


def wrapping_context(document_id: UUID, version_id: UUID) -> bytes:
    """Return the context that a version's wrapped data key is bound to."""
    return document_id.bytes + version_id.bytes


_LISTED = Query(
    select(*_SHOWN)
    .where(Document.user_id == bindparam("user_id"), Document.id < bindparam("before"))
    .order_by(Document.id.desc())
    .limit(bindparam("limit"))
)
_AFTER_ALL = UUID(int=2**128 - 1)


async def listed(via: Tx | Reads, user_id: UUID, *, limit: int, before: UUID | None = None) -> list[DocumentView]:
    """Return a person's documents, newest first."""
    found = await rows(via, _LISTED, user_id=user_id, before=before or _AFTER_ALL, limit=limit)
    return [_view_of(*row) for row in found]


async def read(tx: Tx, user_id: UUID, document_id: UUID) -> DocumentView:
    """Return a person's document.

    Raises:
        DocumentNotFound: there is none, or it is another person's.
    """
    return view(await _own(tx, user_id, document_id))


async def versions(tx: Tx, user_id: UUID, document_id: UUID) -> list[VersionView]:
    """Return the files of a person's document, newest first.

    Raises:
        DocumentNotFound: there is none, or it is another person's.
    """
    rows = await tx.execute(
        select(Document.id, DocumentVersion)
        .outerjoin(DocumentVersion, DocumentVersion.document_id == Document.id)
        .where(Document.id == document_id, Document.user_id == user_id)
        .order_by(DocumentVersion.number.desc())
    )
    found: list[DocumentVersion | None] = [row for _, row in rows]
    if not found:
        raise DocumentNotFound
    return [
        VersionView(row.id, row.number, row.file_name, row.content_type, row.size, row.uploaded_at)
        for row in found
        if row is not None
    ]


async def update(  # noqa: PLR0913 - a document's parts
    tx: Tx,
    user_id: UUID,
    document_id: UUID,
    *,
    document_type: DocumentType,
    document_number: str,
    file_name: str | None,
    expires_on: date | None,
) -> DocumentView:
    """Change a person's document's data; its files stay, and its name too if none is given.

    Another type, number or expiry date makes it declared again.

    Raises:
        DocumentNotFound: there is none, or it is another person's.
    """
    row = await _own(tx, user_id, document_id, lock=True)
    now = clock.now()
    if row.expires_on != expires_on:
        row.reminded_days = None
    if (row.document_type, row.document_number, row.expires_on) != (document_type.value, document_number, expires_on):
        _declare(row, now)
    row.document_type, row.document_number, row.expires_on = document_type.value, document_number, expires_on
    row.file_name = file_name or row.file_name
    row.updated_at = now
    await tx.flush()
    return view(row)


async def remove(tx: Tx, user_id: UUID, document_id: UUID) -> None:
    """Delete a person's document: its keys with this transaction, its sealed bytes a day later.

    Raises:
        DocumentNotFound: there is none, or it is another person's.
    """
    await _own(tx, user_id, document_id, lock=True)
    await _remove(tx, [document_id], bytes_at=clock.now() + KEPT_FOR_BACKUPS)


async def _remove(tx: Tx, document_ids: Sequence[UUID], *, bytes_at: datetime | None = None) -> None:
    stored = await tx.scalars(select(DocumentVersion.id).where(DocumentVersion.document_id.in_(document_ids)))
    version_ids = [str(version_id) for version_id in stored]
    await tx.execute(delete(Document).where(Document.id.in_(document_ids)))
    if version_ids:
        await jobs.defer(tx, REMOVE_FILES, scheduled_at=bytes_at, version_ids=version_ids)


async def current_version(tx: Tx, user_id: UUID, document_id: UUID, number: int | None = None) -> UUID:
    """Return the id of a version of a person's document: the newest, or the one with a number.

    Raises:
        DocumentNotFound: there is no such document, or it is another person's.
        FileMissing: it has no file, or no such version.
    """
    row = await _own(tx, user_id, document_id)
    found = await tx.scalar(
        select(DocumentVersion.id).where(
            DocumentVersion.document_id == document_id, DocumentVersion.number == (number or row.version)
        )
    )
    if found is None:
        raise FileMissing
    return found


async def open_file(tx: Tx, ring: MasterKeyRing, user_id: UUID, document_id: UUID, version_id: UUID) -> OpenedFile:
    """Unwrap the key of a version of a person's document.

    Raises:
        DocumentNotFound: it was deleted, or is no longer theirs.
        FileDamaged: the wrapped key was changed.
    """
    await _own(tx, user_id, document_id)
    row = await tx.scalar(
        select(DocumentVersion).where(DocumentVersion.id == version_id, DocumentVersion.document_id == document_id)
    )
    if row is None:
        raise DocumentNotFound
    data_key = ring.unwrap(row.key_id, row.wrapped_key, wrapping_context(document_id, version_id))
    sealer = FileSealer(document_id, version_id, data_key)
    return OpenedFile(row.file_name, row.content_type, row.size, row.segments, version_id, sealer)


async def require_provable(tx: Tx, user_id: UUID, document_id: UUID) -> None:
    """Require that a person's document may be proved to others.

    Raises:
        DocumentNotFound: there is none, or it is another person's.
        ProofNeedsFile: it has no file.
        DocumentRefused: an operator refused it.
    """
    row = await _own(tx, user_id, document_id)
    if row.version == 0:
        raise ProofNeedsFile
    if row.state == DocumentState.REFUSED:
        raise DocumentRefused


async def prove(tx: Tx, holder_name: HolderName, user_id: UUID, document_id: UUID) -> Proof:
    """Return a document's type, holder's name, validity and assurance for a third person, and nothing more.

    Raises:
        LinkRefused: the document was deleted.
    """
    try:
        row = await _own(tx, user_id, document_id)
    except DocumentNotFound as error:
        raise LinkRefused from error
    state = DocumentState(row.state)
    reviewed_by, reviewed_at = (row.decided_by, row.decided_at) if state is DocumentState.REVIEWED else (None, None)
    return Proof(
        document_type=DocumentType(row.document_type),
        holder_name=await holder_name(tx, user_id),
        expires_on=row.expires_on,
        valid=state is not DocumentState.REFUSED and (row.expires_on is None or row.expires_on >= clock.today()),
        checked_at=clock.now().astimezone(SAO_PAULO),
        state=state,
        reviewed_by=await holder_name(tx, reviewed_by) if reviewed_by else None,
        reviewed_at=reviewed_at.astimezone(SAO_PAULO) if reviewed_at else None,
    )


async def remind(tx: Tx, *, limit: int = 500) -> int:
    """Emit `documents.expiring` for up to `limit` documents near their expiry date; return how many.

    Each document gets one reminder per step of `REMIND_DAYS`, however often this runs; a new date starts again.
    """
    today = clock.today()
    due = or_(
        *(
            (Document.expires_on <= today + timedelta(days=days))
            & (Document.reminded_days.is_(None) | (Document.reminded_days > days))
            for days in REMIND_DAYS
        )
    )
    rows = await tx.scalars(
        select(Document)
        .where(Document.expires_on >= today, due)
        .order_by(Document.expires_on, Document.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    reminded = 0
    for row in rows.all():
        assert row.expires_on is not None, "asked for by its date"
        days_left = (row.expires_on - today).days
        row.reminded_days = min(days for days in REMIND_DAYS if days >= days_left)
        await outbox.emit(
            tx,
            "documents.expiring",
            {
                "document_id": str(row.id),
                "user_id": str(row.user_id),
                "document_type": row.document_type,
                "expires_on": row.expires_on.isoformat(),
                "days_left": days_left,
            },
        )
        reminded += 1
    return reminded


async def export_person(tx: Tx, user_id: UUID) -> dict[str, Any]:
    """Return everything that is held about a person here, JSON-ready; files are downloaded by their links."""
    exported = []
    rows = await tx.scalars(select(Document).where(Document.user_id == user_id).order_by(Document.id))
    for row in rows.all():
        files = await versions(tx, user_id, row.id)
        exported.append(
            {
                "id": str(row.id),
                "document_type": row.document_type,
                "document_number": row.document_number,
                "file_name": row.file_name,
                "expires_on": row.expires_on.isoformat() if row.expires_on else None,
                "uploaded_at": row.uploaded_at.isoformat(),
                "updated_at": row.updated_at.isoformat(),
                "state": row.state,
                "decided_at": row.decided_at.isoformat() if row.decided_at else None,
                "decision": row.decision,
                "files": [
                    {
                        "number": file.number,
                        "file_name": file.file_name,
                        "content_type": file.content_type,
                        "size": file.size,
                        "uploaded_at": file.uploaded_at.isoformat(),
                    }
                    for file in files
                ],
            }
        )
    return {"documents": exported}


async def erase_person(tx: Tx, user_id: UUID) -> None:
    """Erase a person's documents. Their keys are deleted with this transaction, so that the files cannot be read."""
    rows = await tx.scalars(
        select(Document.id).where(Document.user_id == user_id).order_by(Document.id).with_for_update()
    )
    document_ids = rows.all()
    if document_ids:
        await _remove(tx, document_ids)
