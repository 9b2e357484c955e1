"""Documents for the console: the queue of reviews, one document, and its decision."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, func, select

from carteira.documents import links, reviews
from carteira.documents.answers import file_answer
from carteira.documents.errors import FileMissing
from carteira.documents.links import MAX_TOKEN
from carteira.documents.models import Document, DocumentVersion
from carteira.documents.service import DocumentState, DocumentView, OpenedFile
from carteira.documents.vault import Vault
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.web.access import Principal
from carteira.kit.web.pagination import Page, PageRequest

__all__ = [
    "MAX_TOKEN",
    "DocumentState",
    "compare",
    "count_waiting",
    "decide",
    "decided_by",
    "file_answer",
    "file_link",
    "look",
    "open_pdf",
    "queue",
]

_SHOWN = {"image/jpeg": "picture", "image/png": "picture", "image/webp": "picture", "application/pdf": "pdf"}
"""The element in which a page shows each kind of file."""


def count_waiting(operator: UUID) -> Select[int]:
    """Return the query that counts unreviewed documents with a file, except the operator's own."""
    return select(func.count()).where(
        Document.state == DocumentState.DECLARED.value, Document.version > 0, Document.user_id != operator
    )


async def queue(
    tx: Tx, who: Principal, state: DocumentState | None, asked: PageRequest[UUID], user_id: UUID | None = None
) -> Page[DocumentView]:
    """List documents of a state or a person, oldest first, except the operator's own; looks at people are recorded."""
    rows: Sequence[DocumentView] = await reviews.queue(
        tx, who.user_id, state, limit=asked.limit + 1, after=asked.after, turned=asked.turned, user_id=user_id
    )
    page = asked.page(rows, lambda row: row.id)
    await audit.record_looks(tx, "document_listed", [row.user_id for row in page.items])
    return page


async def look(tx: Tx, vault: Vault, who: Principal, document_id: UUID) -> tuple[DocumentView, str | None]:
    """Return another person's document with its holder's name, to a reviewer.

    Raises:
        DocumentNotFound, OwnDocument.
    """
    document = await reviews.look(tx, who.user_id, document_id)
    await audit.record_looks(tx, "document_read", [document.user_id])
    return document, await vault.holder_name(tx, document.user_id)


async def file_link(tx: Tx, vault: Vault, who: Principal, document_id: UUID) -> str:
    """Return the path of a link to the newest file, valid for five minutes.

    Raises:
        DocumentNotFound, OwnDocument, FileMissing.
    """
    owner_id, version_id = await reviews.file_to_review(tx, who.user_id, document_id)
    await audit.record_looks(tx, "document_file_read", [owner_id])
    return _link(vault, who, owner_id, document_id, version_id)


def _link(vault: Vault, who: Principal, owner_id: UUID, document_id: UUID, version_id: UUID) -> str:
    token, _ = links.sign_file(vault.ring, who, (owner_id, document_id, version_id))
    return f"/documents/{document_id}/file?token={token}"


async def compare(tx: Tx, vault: Vault, who: Principal, document_id: UUID) -> tuple[DocumentView, str | None, str, str]:
    """Return a document with its holder's name, a link to its file, and how a page shows it: `picture`, `pdf` or not.

    Raises:
        DocumentNotFound, OwnDocument, FileMissing.
    """
    document, holder = await look(tx, vault, who, document_id)
    newest = select(DocumentVersion.id, DocumentVersion.content_type).where(
        DocumentVersion.document_id == document_id, DocumentVersion.number == document.version
    )
    file = (await tx.execute(newest)).one_or_none()
    if file is None:
        raise FileMissing
    await audit.record_looks(tx, "document_file_read", [document.user_id])
    return (
        document,
        holder,
        _link(vault, who, document.user_id, document_id, file.id),
        _SHOWN.get(file.content_type, ""),
    )


async def open_pdf(tx: Tx, vault: Vault, document_id: UUID, token: str) -> OpenedFile:
    """Open the PDF of a link that `compare` has made, which recorded the look.

    Raises:
        LinkRefused, DocumentNotFound, FileDamaged: as `links.open_linked`.
        FileMissing: the file is no PDF.
    """
    file = await links.open_linked(tx, vault.ring, document_id, token)
    if _SHOWN.get(file.content_type) != "pdf":
        raise FileMissing
    return file


async def decided_by(tx: Tx, document_id: UUID) -> UUID | None:
    """Return who decided on a document's present state; None: nobody."""
    return await tx.scalar(select(Document.decided_by).where(Document.id == document_id))


async def decide(  # noqa: PLR0913 - a decision's parts
    tx: Tx,
    who: Principal,
    document_id: UUID,
    *,
    state: DocumentState,
    decision: str,
    seen_at: datetime,
    seen_in: DocumentState,
) -> DocumentView:
    """Decide on the seen state of a document.

    Raises:
        DocumentNotFound, OwnDocument, DocumentChanged, FileMissing, AlreadyDecided.
    """
    return await reviews.decide(
        tx, who.user_id, document_id, state=state, decision=decision, seen_at=seen_at, seen_in=seen_in
    )
