"""The credit desk's records: outcomes, by form and from a CSV, and the looks at a CPF."""

from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

from fastapi import Request, Response
from pydantic import Field

from carteira import credit, identity
from carteira.kit.db.session import Tx
from carteira.kit.values.cpf import Cpf, InvalidCpf, mask_cpf, parse_cpf
from carteira.kit.web.access import acts, claims, looks, reads
from carteira.kit.web.pagination import Page
from carteira.kit.web.state import AUDIT_TRAIL
from carteira.web.console.cells import badge, instant, words
from carteira.web.console.credit import PURPOSES
from carteira.web.console.tables import NEWEST, Filter, Listed, Table, TableAsked, TableColumn, offer_csv
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("credit")
HOME, LOOKS = "/console/desfechos", "/console/consultas-de-credito"
WRITES, AUDITS = "credit:outcomes:write", "credit:audit"
_PAGE = "console/outcomes.html"
_LONGEST = 100_000


class OutcomeForm(FormBody):
    """One person's outcome."""

    cpf: Cpf
    defaulted: Literal["sim", "nao"]


class OutcomesForm(FormBody):
    """A file of outcomes, as text."""

    lines: Annotated[str, Field(max_length=_LONGEST)]


@router.get(HOME, dependencies=[claims(WRITES), reads("a form, without anybody's data")])
async def show_form(page: SignedPage) -> Response:
    """Show the forms for outcomes."""
    return page.show(_PAGE, done=None)


@router.post(f"{HOME}/um", dependencies=[claims(WRITES), acts("credit_outcome_recorded")])
async def record(page: SignedPage) -> Response:
    """Record one person's outcome; a second one replaces it."""
    form = await page.form(OutcomeForm)
    if form.value is None:
        return page.show(_PAGE, status=422, form=form, done=None)
    asked, app = form.value, page.request.app
    try:
        await credit.desk.record_outcome(
            credit.STORES.of(app), AUDIT_TRAIL.of(app), asked.cpf, defaulted=asked.defaulted == "sim"
        )
    except REFUSALS as error:
        return page.again(_PAGE, form, error, done=None)
    return page.go(HOME, f"Desfecho do CPF {mask_cpf(asked.cpf)} registrado.")


@router.post(f"{HOME}/arquivo", dependencies=[claims(WRITES), acts("credit_outcome_recorded", each=True)])
async def record_many(page: SignedPage) -> Response:
    """Record a file's outcomes, each by itself; failures are shown line by line."""
    form = await page.form(OutcomesForm)
    if form.value is None:
        return page.show(_PAGE, status=422, form=form, done=None)
    app = page.request.app
    try:
        done = await credit.desk.record_outcomes(credit.STORES.of(app), AUDIT_TRAIL.of(app), form.value.lines)
    except REFUSALS as error:
        wrong = getattr(error, "errors", None)
        if wrong:
            return page.show(_PAGE, status=422, form=form.at("lines", wrong[0]["message"]), done=None)
        return page.again(_PAGE, form, error, done=None)
    return page.show(_PAGE, done=done)


AccessRow = tuple[credit.desk.AccessOut, str]
"""A look at a person's base A, and its actor's name."""

TABLE: Table[AccessRow] = Table(
    LOOKS,
    "consultas",
    (
        TableColumn("Quando", lambda row: instant(row[0].at), "nowrap", order=NEWEST),
        TableColumn("Quem", lambda row: words(row[1] or str(row[0].who)), "full"),
        TableColumn("O que leu", lambda row: words(row[0].what)),
        TableColumn("Para quê", lambda row: words(dict(PURPOSES).get(row[0].purpose, row[0].purpose)), "full"),
        TableColumn(
            "Achou",
            lambda row: badge("Sim", "ok", "check") if row[0].outcome == "found" else badge("Não"),
            "stack-end",
        ),
    ),
    key=lambda row: row[0].seq,
    filters=(Filter("cpf", "CPF inteiro", grows=True),),
    empty=("De quem?", "Escreva um CPF inteiro: aparece quem leu a base A dele, quando e para quê."),
)


async def _nobody(_tx: Tx, _asked: TableAsked, _limit: int) -> Listed[AccessRow]:
    return Listed(())


async def _read(page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[AccessRow]:
    stores = _stores(page.request)
    place = asked.page_request(credit.desk.ACCESSES, limit)
    found = await credit.desk.accesses(tx, stores, page.who, parse_cpf(asked.get("cpf") or ""), place)
    names = await identity.names(tx, {row.who for row in found.items})
    return found.map(lambda row: (row, names.get(row.who, "")))


def _stores(request: Request) -> credit.Stores:
    return credit.STORES.of(request.app)


@router.get(LOOKS, dependencies=[claims(AUDITS), reads("a form, without anybody's data")])
async def show_looks_form(page: SignedPage) -> Response:
    """Ask for a CPF; it appears in no address."""
    return await TABLE.answer(page, _nobody, asked=TableAsked({}, private=True), template="console/credit_looks.html")


@router.post(LOOKS, dependencies=[claims(AUDITS), looks("credit_accesses_read")])
async def show_looks(page: SignedPage) -> Response:
    """List the looks at a CPF, the newest first."""
    return await TABLE.answer(
        page, partial(_read, page), asked=await _asked(page), template="console/credit_looks.html"
    )


async def _asked(page: WebPage) -> TableAsked:
    """Parse a search by form."""
    asked = await TABLE.asked_by_form(page)
    try:
        parse_cpf(asked.get("cpf") or "")
    except InvalidCpf as error:
        return replace(asked, errors={"cpf": str(error)})
    return asked


offer_csv(router, TABLE, _read, AUDITS, asked_by_form=_asked)
