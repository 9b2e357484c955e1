"""Rides with an impossible validator's clock: charged as of their arrival or their stated time, or dismissed."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import Response
from pydantic import Field

from carteira import transit
from carteira.kit.db.session import Tx
from carteira.kit.web.access import acts, claims, looks
from carteira.kit.web.pagination import BY_ID, Page
from carteira.web.console.acts import ActField, Confirmation, ask, ask_again
from carteira.web.console.cells import amount, instant, mono, words
from carteira.web.console.tables import OLDEST, PERIOD, Table, TableAsked, TableColumn, offer_csv
from carteira.web.formats import moment, plain_money
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("transit")
HOME = "/console/viagens"
CLAIM = "transit:review"

TABLE: Table[transit.desk.WaitingTap] = Table(
    HOME,
    "viagens",
    (
        TableColumn("Chegou", lambda row: instant(row.received_at), "nowrap", order=OLDEST),
        TableColumn("O validador disse", lambda row: words(f"{row.tapped_at:%d/%m/%Y %H:%M}"), "nowrap"),
        TableColumn("Cartão", lambda row: mono(f"final {row.card_number[-4:]}")),
        TableColumn("Linha", lambda row: words(row.line, row.vehicle or "")),
        TableColumn("Valor", lambda row: amount(row.amount), "end nowrap"),
    ),
    key=lambda row: row.id,
    filters=PERIOD,
    opens=lambda row: f"{HOME}/{row.id}",
    panel=True,
    empty=("Nenhuma viagem espera", "Uma viagem com relógio impossível aparece aqui."),
)


async def _read(_page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[transit.desk.WaitingTap]:
    return await transit.desk.taps(tx, asked.page_within(BY_ID, limit))


@router.get(HOME, dependencies=[claims(CLAIM), looks("waiting_taps_listed")])
async def show_taps(page: SignedPage) -> Response:
    """List the waiting rides, the oldest first."""
    return await TABLE.answer(page, partial(_read, page), template="console/taps.html")


offer_csv(router, TABLE, _read, CLAIM)


async def _one(page: WebPage, tap_id: UUID) -> transit.desk.WaitingTap:
    return await page.read(lambda tx: transit.desk.waiting_tap(tx, tap_id))


@router.get(HOME + "/{tap_id}", dependencies=[claims(CLAIM), looks("waiting_taps_listed")])
async def show_tap(tap_id: UUID, page: SignedPage) -> Response:
    """Show a waiting ride."""
    return page.show("console/tap.html", block="panel", home=HOME, tap=await _one(page, tap_id))


def _charging(tap: transit.desk.WaitingTap) -> Confirmation:
    return Confirmation(
        title=f"Cobrar esta viagem de {plain_money(tap.amount)}?",
        says=(
            f"Conta como feita quando chegou, {moment(tap.received_at)}.",
            "O que o saldo não cobrir fica devendo; com o cartão bloqueado então, é recusada.",
        ),
        way_back="Uma viagem cobrada não volta a esperar.",
        button="Cobrar",
        path=f"{HOME}/{tap.id}/cobrar",
        back=HOME,
    )


def _dismissal(tap: transit.desk.WaitingTap) -> Confirmation:
    return Confirmation(
        title=f"Não cobrar esta viagem de {plain_money(tap.amount)}?",
        says=("Ninguém a paga. O motivo fica na auditoria.",),
        way_back="Uma viagem recusada não volta a esperar.",
        button="Não cobrar",
        path=f"{HOME}/{tap.id}/recusar",
        back=HOME,
        danger=True,
        fields=(ActField("reason", "Motivo", "long"),),
    )


class DismissalForm(FormBody):
    """The reason for dismissing a ride."""

    reason: Annotated[str, Field(min_length=1, max_length=300)]


@router.get(HOME + "/{tap_id}/cobrar", dependencies=[claims(CLAIM), looks("waiting_taps_listed")])
async def ask_charge(tap_id: UUID, page: SignedPage) -> Response:
    """Show what charging does."""
    return ask(page, _charging(await _one(page, tap_id)))


@router.post(HOME + "/{tap_id}/cobrar", dependencies=[claims(CLAIM), acts("tap_charged")])
async def charge(tap_id: UUID, page: SignedPage) -> Response:
    """Charge a ride as of its arrival."""
    form = await page.form(FormBody)
    tap = await _one(page, tap_id)
    try:
        async with page.database.transaction() as tx:
            bounds = transit.TAP_BOUNDS.of(page.request.app)
            await transit.desk.charge(tx, tap_id, tapped_at=None, bounds=bounds, who=page.who)
    except REFUSALS as error:
        return ask_again(page, _charging(tap), form, error)
    return page.go(HOME, "Viagem cobrada.")


@router.get(HOME + "/{tap_id}/recusar", dependencies=[claims(CLAIM), looks("waiting_taps_listed")])
async def ask_dismissal(tap_id: UUID, page: SignedPage) -> Response:
    """Show what dismissing does."""
    return ask(page, _dismissal(await _one(page, tap_id)))


@router.post(HOME + "/{tap_id}/recusar", dependencies=[claims(CLAIM), acts("tap_dismissed")])
async def dismiss(tap_id: UUID, page: SignedPage) -> Response:
    """Dismiss a ride: nobody pays for it."""
    form = await page.form(DismissalForm)
    tap = await _one(page, tap_id)
    if form.value is None:
        return ask_again(page, _dismissal(tap), form)
    try:
        async with page.database.transaction() as tx:
            await transit.desk.dismiss(tx, tap_id, reason=form.value.reason, who=page.who)
    except REFUSALS as error:
        return ask_again(page, _dismissal(tap), form, error)
    return page.go(HOME, "Viagem recusada: ninguém paga.")
