"""Transport: a card's balance, rides and recharges; blocking, cancelling, and moving its balance."""

from collections.abc import Iterable
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Response
from pydantic import Field

from carteira import payments, transit
from carteira.kit.web.problems import NotFound, problem_of
from carteira.web.formats import Reais
from carteira.web.forms import EMPTY, FormBody, Reading
from carteira.web.page import REFUSALS, Outcome, SignedPage, WebPage
from carteira.web.routing import pages
from carteira.web.wallet import movements
from carteira.web.wallet.movements import MoneyMovement, Why
from carteira.web.wallet.pockets import TRANSIT, pocket_of

router = pages("transit")
_HOME, _PAGE, _CANCEL = "/app/transporte", "wallet/transport.html", "wallet/transport_cancel.html"
_SHOWN = 20
_FEW_RIDES = 2
_CHOICES = (1000, 2000, 5000, 10000)
_TITLES = {"recharge": "Recarga", "debit": "Débito", "transfer": "Saldo entre cartões", "reversal": "Estorno"}
_DENIED = {
    "card_blocked": ("O cartão estava bloqueado.", "Nada foi cobrado. Para voltar a usar, desbloqueie o cartão."),
    "card_cancelled": ("O cartão já estava cancelado.", "Nada foi cobrado. Use outro cartão."),
}


class RechargeForm(FormBody):
    """One of the offered amounts, in reais, or another one, which takes precedence."""

    choice: Reais | None = None
    amount: Reais | None = None
    how: Literal["pix"] | None = None


class TargetForm(FormBody):
    """The card that gets another one's balance; none: it stays there."""

    target: UUID | None = None


class MoveForm(FormBody):
    """The card that gets a cancelled one's balance."""

    target: Annotated[UUID, Field()]


@router.get("/app/transporte")
async def show_transport(page: SignedPage, card: Annotated[UUID | None, Query(alias="cartao")] = None) -> Response:
    """Show a card, its last rides and recharges, and the possible acts."""
    return await _show(page, card)


async def _show(page: WebPage, card_id: UUID | None, form: Reading[RechargeForm] | None = None) -> Response:
    async with page.database.transaction() as tx:
        cards = await transit.cards(tx, page.user_id)
        card = _named(cards, card_id) if card_id else _first(cards)
        history = await transit.history(tx, page.user_id, card.card_number, limit=_SHOWN)
        rides = await transit.rides(tx, page.user_id, card.card_number, limit=2 * _SHOWN)
        owed, debts = await transit.debts(tx, page.user_id, limit=_SHOWN)
    form = form or Reading()
    fare = next((ride.fare for ride in rides if ride.denied_for is None), None)
    return page.show(
        _PAGE,
        status=422 if form.errors or form.message else 200,
        form=form,
        card=card,
        cards=[item for item in cards if item.status != "cancelled" or item.balance or item.id == card.id],
        old_cards=[item for item in cards if item.status == "cancelled" and not item.balance and item.id != card.id],
        targets=_targets(cards, card),
        days=movements.by_day(_movements(history, rides)),
        choices=_CHOICES,
        debts=debts,
        owed=owed,
        fare=fare,
        rides_left=card.balance // fare if fare else None,
        is_low=bool(fare) and card.status == "active" and card.balance < _FEW_RIDES * (fare or 0),
        up="/app",
    )


def _first(cards: list[transit.Card]) -> transit.Card:
    """Return the default card: an active one, or else a blocked one, or else a cancelled one."""
    order = ("active", "blocked", "cancelled")
    return min(cards, key=lambda card: order.index(card.status))


def _named(cards: Iterable[transit.Card], card_id: UUID) -> transit.Card:
    """Return a person's card by its id.

    Raises:
        NotFound: it is not theirs.
    """
    for card in cards:
        if card.id == card_id:
            return card
    raise NotFound


def _targets(cards: Iterable[transit.Card], card: transit.Card) -> list[transit.Card]:
    return [item for item in cards if item.status == "active" and item.id != card.id]


def _movements(history: list[transit.CardMovement], rides: list[transit.Ride]) -> list[MoneyMovement]:
    """Return one list of a card's movements and of refused rides, newest first."""
    taken = {ride.entry_id: ride for ride in rides if ride.entry_id is not None}
    pocket = pocket_of(TRANSIT)
    made = []
    for line in history:
        ride = taken.get(line.id)
        title = _ride_title(ride) if ride else _TITLES[line.type]
        amount = line.amount if line.direction == "in" else -line.amount
        made.append(MoneyMovement(line.id, line.created_at, title, pocket, amount, line.balance_after))
    oldest = history[-1].created_at if len(history) == _SHOWN else None
    for ride in rides:
        if ride.denied_for in _DENIED and (oldest is None or ride.tapped_at >= oldest):
            lead, rest = _DENIED[ride.denied_for]
            why = Why(lead, None, ride.fare, rest)
            made.append(MoneyMovement(ride.id, ride.tapped_at, _ride_title(ride), pocket, ride.fare, why=why))
    return movements.newest_first(made)


def _ride_title(ride: transit.Ride) -> str:
    return f"Linha {ride.line}" if ride.line else "Viagem"


async def _card(page: WebPage, card_id: UUID) -> transit.Card:
    return _named(await transit.known_cards(page.database.reads, page.user_id), card_id)


def _at(card: transit.Card) -> str:
    return f"{_HOME}?cartao={card.id}"


