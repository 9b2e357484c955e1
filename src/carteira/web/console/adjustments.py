"""Corrections of a reseller's closed month: booked with a reason, settled by the next close, undone before it."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Path, Response

from carteira import resellers
from carteira.kit.db.session import Tx
from carteira.kit.web.access import acts, claims, looks
from carteira.kit.web.approvals import OperatorRoom
from carteira.kit.web.problems import NotFound
from carteira.web.console.acts import ActField, Confirmation, ask, ask_again
from carteira.web.console.pendings import HOME as PENDINGS
from carteira.web.console.pendings import desk_of
from carteira.web.console.purchases import DECIDES, READS
from carteira.web.console.sellers import HOME
from carteira.web.console.words import room_facts
from carteira.web.formats import Reais, month_name, plain_money
from carteira.web.forms import FormBody, Reading
from carteira.web.page import REFUSALS, Outcome, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("resellers")
Month = Annotated[resellers.desk.BusinessMonth, Path()]
_ADJUST = HOME + "/{reseller_id}/meses/{month}/ajustar"
_UNDO = HOME + "/{reseller_id}/ajustes/{adjustment_id}/desfazer"
_CLAIMS = claims(READS, DECIDES)
_MONTHS = 24


class AdjustmentForm(FormBody):
    """The amount in reais that a closed month credited too much or too little, and the reason."""

    direction: Literal["owed", "owing"]
    amount: Reais
    reason: resellers.desk.Reason


def _booking(reseller_id: UUID, one: resellers.MonthOut, room: OperatorRoom) -> Confirmation:
    name = month_name(one.month)
    return Confirmation(
        title=f"Ajustar o cashback de {name}?",
        says=(
            f"{name.capitalize()} fica como foi fechado. O próximo fechamento leva o ajuste, que aparece no extrato.",
            "O que foi creditado a mais é descontado só do crédito do mês seguinte, nunca do saldo que já é da pessoa.",
            "Acima do limite, outra pessoa aprova. Ninguém ajusta um mês seu.",
        ),
        way_back="Até que um fechamento o leve, o ajuste pode ser desfeito.",
        button="Fazer o ajuste",
        path=f"{HOME}/{reseller_id}/meses/{one.month:%Y-%m}/ajustar",
        back=f"{HOME}/{reseller_id}",
        danger=True,
        facts=(("Creditado pelas compras", plain_money(one.cashback_amount)), *room_facts(room)),
        fields=(
            ActField(
                "direction",
                "O que houve",
                "choice",
                choices=(("owed", "Falta ao revendedor"), ("owing", "Foi creditado a mais")),
            ),
            ActField("amount", "Quanto", "money"),
            ActField("reason", "Motivo, que o revendedor lê", "long"),
        ),
    )


async def _asked(page: WebPage, reseller_id: UUID, month: Any) -> Confirmation:  # noqa: ANN401 - a day of the path
    """Return the confirmation, with a reseller's month and the operator's limits; the look is recorded.

    Raises:
        NotFound: they have no purchases in it.
    """

    async def read(tx: Tx) -> tuple[list[resellers.MonthOut], OperatorRoom]:
        _, months = await resellers.desk.reseller(tx, page.who, reseller_id, months=_MONTHS)
        return months, await desk_of(page).room(tx, resellers.desk.CORRECTIONS, page.who)

    months, room = await page.read(read)
    found = next((one for one in months if one.month == month), None)
    if found is None:
        raise NotFound
    return _booking(reseller_id, found, room)


@router.get(_ADJUST, dependencies=[_CLAIMS, looks("reseller_read")])
async def ask_adjustment(reseller_id: UUID, month: Month, page: SignedPage) -> Response:
    """Show the form for the amount of a correction."""
    return ask(page, await _asked(page, reseller_id, month))


@router.post(_ADJUST, dependencies=[_CLAIMS, acts("cashback_adjustment_booked")])
async def adjust(reseller_id: UUID, month: Month, page: SignedPage) -> Response:
    """Book an adjustment; above the limit it waits for a second person."""
    form: Reading[Any] = await page.form(AdjustmentForm)
    act = await _asked(page, reseller_id, month)
    if form.value is None:
        return ask_again(page, act, form)
    asked: AdjustmentForm = form.value
    amount = int(asked.amount) if asked.direction == "owed" else -int(asked.amount)

    async def work(tx: Tx) -> object:
        desk = desk_of(page)
        now = await resellers.desk.adjust(tx, desk, page.who, reseller_id, month, amount, asked.reason)
        return {"now": now}

    try:
        outcome = await page.once(work, payload=[str(reseller_id), f"{month:%Y-%m}", amount, asked.reason])
    except REFUSALS as error:
        return ask_again(page, act, form, error)
    if outcome.refused:
        return ask_again(page, act, form.saying(outcome.refused))
    return _gone(page, reseller_id, outcome, "Ajuste feito: o próximo fechamento o leva.")


def _gone(page: WebPage, reseller_id: UUID, outcome: Outcome, said: str) -> Response:
    if outcome.body.get("now"):
        return page.go(f"{HOME}/{reseller_id}", outcome.said(said))
    return page.go(PENDINGS, "Enviado: outra pessoa aprova aqui.")


async def _undoing(page: WebPage, reseller_id: UUID, adjustment_id: UUID) -> Confirmation:
    """Return what undoing an adjustment does; the look at its reseller is recorded.

    Raises:
        NotFound: there is none of theirs.
    """

    async def read(tx: Tx) -> resellers.desk.AdjustmentOut | None:
        await resellers.desk.reseller(tx, page.who, reseller_id, months=1)
        newest = await resellers.desk.adjustments_of(tx, reseller_id)
        return next((one for one in newest if one.id == adjustment_id), None)

    one = await page.read(read)
    if one is None:
        raise NotFound
    return Confirmation(
        title=f"Desfazer o ajuste de {month_name(one.month)}?",
        says=("O próximo fechamento não o leva. O ajuste e quem o desfez ficam na auditoria.",),
        way_back="Um ajuste desfeito pode ser feito de novo.",
        button="Desfazer o ajuste",
        path=f"{HOME}/{reseller_id}/ajustes/{adjustment_id}/desfazer",
        back=f"{HOME}/{reseller_id}",
        danger=True,
        facts=(("Valor", plain_money(one.amount)), ("Motivo", one.reason or "")),
    )


@router.get(_UNDO, dependencies=[_CLAIMS, looks("reseller_read")])
async def ask_undoing(reseller_id: UUID, adjustment_id: UUID, page: SignedPage) -> Response:
    """Show what undoing an adjustment does."""
    return ask(page, await _undoing(page, reseller_id, adjustment_id))


@router.post(_UNDO, dependencies=[_CLAIMS, acts("cashback_adjustment_undone")])
async def undo(reseller_id: UUID, adjustment_id: UUID, page: SignedPage) -> Response:
    """Undo an adjustment that no close has settled; above the limit it waits for a second person."""
    form = await page.form(FormBody)
    act = await _undoing(page, reseller_id, adjustment_id)

    async def work(tx: Tx) -> object:
        return {"now": await resellers.desk.undo_adjustment(tx, desk_of(page), page.who, adjustment_id)}

    try:
        outcome = await page.once(work, payload=[str(adjustment_id)])
    except REFUSALS as error:
        return ask_again(page, act, form, error)
    if outcome.refused:
        return ask_again(page, act, form.saying(outcome.refused))
    return _gone(page, reseller_id, outcome, "Ajuste desfeito.")
