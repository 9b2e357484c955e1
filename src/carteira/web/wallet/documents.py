"""Documents: a person's list, each one's assurance, data and files, and proofs for others."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response
from pydantic import ConfigDict

from carteira import documents
from carteira.documents import DocumentState, DocumentType, DocumentView
from carteira.kit.values.clock import clock
from carteira.kit.web.public_address import public_address
from carteira.web.formats import long_day, short_day
from carteira.web.forms import FormBody, Reading
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.qr import qr_code
from carteira.web.routing import pages
from carteira.web.uploads import vault_of

router = pages("documents")
HOME = "/app/documentos"
_ONE, _EDIT, _DELETE = "wallet/document.html", "wallet/document_edit.html", "wallet/document_delete.html"
_SHOWN = 100
_SOON = timedelta(days=30)
_TAIL = 4
_ICONS = {
    DocumentType.RG: "rg",
    DocumentType.CPF: "user",
    DocumentType.CNH: "card",
    DocumentType.VACCINATION: "syringe",
    DocumentType.VOTER: "vote",
    DocumentType.PASSPORT: "book",
    DocumentType.OTHER: "doc",
}
ARTICLES = {
    DocumentType.RG: "o RG",
    DocumentType.CPF: "o CPF",
    DocumentType.CNH: "a CNH",
    DocumentType.VACCINATION: "o comprovante de vacinação",
    DocumentType.VOTER: "o título de eleitor",
    DocumentType.PASSPORT: "o passaporte",
    DocumentType.OTHER: "o documento",
}


class DocumentForm(documents.DocumentIn, FormBody):
    """A document's data, as the API takes them."""

    model_config = ConfigDict(extra="ignore", frozen=True)


@dataclass(frozen=True, slots=True)
class Badge:
    """A word about a document: its text, colour and icon."""

    text: str
    kind: str
    icon: str


@dataclass(frozen=True, slots=True)
class ShownDocument:
    """A document as its owner sees it."""

    document: DocumentView

    @property
    def id(self) -> UUID:
        """The document's id."""
        return self.document.id

    @property
    def name(self) -> str:
        """Its name in a title."""
        kind = str(self.document.document_type)
        return kind[:1].upper() + kind[1:]

    @property
    def article(self) -> str:
        """Its name with the article: `a CNH`."""
        return ARTICLES[self.document.document_type]

    @property
    def icon(self) -> str:
        """The icon of its kind."""
        return _ICONS[self.document.document_type]

    @property
    def hidden_number(self) -> str:
        """Its number in a list: the last digits of a long one."""
        number = self.document.document_number
        return f"•••• {number[-_TAIL:]}" if len(number) > 2 * _TAIL else "••••"

    @property
    def has_file(self) -> bool:
        """Whether it has a file."""
        return self.document.version > 0

    @property
    def is_provable(self) -> bool:
        """Whether it can be shown to others."""
        return self.has_file and self.document.state is not DocumentState.REFUSED

    @property
    def state(self) -> Badge:
        """Its assurance."""
        if self.document.state is DocumentState.REVIEWED:
            return Badge("Conferido", "ok", "check")
        if self.document.state is DocumentState.REFUSED:
            return Badge("Recusado na conferência", "bad", "x")
        return Badge("Declarado por você", "neutral", "pen")

    @property
    def badges(self) -> list[Badge]:
        """Its badges in a list; tasks come first."""
        found = [] if self.has_file else [Badge("Falta o arquivo", "warn", "up")]
        expiry = expiry_badge(self.document.expires_on)
        return found + ([expiry] if expiry else []) + ([self.state] if self.has_file else [])


def expiry_badge(expires_on: date | None) -> Badge | None:
    """Return the badge of a document that has expired or soon will; None: neither."""
    today = clock.today()
    if expires_on is None or expires_on > today + _SOON:
        return None
    if expires_on < today:
        return Badge(f"Venceu em {short_day(expires_on)}", "bad", "alert")
    days = (expires_on - today).days
    return Badge(
        "Vence hoje" if days == 0 else "Vence amanhã" if days == 1 else f"Vence em {days} dias", "warn", "clock"
    )


async def own(page: WebPage, document_id: UUID) -> ShownDocument:
    """Return a person's document.

    Raises:
        DocumentNotFound: there is none, or it is another person's.
    """
    async with page.database.transaction() as tx:
        return ShownDocument(await documents.read(tx, page.user_id, document_id))


