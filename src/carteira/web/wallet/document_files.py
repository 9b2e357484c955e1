"""Saves documents with their files, and newer files; uploads are sealed into the vault at once."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from fastapi import Response

from carteira import documents
from carteira.documents import DocumentType
from carteira.kit.db.session import Tx
from carteira.kit.values.ids import uuid7
from carteira.web import uploads
from carteira.web.forms import EMPTY, FormBody, Reading
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import UploadRoute, pages
from carteira.web.uploads import Received, vault_of
from carteira.web.wallet.documents import HOME, DocumentForm, ShownDocument, own

UPLOADS = "/app/documentos/enviar"
router = pages("documents", route_class=UploadRoute)
_NEW, _FILE = "wallet/document_new.html", "wallet/document_file.html"
_MEGABYTES = documents.MAX_FILE_BYTES // 2**20
Work = Callable[[Tx], Awaitable[documents.DocumentView]]


class FileForm(FormBody):
    """Nothing but a file."""


def _new(page: WebPage, form: Reading[DocumentForm] | Reading[FormBody], status: int = 200) -> Response:
    return page.show(_NEW, status=status, images="blob:", form=form, types=list(DocumentType), most=_MEGABYTES, up=HOME)


@router.get("/app/documentos/enviar")
async def show_new(page: SignedPage) -> Response:
    """Ask for a document's data and a photo or file of it."""
    return _new(page, EMPTY)


@router.post("/app/documentos/enviar")
async def keep(page: SignedPage) -> Response:
    """Save a document, with or without a file."""
    received = await uploads.receive(page, DocumentForm, uuid7())
    data = received.form.value
    if data is None or received.form.errors:
        return _new(page, received.form, 422)

    async def work(tx: Tx) -> documents.DocumentView:
        return await documents.register(
            tx,
            vault_of(page.request).ring,
            page.user_id,
            document_type=data.document_type,
            document_number=data.document_number,
            expires_on=data.expires_on,
            file=received.file,
        )

    payload = data.model_dump(mode="json") | {"file": received.file.file_name if received.file else ""}
    try:
        document_id, said = await _once(page, received, work, payload)
    except REFUSALS as error:
        return page.again(
            _NEW, received.form, error, images="blob:", types=list(DocumentType), most=_MEGABYTES, up=HOME
        )
    return page.go(f"{HOME}/{document_id}", said or "Documento guardado.")


async def _once(
    page: WebPage, received: Received[DocumentForm] | Received[FileForm], work: Work, payload: dict[str, object]
) -> tuple[str, str]:
    """Do the work of a form with a file once; return the document's id, and the message of a repetition."""
    vault = vault_of(page.request)
    async with documents.kept(vault, received.file):
        outcome = await page.once(work, payload=payload, money=False, key=received.key)
    if outcome.again and received.file is not None:
        await vault.storage.discard(received.file.version_id)
    return str(outcome.body["id"]), outcome.again


def _file(page: WebPage, document: ShownDocument, form: Reading[FileForm] | Reading[FormBody]) -> Response:
    status = 422 if form.errors or form.message else 200
    up = f"{HOME}/{document.id}"
    return page.show(_FILE, status=status, images="blob:", form=form, document=document, most=_MEGABYTES, up=up)


@router.get("/app/documentos/enviar/{document_id}")
async def show_send(document_id: UUID, page: SignedPage) -> Response:
    """Show the form for a document's file."""
    return _file(page, await own(page, document_id), EMPTY)


@router.post("/app/documentos/enviar/{document_id}")
async def send(document_id: UUID, page: SignedPage) -> Response:
    """Make a file the newest version of a document."""
    received = await uploads.receive(page, FileForm, document_id)
    document = await _own_or_discard(page, document_id, received)
    file = received.file
    if file is None:
        form = received.form if received.form.errors else received.form.at(documents.FILE, "Escolha um arquivo.")
        return _file(page, document, form)

    async def work(tx: Tx) -> documents.DocumentView:
        return await documents.replace_file(tx, vault_of(page.request).ring, page.user_id, file)

    payload = {"document": str(document_id), "file": file.file_name, "size": file.size}
    try:
        _, said = await _once(page, received, work, payload)
    except REFUSALS as error:
        return _file(page, document, received.form.saying(getattr(error, "detail", "")))
    return page.go(f"{HOME}/{document_id}", said or "Arquivo guardado. Os anteriores continuam aqui.")


async def _own_or_discard(page: WebPage, document_id: UUID, received: Received[FileForm]) -> ShownDocument:
    """Return a person's document; discard an upload for somebody else's."""
    async with documents.kept(vault_of(page.request), received.file):
        return await own(page, document_id)
