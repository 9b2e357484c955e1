"""Bulk top-ups: checked line by line, sent once, now or on a scheduled day, and cancelled.

Above the limit the whole needs two people.
"""

from functools import partial
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Response
from pydantic import Field

from carteira import benefits
from carteira.kit.db.session import Tx
from carteira.kit.values.days import Day
from carteira.kit.values.texts import counted
from carteira.kit.web.access import acts, claims, looks, reads
from carteira.kit.web.pagination import BY_ID, Page
from carteira.web.console.acts import (
    Confirmation,
    Detail,
    DetailStep,
    ask,
    ask_again,
    show_detail,
)
from carteira.web.console.cells import Cell, amount, badge, count, day, instant, words
from carteira.web.console.pendings import desk_of
from carteira.web.console.tables import NEWEST, PERIOD, Filter, Table, TableAsked, TableColumn, offer_csv
from carteira.web.formats import moment, plain_money
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("benefits")
HOME, SCHEDULED = "/console/recargas", "/console/agendamentos"
CLAIM = "benefits:write"
_PAGE = "console/topup.html"
_LONGEST = 900_000
_SHOWN = 20


class TopUpForm(FormBody):
    """A file of top-ups, as text."""

    lines: Annotated[str, Field(max_length=_LONGEST)]
    atomic: Literal["sim"] | None = None
    day: Day | None = None
    """The scheduled day; None: now."""


@router.get(HOME, dependencies=[claims(CLAIM), reads("a form, without anybody's data")])
async def show_form(page: SignedPage) -> Response:
    """Ask for the file."""
    return page.show(_PAGE, preview=None)


@router.post(f"{HOME}/conferir", dependencies=[claims(CLAIM), looks("benefit_credits_previewed")])
async def check(page: SignedPage) -> Response:
    """Show line by line what a file would do; nothing moves."""
    form = await page.form(TopUpForm)
    if form.value is None:
        return page.show(_PAGE, status=422, form=form, preview=None)
    try:
        lines = await benefits.desk.read_top_up(form.value.lines)
        preview = await page.read(lambda tx: benefits.desk.preview_top_up(tx, page.who, lines))
    except REFUSALS as error:
        wrong = getattr(error, "errors", None)
        return page.show(_PAGE, status=422, form=form.at("lines", wrong[0]["message"]) if wrong else form, preview=None)
    return page.show(_PAGE, form=form, preview=preview)


@router.post(
    f"{HOME}/enviar", dependencies=[claims(CLAIM), acts("benefits_credited_in_bulk", "benefit_credits_scheduled")]
)
async def send(page: SignedPage) -> Response:
    """Credit the accounts, once, now or on a day; above the limit the whole waits for a second person."""
    form = await page.form(TopUpForm)
    if form.value is None:
        return page.show(_PAGE, status=422, form=form, preview=None)
    asked = form.value

    async def work(tx: Tx) -> object:
        lines = await benefits.desk.read_top_up(asked.lines)
        atomic = asked.atomic is not None
        if asked.day is not None:
            kept = await benefits.bulk_desk.schedule(tx, desk_of(page), page.who, lines, day=asked.day, atomic=atomic)
            return {"now": kept}
        done = await benefits.desk.top_up(tx, desk_of(page), page.who, lines, atomic=atomic)
        return {"now": done is not None}

    try:
        outcome = await page.once(work, payload=asked.model_dump(mode="json", exclude_none=True))
    except REFUSALS as error:
        return page.again(_PAGE, form, error, preview=None)
    if outcome.refused:
        return page.show(_PAGE, status=409, form=form.saying(outcome.refused), preview=None)
    if outcome.body.get("now") and asked.day is not None:
        return page.go(SCHEDULED, outcome.said(f"Agendado para {asked.day:%d/%m/%Y}."))
    if outcome.body.get("now"):
        return page.go(HOME, outcome.said("Creditado."))
    return page.go("/console/pendencias", outcome.said("Enviado: outra pessoa aprova aqui."))


_OWN_ORDERS = reads("what was scheduled, of accounts of the employers that one reaches")


_STATES = (
    ("waiting", "Esperam o dia"),
    ("done", "Feitos"),
    ("failed", "Não deram certo"),
    ("cancelled", "Cancelados"),
)


def _state(row: benefits.bulk_desk.ScheduledOut) -> Cell:
    if row.state == "waiting":
        return badge("Espera o dia", "info", "clock")
    if row.state == "cancelled":
        return badge("Cancelado", "", "x")
    return badge("Feito", "ok", "check") if row.state == "done" else badge("Não deu certo", "bad", "alert")


