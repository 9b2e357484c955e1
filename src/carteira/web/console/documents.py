"""Documents that wait for a review: the declared data beside the file, and the decision."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from carteira import documents, identity
from carteira.kit.db.session import Tx
from carteira.kit.values.days import Instant
from carteira.kit.web.access import acts, claims, looks, reads
from carteira.kit.web.pagination import BY_ID, Page
from carteira.kit.web.problems import problem_of
from carteira.web.console.acts import ActField, Confirmation, ask, ask_again
from carteira.web.console.cells import Cell, badge, count, instant, words
from carteira.web.console.tables import PERSON, Filter, Table, TableAsked, TableColumn, offer_csv
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("documents")
HOME = "/console/documentos"
CLAIM = "documents:review"
_STATES = (("reviewed", "Conferidos"), ("refused", "Recusados"))


def _state(row: documents.DocumentView) -> Cell:
    if row.state is documents.DocumentState.REVIEWED:
        return badge("Conferido", "ok", "check")
    if row.state is documents.DocumentState.REFUSED:
        return badge("Recusado", "bad", "x")
    return badge("Espera", "warn", "clock")


TABLE: Table[documents.DocumentView] = Table(
    HOME,
    "documentos",
    (
        TableColumn("Enviado", lambda row: instant(row.uploaded_at), "nowrap"),
        TableColumn("Documento", lambda row: words(row.document_type.value), "full"),
        TableColumn("Envios", lambda row: count(row.version), "end"),
        TableColumn("Situação", _state, "stack-end"),
    ),
    key=lambda row: row.id,
    filters=(Filter("situacao", "Situação", "choice", _STATES, otherwise="Esperam"), PERSON),
    opens=lambda row: f"{HOME}/{row.id}",
    panel=True,
    empty=("Nada a conferir", "Um documento aparece aqui quando alguém manda o arquivo."),
)


def _vault(request: Request) -> documents.Vault:
    return documents.VAULT.of(request.app)


async def _read(page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[documents.DocumentView]:
    person, state = asked.id("pessoa"), asked.get("situacao")
    wanted = None if person is not None and state is None else documents.DocumentState(state or "declared")
    return await documents.desk.queue(tx, page.who, wanted, asked.page_request(BY_ID, limit), person)


@router.get(HOME, dependencies=[claims(CLAIM), looks("document_listed")])
async def show_documents(page: SignedPage) -> Response:
    """List the waiting documents, the longest waiting first."""
    return await TABLE.answer(page, partial(_read, page), template="console/documents.html")


offer_csv(router, TABLE, _read, CLAIM)


async def _one(page: WebPage, document_id: UUID) -> tuple[documents.DocumentView, str | None]:
    return await page.read(lambda tx: documents.desk.look(tx, _vault(page.request), page.who, document_id))


@router.get(HOME + "/{document_id}", dependencies=[claims(CLAIM), looks("document_read")])
async def show_document(document_id: UUID, page: SignedPage) -> Response:
    """Show the declared data, with a link to the file."""
    document, holder = await _one(page, document_id)
    return page.show(
        "console/document.html", block="panel", home=HOME, document=document, holder=holder, state=_state(document)
    )


@router.get(HOME + "/{document_id}/arquivo", dependencies=[claims(CLAIM), looks("document_file_read")])
async def open_file(document_id: UUID, page: SignedPage) -> Response:
    """Redirect to the file by a link that is valid for five minutes."""
    path = await page.read(lambda tx: documents.desk.file_link(tx, _vault(page.request), page.who, document_id))
    return RedirectResponse(page.renderer.config.root_path + path, 303, {"Cache-Control": "no-store"})


@router.get(HOME + "/{document_id}/comparar", dependencies=[claims(CLAIM), looks("document_file_read")])
async def compare(document_id: UUID, page: SignedPage) -> Response:
    """Show the file beside the declared data; a link, if browsers cannot show it."""
    document, holder, path, shown_as = await page.read(
        lambda tx: documents.desk.compare(tx, _vault(page.request), page.who, document_id)
    )
    return page.show(
        "console/compare.html",
        home=HOME,
        document=document,
        holder=holder,
        state=_state(document),
        file_path=path,
        shown_as=shown_as,
        pdf_path=f"{HOME}/{document_id}/pdf?{path.partition('?')[2]}",
        frames=shown_as == "pdf",
    )


@router.get(
    HOME + "/{document_id}/pdf",
    dependencies=[claims(CLAIM), reads("the file of a link that a look at it has made; the page around it records it")],
)
async def frame_pdf(
    document_id: UUID, page: SignedPage, token: Annotated[str, Query(max_length=documents.desk.MAX_TOKEN)]
) -> Response:
    """Send a PDF to the frame beside what was declared: the answer is sandboxed, and no other site may frame it."""
    vault = _vault(page.request)
    async with page.database.transaction() as tx:
        file = await documents.desk.open_pdf(tx, vault, document_id, token)
    return await documents.desk.file_answer(file, vault.storage, in_frame=True)


class DecisionForm(FormBody):
    """A decision on a document as it was seen."""

    words: Annotated[str, Field(min_length=3, max_length=500)]
    seen_at: Instant
    seen_in: documents.DocumentState


def _review(document: documents.DocumentView, *, good: bool) -> Confirmation:
    return Confirmation(
        title="Dar este documento por conferido?" if good else "Recusar este documento?",
        says=(
            ("As provas dele passam a dizer “Conferido”, com a data de hoje.",)
            if good
            else ("A pessoa lê o motivo e recebe um e-mail. O documento continua guardado.",)
        ),
        way_back="Um documento conferido pode ser recusado depois, e um recusado, conferido.",
        button="Dar por conferido" if good else "Recusar",
        path=f"{HOME}/{document.id}/{'conferir' if good else 'recusar'}",
        back=f"{HOME}/{document.id}",
        danger=not good,
        facts=(("Documento", document.document_type.value), ("Número", document.document_number)),
        fields=(ActField("words", "O que você comparou" if good else "Motivo, que a pessoa lê", "long"),),
        seen=(("seen_at", document.updated_at.isoformat()), ("seen_in", document.state.value)),
    )


async def _ask(page: WebPage, document_id: UUID, *, good: bool) -> Response:
    document, _ = await _one(page, document_id)
    return ask(page, _review(document, good=good))


async def _decide(page: WebPage, document_id: UUID, *, good: bool) -> Response:
    form = await page.form(DecisionForm)
    document, _ = await _one(page, document_id)
    if form.value is None:
        return ask_again(page, _review(document, good=good), form)
    try:
        async with page.database.transaction() as tx:
            await documents.desk.decide(
                tx,
                page.who,
                document_id,
                state=documents.DocumentState.REVIEWED if good else documents.DocumentState.REFUSED,
                decision=form.value.words,
                seen_at=form.value.seen_at,
                seen_in=form.value.seen_in,
            )
    except REFUSALS as error:
        if decision := await _who_decided(page, document_id):
            problem = problem_of(error)
            again = form.saying(f"{decision} {problem.detail}")
            return ask(page, _review(document, good=good), again, status=problem.status)
        return ask_again(page, _review(document, good=good), form, error)
    return page.go(HOME, "Documento conferido." if good else "Documento recusado.")


async def _who_decided(page: WebPage, document_id: UUID) -> str:
    """Return who has decided on a document in the meantime; empty: nobody."""

    async def read(tx: Tx) -> str:
        decided_by = await documents.desk.decided_by(tx, document_id)
        name = "" if decided_by is None else (await identity.names(tx, [decided_by])).get(decided_by, "")
        return f"{name} decidiu este documento." if name else ""

    return await page.read(read)


@router.get(HOME + "/{document_id}/conferir", dependencies=[claims(CLAIM), looks("document_read")])
async def ask_review(document_id: UUID, page: SignedPage) -> Response:
    """Show what a review does."""
    return await _ask(page, document_id, good=True)


@router.post(HOME + "/{document_id}/conferir", dependencies=[claims(CLAIM), acts("document_reviewed")])
async def review(document_id: UUID, page: SignedPage) -> Response:
    """Mark a document as reviewed; say so if it changed or was decided meanwhile."""
    return await _decide(page, document_id, good=True)


@router.get(HOME + "/{document_id}/recusar", dependencies=[claims(CLAIM), looks("document_read")])
async def ask_refusal(document_id: UUID, page: SignedPage) -> Response:
    """Show what refusing does."""
    return await _ask(page, document_id, good=False)


@router.post(HOME + "/{document_id}/recusar", dependencies=[claims(CLAIM), acts("document_refused")])
async def refuse(document_id: UUID, page: SignedPage) -> Response:
    """Refuse a document; say so if it changed or was decided meanwhile."""
    return await _decide(page, document_id, good=False)