@router.get("/app/documentos")
async def list_documents(page: SignedPage, before: Annotated[UUID | None, Query(alias="antes")] = None) -> Response:
    """List a person's documents, newest first."""
    async with page.database.transaction() as tx:
        rows = await documents.listed(tx, page.user_id, limit=_SHOWN + 1, before=before)
    shown = [ShownDocument(row) for row in rows[:_SHOWN]]
    return page.show("wallet/documents.html", documents=shown, more=shown[-1].id if len(rows) > _SHOWN else None)


@router.get("/app/documentos/{document_id}")
async def show_document(document_id: UUID, page: SignedPage) -> Response:
    """Show one document: its data, its assurance and its files."""
    async with page.database.transaction() as tx:
        document = ShownDocument(await documents.read(tx, page.user_id, document_id))
        versions = await documents.versions(tx, page.user_id, document_id)
    expiry = expiry_badge(document.document.expires_on)
    return page.show(_ONE, document=document, versions=versions, expiry=expiry, up=HOME)


@router.get("/app/documentos/{document_id}/arquivo")
async def get_file(
    document_id: UUID,
    page: SignedPage,
    version: Annotated[int | None, Query(alias="versao", ge=1, le=2**31 - 1)] = None,
) -> Response:
    """Redirect to a download link that is valid for five minutes."""
    ring = vault_of(page.request).ring
    async with page.database.transaction() as tx:
        path, _ = await documents.make_file_path(tx, ring, page.who, document_id, version)
    return page.redirect(page.renderer.config.root_path + path)


@router.get("/app/documentos/{document_id}/mudar")
async def show_edit(document_id: UUID, page: SignedPage) -> Response:
    """Show the form of a document's data."""
    return _edit(page, await own(page, document_id), Reading())


def _edit(page: WebPage, document: ShownDocument, form: Reading[DocumentForm]) -> Response:
    status = 422 if form.errors or form.message else 200
    return page.show(
        _EDIT, status=status, form=form, document=document, types=list(DocumentType), up=f"{HOME}/{document.id}"
    )


@router.post("/app/documentos/{document_id}/mudar")
async def edit(document_id: UUID, page: SignedPage) -> Response:
    """Change a document's data; its files stay."""
    form = await page.form(DocumentForm)
    document = await own(page, document_id)
    if form.value is None:
        return _edit(page, document, form)
    async with page.database.transaction() as tx:
        await documents.update(
            tx,
            page.user_id,
            document_id,
            document_type=form.value.document_type,
            document_number=form.value.document_number,
            file_name=None,
            expires_on=form.value.expires_on,
        )
    return page.go(f"{HOME}/{document_id}", "Dados do documento mudados.")


@router.get("/app/documentos/{document_id}/apagar")
async def show_delete(document_id: UUID, page: SignedPage) -> Response:
    """Show what deleting a document means."""
    return page.show(_DELETE, document=await own(page, document_id), up=f"{HOME}/{document_id}")


@router.post("/app/documentos/{document_id}/apagar")
async def delete(document_id: UUID, page: SignedPage) -> Response:
    """Delete a document and its files."""
    async with page.database.transaction() as tx:
        await documents.remove(tx, page.user_id, document_id)
    return page.go(HOME, "Documento apagado.")


@router.get("/app/documentos/{document_id}/mostrar")
async def show_proof(document_id: UUID, page: SignedPage) -> Response:
    """Show a proof as a full-screen QR code; each view makes a new one."""
    vault = vault_of(page.request)
    try:
        async with page.database.transaction() as tx:
            document = ShownDocument(await documents.read(tx, page.user_id, document_id))
            token, expires_at = await documents.make_proof(tx, vault, page.user_id, document_id)
            holder = await vault.holder_name(tx, page.user_id)
    except REFUSALS as error:
        if isinstance(error, documents.DocumentNotFound):
            raise
        return page.go(f"{HOME}/{document_id}", getattr(error, "detail", ""))
    address = public_address(page.request) + documents.PROOF_PAGE + token
    expires_on = document.document.expires_on
    return page.show(
        "wallet/document_proof.html",
        document=document,
        holder=holder,
        address=address,
        code=qr_code(address, f"Código da prova d{document.article}"),
        until=expires_at,
        expires=f"Válido até {long_day(expires_on)}" if expires_on and not _is_over(expires_on) else None,
        expired=expires_on if expires_on and _is_over(expires_on) else None,
    )


def _is_over(expires_on: date) -> bool:
    return expires_on < clock.today()