TABLE: Table[benefits.bulk_desk.ScheduledOut] = Table(
    SCHEDULED,
    "agendamentos",
    (
        TableColumn("Dia", lambda row: day(row.day), "nowrap"),
        TableColumn("Linhas", lambda row: count(row.lines), "end"),
        TableColumn("Total", lambda row: amount(row.amount), "end nowrap"),
        TableColumn("Pedido", lambda row: instant(row.created_at), "nowrap", order=NEWEST),
        TableColumn("O que houve", lambda row: words(row.detail), "full"),
        TableColumn("Situação", _state, "stack-end"),
    ),
    key=lambda row: row.id,
    filters=(Filter("situacao", "Situação", "choice", _STATES), *PERIOD),
    opens=lambda row: f"{SCHEDULED}/{row.id}",
    panel=True,
    empty=("Nada agendado", "Um lote de créditos pode ser enviado para um dia, em até um ano."),
)


async def _read(page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[benefits.bulk_desk.ScheduledOut]:
    return await benefits.bulk_desk.scheduled_of(
        tx, page.who, asked.page_within(BY_ID, limit), state=asked.get("situacao")
    )


@router.get(SCHEDULED, dependencies=[claims(CLAIM), _OWN_ORDERS])
async def show_scheduled(page: SignedPage) -> Response:
    """List the scheduled top-ups, the newest first."""
    return await TABLE.answer(page, partial(_read, page), template="console/scheduled.html")


offer_csv(router, TABLE, _read, CLAIM)


async def _one(page: WebPage, scheduled_id: UUID) -> benefits.bulk_desk.ScheduledOut:
    return await page.read(lambda tx: benefits.bulk_desk.find(tx, page.who, scheduled_id))


@router.get(SCHEDULED + "/{scheduled_id}", dependencies=[claims(CLAIM), _OWN_ORDERS])
async def show_order(scheduled_id: UUID, page: SignedPage) -> Response:
    """Show a scheduled top-up and its outcome."""
    one = await _one(page, scheduled_id)
    outcome = one.outcome
    failed = [] if outcome is None else [line for line in outcome.results if line.status == "failed"]
    facts = [
        ("Linhas", str(one.lines)),
        ("Total", plain_money(one.amount)),
        ("Pedido", moment(one.created_at)),
        ("Feito", moment(one.done_at) if one.done_at else ""),
        ("O que houve", one.detail or ""),
        *((f"Conta {line.account}", line.detail or "") for line in failed[:_SHOWN]),
    ]
    steps = [DetailStep(f"{SCHEDULED}/{one.id}/cancelar", "Cancelar…", danger=True)] if one.state == "waiting" else []
    return show_detail(
        page, Detail(f"Créditos de {one.day:%d/%m/%Y}", (SCHEDULED, "Agendamentos"), facts, steps, _state(one))
    )


def _cancelling(one: benefits.bulk_desk.ScheduledOut) -> Confirmation:
    return Confirmation(
        title=f"Cancelar os créditos de {one.day:%d/%m/%Y}?",
        says=(f"Ninguém é creditado: eram {plain_money(one.amount)} em {counted(one.lines, 'linha')}.",),
        way_back="O arquivo pode ser enviado de novo.",
        button="Cancelar os créditos",
        path=f"{SCHEDULED}/{one.id}/cancelar",
        back=f"{SCHEDULED}/{one.id}",
        danger=True,
    )


@router.get(SCHEDULED + "/{scheduled_id}/cancelar", dependencies=[claims(CLAIM), _OWN_ORDERS])
async def ask_cancel(scheduled_id: UUID, page: SignedPage) -> Response:
    """Show what cancelling does."""
    return ask(page, _cancelling(await _one(page, scheduled_id)))


@router.post(SCHEDULED + "/{scheduled_id}/cancelar", dependencies=[claims(CLAIM), acts("benefit_credits_unscheduled")])
async def cancel(scheduled_id: UUID, page: SignedPage) -> Response:
    """Cancel a scheduled top-up."""
    form = await page.form(FormBody)
    one = await _one(page, scheduled_id)
    try:
        async with page.database.transaction() as tx:
            await benefits.bulk_desk.cancel(tx, page.who, scheduled_id)
    except REFUSALS as error:
        return ask_again(page, _cancelling(one), form, error)
    return page.go(SCHEDULED, "Créditos cancelados.")