@router.post("/app/transporte/{card_id}/recarga")
async def recharge(card_id: UUID, page: SignedPage) -> Response:
    """Recharge a card, where recharges need no payment."""
    form = await page.form(RechargeForm)
    card = await _card(page, card_id)
    if form.value is None:
        return await _show(page, card_id, form)
    chosen = form.value.amount or form.value.choice
    if chosen is None:
        return await _show(page, card_id, form.at("amount", "Escolha um valor ou digite quanto quer recarregar."))
    amount = int(chosen)
    if form.value.how == "pix" or not page.renderer.config.free_recharges:
        return await _begin_payment(page, card, amount, form)
    call = await page.call()
    mover = transit.mover_of(page.request, call)
    answer = await mover.answer(page.who, "recharge", card.card_number, amount, card=str(card_id))
    outcome = await page.outcome_of(call, answer)
    if outcome.refused:
        return await _show(page, card_id, form.saying(outcome.refused))
    return page.go(_at(card), outcome.said("Recarga feita. O saldo já mudou."))


async def _begin_payment(page: WebPage, card: transit.Card, amount: int, form: Reading[RechargeForm]) -> Response:
    """Redirect to the Pix payment of a recharge."""
    if not page.renderer.config.pix:
        return await _show(page, card.id, form.failed(transit.PaymentRequired()))
    desk = payments.desk_of(page.request)
    order = payments.Order(payments.TRANSPORT_RECHARGE, amount, card.card_number)
    try:
        charge = await desk.make(page.who, order, await page.call())
    except REFUSALS as error:
        return await _show(page, card.id, form.failed(problem_of(error)))
    return page.go(f"/app/pagamentos/{charge.id}")


@router.post("/app/transporte/{card_id}/bloquear")
async def block(card_id: UUID, page: SignedPage) -> Response:
    """Block a lost card."""
    card = await _card(page, card_id)
    async with page.database.transaction() as tx:
        await transit.block(tx, page.user_id, card.card_number)
    return page.go(_at(card), "Cartão bloqueado. Seu saldo está guardado.")


@router.post("/app/transporte/{card_id}/desbloquear")
async def unblock(card_id: UUID, page: SignedPage) -> Response:
    """Unblock a card that was found again."""
    card = await _card(page, card_id)
    async with page.database.transaction() as tx:
        await transit.unblock(tx, page.user_id, card.card_number)
    return page.go(_at(card), "Cartão desbloqueado.")


@router.get("/app/transporte/{card_id}/cancelar")
async def show_cancel(card_id: UUID, page: SignedPage) -> Response:
    """Show what cancelling a card means."""
    return await _show_cancel(page, card_id, EMPTY)


async def _show_cancel(page: WebPage, card_id: UUID, form: Reading[FormBody] | Reading[TargetForm]) -> Response:
    async with page.database.transaction() as tx:
        cards = await transit.cards(tx, page.user_id)
    card = _named(cards, card_id)
    if card.status == "cancelled":
        return page.go(_at(card), "Este cartão já foi cancelado.")
    status = 422 if form.errors or form.message else 200
    return page.show(_CANCEL, status=status, form=form, card=card, targets=_targets(cards, card), up=_at(card))


@router.post("/app/transporte/{card_id}/cancelar")
async def cancel(card_id: UUID, page: SignedPage) -> Response:
    """Cancel a card for good; its balance moves to another one, or stays."""
    form = await page.form(TargetForm)
    if form.value is None:
        return await _show_cancel(page, card_id, form)
    done = await _cancel(page, await _card(page, card_id), form.value.target)
    if done.refused:
        return await _show_cancel(page, card_id, form.saying(done.refused))
    return page.go(_HOME, done.said("Cartão cancelado."))


@router.post("/app/transporte/{card_id}/mover")
async def move_balance(card_id: UUID, page: SignedPage) -> Response:
    """Move a cancelled card's balance to another one; it cancels no active card."""
    form = await page.form(MoveForm)
    card = await _card(page, card_id)
    if card.status != "cancelled":
        raise NotFound
    if form.value is None:
        return await _show(page, card_id, Reading(message="Escolha o cartão que recebe o saldo."))
    done = await _cancel(page, card, form.value.target)
    if done.refused:
        return await _show(page, card_id, Reading(message=done.refused))
    return page.go(f"{_HOME}?cartao={form.value.target}", done.said("Saldo movido."))


async def _cancel(page: WebPage, card: transit.Card, target_id: UUID | None) -> Outcome:
    """Cancel a card, or move a cancelled one's balance."""
    target = (await _card(page, target_id)).card_number if target_id else None
    try:
        return await page.once(
            lambda tx: transit.cancel(tx, page.user_id, card.card_number, actor=page.who.actor, move_balance_to=target),
            payload={"card": str(card.id), "target": str(target_id or "")},
        )
    except transit.SameCard as error:
        return Outcome({}, error.detail, "")


@router.post("/app/transporte/novo")
async def issue(page: SignedPage) -> Response:
    """Issue one more card."""
    try:
        done = await page.once(lambda tx: transit.issue(tx, page.user_id), payload={}, money=False)
    except transit.TooManyCards as error:
        return await _show(page, None, Reading(message=error.detail))
    return page.go(f"{_HOME}?cartao={done.body['id']}", done.said("Cartão novo pronto para usar."))
