"""Files of accounts from HR: checked line by line, opened in the background, with each line's outcome."""

from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Response
from pydantic import BeforeValidator, Field

from carteira import benefits
from carteira.kit.db.session import Tx
from carteira.kit.web.access import acts, claims, looks, reads, step_up
from carteira.kit.web.pagination import BY_ID, Page
from carteira.web.console.cells import Cell, badge, count, instant, mono, words
from carteira.web.console.pendings import desk_of
from carteira.web.console.screens import EXPORT
from carteira.web.console.tables import (
    EXPORTED,
    GROWING,
    NEWEST,
    PERIOD,
    Filter,
    Table,
    TableAsked,
    TableColumn,
    offer_csv,
)
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("benefits")
HOME = "/console/contas-em-lote"
CLAIM = "benefits:write"
_PAGE = "console/import.html"
_LONGEST = 900_000
_EMPLOYERS = 100
_OWN_FILES = reads("the outcome of the sender's own lines, by number; no data of the people in them")
_LINE_STATES = (("opened", "Abertas"), ("exists", "Já existiam"), ("failed", "Com erro"), ("waiting", "Esperam"))


def _empty(text: object) -> object:
    return text or None


class ImportForm(FormBody):
    """A file of accounts, as text; its employer, and whether people are invited."""

    lines: Annotated[str, Field(max_length=_LONGEST)]
    employer: Annotated[UUID | None, BeforeValidator(_empty)] = None
    invite: Literal["sim"] | None = None


def _file_state(row: benefits.bulk_desk.ImportSeen) -> Cell:
    return badge("Em andamento", "info", "clock") if row.finished_at is None else badge("Pronto", "ok", "check")


TABLE: Table[benefits.bulk_desk.ImportSeen] = Table(
    HOME,
    "arquivos",
    (
        TableColumn("Enviado", lambda row: instant(row.created_at), "nowrap", order=NEWEST),
        TableColumn("Linhas", lambda row: count(row.lines), "end"),
        TableColumn("Terminou", lambda row: instant(row.finished_at), "nowrap"),
        TableColumn("Situação", _file_state, "stack-end"),
    ),
    key=lambda row: row.id,
    filters=(
        Filter("situacao", "Situação", "choice", (("andamento", "Em andamento"), ("prontos", "Prontos"))),
        *PERIOD,
    ),
    opens=lambda row: f"{HOME}/{row.id}",
    empty=(
        "Nenhum arquivo ainda",
        "As contas de um arquivo do RH são abertas em segundo plano, e o resultado de cada linha aparece aqui.",
    ),
)


