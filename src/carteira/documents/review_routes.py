"""An operator's routes over documents. Each look at a person's document is recorded, each decision audited."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request

from carteira.documents import links, reviews
from carteira.documents.routes import VaultDep
from carteira.documents.schemas import DocumentRefusalIn, LinkOut, ReviewedDocumentOut, ReviewIn, WaitingDocumentOut
from carteira.documents.service import DocumentState, DocumentView
from carteira.documents.vault import Vault
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.web.access import Claims, Principal, acts, looks
from carteira.kit.web.json_route import JsonRoute
from carteira.kit.web.pagination import BY_ID, Page, PageRequest, page_of
from carteira.kit.web.public_address import public_address
from carteira.kit.web.transaction import ReadTxDep, TxDep

router = APIRouter(route_class=JsonRoute, prefix="/documents/reviews", tags=["documents"])

Reviewer = Annotated[Principal, Depends(Claims("documents:review"))]


async def _out(tx: Tx, vault: Vault, document: DocumentView) -> ReviewedDocumentOut:
    shown = ReviewedDocumentOut.model_validate(document)
    return shown.model_copy(update={"holder_name": await vault.holder_name(tx, document.user_id)})


@router.get("", summary="Documentos a conferir", dependencies=[looks("document_listed")])
async def list_reviews(
    tx: ReadTxDep,
    who: Reviewer,
    state: Annotated[DocumentState, Query(description="Situação")] = DocumentState.DECLARED,
    asked: PageRequest[UUID] = page_of(BY_ID, oldest_first=True),
) -> Page[WaitingDocumentOut]:
    """Lista os documentos com arquivo que estão em uma situação, do mais antigo ao mais novo, sem os do operador."""
    rows = await reviews.queue(tx, who.user_id, state, limit=asked.limit + 1, after=asked.after)
    page = asked.page(rows, lambda row: row.id)
    await audit.record_looks(tx, "document_listed", [row.user_id for row in page.items])
    return page.map(WaitingDocumentOut.model_validate)


@router.get("/{document_id}", summary="Um documento a conferir", dependencies=[looks("document_read")])
async def get_review(document_id: UUID, tx: ReadTxDep, who: Reviewer, vault: VaultDep) -> ReviewedDocumentOut:
    """Mostra o documento de uma pessoa a quem o confere."""
    document = await reviews.look(tx, who.user_id, document_id)
    await audit.record_looks(tx, "document_read", [document.user_id])
    return await _out(tx, vault, document)


@router.post(
    "/{document_id}/link", summary="Pedir o link do arquivo a conferir", dependencies=[looks("document_file_read")]
)
async def make_review_link(document_id: UUID, request: Request, tx: TxDep, who: Reviewer, vault: VaultDep) -> LinkOut:
    """Dá a quem confere um link que baixa o arquivo atual e vale por cinco minutos."""
    owner_id, version_id = await reviews.file_to_review(tx, who.user_id, document_id)
    await audit.record_looks(tx, "document_file_read", [owner_id])
    token, expires_at = links.sign_file(vault.ring, who, (owner_id, document_id, version_id))
    return LinkOut(url=public_address(request) + f"/documents/{document_id}/file?token={token}", expires_at=expires_at)


@router.post(
    "/{document_id}/review", summary="Dar um documento por conferido", dependencies=[acts("document_reviewed")]
)
async def review_document(
    document_id: UUID, body: ReviewIn, tx: TxDep, who: Reviewer, vault: VaultDep
) -> ReviewedDocumentOut:
    """Diz o que foi comparado; vale para o documento como foi visto, nunca para o do próprio operador."""
    document = await reviews.decide(
        tx,
        who.user_id,
        document_id,
        state=DocumentState.REVIEWED,
        decision=body.compared,
        seen_at=body.updated_at,
        seen_in=body.state,
    )
    return await _out(tx, vault, document)


@router.post("/{document_id}/refuse", summary="Recusar um documento", dependencies=[acts("document_refused")])
async def refuse_document(
    document_id: UUID, body: DocumentRefusalIn, tx: TxDep, who: Reviewer, vault: VaultDep
) -> ReviewedDocumentOut:
    """Recusa o documento com um motivo, que a pessoa lê e recebe por e-mail."""
    document = await reviews.decide(
        tx,
        who.user_id,
        document_id,
        state=DocumentState.REFUSED,
        decision=body.reason,
        seen_at=body.updated_at,
        seen_in=body.state,
    )
    return await _out(tx, vault, document)