async def _read(page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[benefits.bulk_desk.ImportSeen]:
    finished = {"andamento": False, "prontos": True}.get(asked.get("situacao") or "")
    return await benefits.bulk_desk.imports_of(tx, page.who, asked.page_within(BY_ID, limit), finished=finished)


@router.get(HOME, dependencies=[claims(CLAIM), _OWN_FILES])
async def show_files(page: SignedPage) -> Response:
    """List the files of accounts, the newest first."""
    return await TABLE.answer(page, partial(_read, page), template="console/imports.html")


offer_csv(router, TABLE, _read, CLAIM)


async def _show(page: WebPage, **values: Any) -> Response:  # noqa: ANN401 - a template's values have any type
    employers = await page.read(lambda tx: benefits.desk.employers_of(tx, page.who, limit=_EMPLOYERS))
    return page.show(_PAGE, home=HOME, employers=employers, **({"preview": None} | values))


@router.get(f"{HOME}/novo", dependencies=[claims(CLAIM), reads("a form, without anybody's data")])
async def show_form(page: SignedPage) -> Response:
    """Ask for a file."""
    return await _show(page)


@router.post(f"{HOME}/conferir", dependencies=[claims(CLAIM), looks("benefit_accounts_previewed")])
async def check(page: SignedPage) -> Response:
    """Show line by line what a file would open, without opening it."""
    form = await page.form(ImportForm)
    if form.value is None:
        return await _show(page, status=422, form=form)
    asked = form.value

    async def read(tx: Tx) -> benefits.bulk_desk.ImportPreviewOut:
        lines = await benefits.bulk_desk.read_accounts(tx, asked.lines)
        return await benefits.bulk_desk.preview_accounts(tx, page.who, lines, asked.employer)

    try:
        preview = await page.read(read)
    except REFUSALS as error:
        wrong = getattr(error, "errors", None)
        said = form.at("lines", wrong[0]["message"]) if wrong else form.saying(getattr(error, "detail", ""))
        return await _show(page, status=422, form=said)
    return await _show(page, form=form, preview=preview)


@router.post(f"{HOME}/enviar", dependencies=[claims(CLAIM), acts("benefit_accounts_imported")])
async def send(page: SignedPage) -> Response:
    """Queue the opening of a file's accounts, once; above the limit it waits for a second person."""
    form = await page.form(ImportForm)
    if form.value is None:
        return await _show(page, status=422, form=form)
    asked = form.value

    async def work(tx: Tx) -> object:
        lines = await benefits.bulk_desk.read_accounts(tx, asked.lines)
        made = await benefits.bulk_desk.import_accounts(
            tx, desk_of(page), page.who, lines, employer_id=asked.employer, invite=asked.invite is not None
        )
        return {"id": str(made) if made else ""}

    try:
        outcome = await page.once(work, payload=asked.model_dump(mode="json", exclude_none=True))
    except REFUSALS as error:
        employers = await page.read(lambda tx: benefits.desk.employers_of(tx, page.who, limit=_EMPLOYERS))
        return page.again(_PAGE, form, error, preview=None, home=HOME, employers=employers)
    if outcome.refused:
        return await _show(page, status=409, form=form.saying(outcome.refused))
    if outcome.body.get("id"):
        return page.go(f"{HOME}/{outcome.body['id']}", outcome.said("As contas estão sendo abertas."))
    return page.go("/console/pendencias", outcome.said("Enviado: outra pessoa aprova aqui."))


def _line_state(row: benefits.bulk_desk.ImportLineOut) -> Cell:
    if row.status == "opened":
        return badge("Aberta", "ok", "check")
    if row.status == "exists":
        return badge("Já existia")
    return badge("Com erro", "bad", "alert") if row.status == "failed" else badge("Espera", "info", "clock")


_LINES: Table[benefits.bulk_desk.ImportLineOut] = Table(
    HOME + "/{import_id}",
    "linhas",
    (
        TableColumn("Linha", lambda row: count(row.line), "end", order=GROWING),
        TableColumn("Conta", lambda row: mono(row.account, f"/console/contas/{row.account}" if row.account else "")),
        TableColumn("Resultado", lambda row: words(row.detail), "full"),
        TableColumn("Situação", _line_state, "stack-end"),
    ),
    key=lambda row: row.line,
    filters=(Filter("situacao", "Situação", "choice", _LINE_STATES),),
)


async def _read_lines(
    page: WebPage, import_id: UUID, tx: Tx, asked: TableAsked, limit: int
) -> Page[benefits.bulk_desk.ImportLineOut]:
    place = asked.page_request(benefits.bulk_desk.LINES, limit)
    return await benefits.bulk_desk.lines_of(tx, page.who, import_id, asked.get("situacao"), place)


@router.get(HOME + "/{import_id}.csv", dependencies=[claims(CLAIM, EXPORT), step_up(), acts(EXPORTED)])
async def download_lines(import_id: UUID, page: SignedPage) -> Response:
    """Download each line's outcome as CSV."""
    table = replace(_LINES, path=f"{HOME}/{import_id}")
    return await table.download(page, partial(_read_lines, page, import_id))


@router.get(HOME + "/{import_id}", dependencies=[claims(CLAIM), _OWN_FILES])
async def show_file(import_id: UUID, page: SignedPage) -> Response:
    """Show a file's progress, and each line's outcome."""
    one = await page.read(lambda tx: benefits.bulk_desk.find_import(tx, page.who, import_id))
    table = replace(_LINES, path=f"{HOME}/{import_id}")
    read = partial(_read_lines, page, import_id)
    return await table.answer(page, read, template="console/import_lines.html", one=one, home=HOME)
