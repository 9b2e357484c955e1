"""Received Pix payments: those to return first; an operator returns them, whole or in part."""

from functools import partial
from typing import Annotated, Any

from fastapi import Response
from pydantic import StringConstraints

from carteira import payments
from carteira.kit.db.session import Tx
from carteira.kit.web.access import acts, claims, looks
from carteira.kit.web.approvals import OperatorRoom
from carteira.kit.web.pagination import Page
from carteira.web.console.acts import ActField, Confirmation, ask, ask_again
from carteira.web.console.cells import Cell, amount, badge, instant, mono, words
from carteira.web.console.charges import CLAIM
from carteira.web.console.pendings import desk_of
from carteira.web.console.tables import NEWEST, Filter, Table, TableAsked, TableColumn, offer_csv
from carteira.web.console.words import PAYMENT_FOUND_BY, payment_reason, room_facts
from carteira.web.formats import Reais, moment, number, plain_money
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("payments")
HOME = "/console/recebidos"
RETURNS = "payments:return"
ALL = "todos"


def state_of(row: payments.ReceivedOut) -> Cell:
    """Return where a payment's money is, as a state's name."""
    if row.unplaced:
        return badge("A devolver", "warn", "alert")
    if row.given_back == row.amount:
        return badge("Devolvido", "", "back")
    return badge("Devolvido em parte", "info", "back") if row.given_back else badge("Creditado", "ok", "check")


TABLE: Table[payments.ReceivedOut] = Table(
    HOME,
    "pagamentos",
    (
        TableColumn("Pago", lambda row: instant(row.paid_at), "nowrap", order=NEWEST),
        TableColumn("Valor", lambda row: amount(row.amount), "end nowrap"),
        TableColumn("Situação", state_of, "stack-end"),
        TableColumn("Por que não foi creditado", lambda row: words(payment_reason(row.reason or "")), "full"),
        TableColumn("A devolver", lambda row: amount(row.unplaced or None), "end nowrap"),
        TableColumn("Devolvido", lambda row: amount(row.given_back or None), "end nowrap"),
        TableColumn("Soubemos", lambda row: words(PAYMENT_FOUND_BY[row.found_by])),
        TableColumn("Id de ponta a ponta", lambda row: mono(row.e2eid), "full"),
    ),
    key=lambda row: row.e2eid,
    filters=(
        Filter(
            "situacao",
            "Situação",
            "choice",
            (
                ("not_credited", "Não creditados"),
                ("returning", "Em devolução"),
                ("returned", "Com devolução feita"),
                (ALL, "Todos"),
            ),
            otherwise="A devolver",
        ),
        Filter("de", "Pago de", "day"),
        Filter("ate", "Até", "day"),
    ),
    opens=lambda row: f"{HOME}/{row.e2eid}",
    panel=True,
    empty=("Nada a devolver", "O que foi pago tarde, duas vezes ou com outro valor, e não voltou, aparece aqui."),
)


async def _read(page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[payments.ReceivedOut]:
    state: Any = asked.get("situacao") or "to_return"
    wanted = payments.office.ReceivedFilter(None if state == ALL else state, asked.since(), asked.until())
    return await payments.office.received(tx, page.who, wanted, asked.page_request(payments.office.RECEIVED, limit))


@router.get(HOME, dependencies=[claims(CLAIM), looks("payments_listed")])
async def show_received(page: SignedPage) -> Response:
    """List payments: by default those to return."""
    return await TABLE.answer(page, partial(_read, page), template="console/received.html", all=ALL)


offer_csv(router, TABLE, _read, CLAIM)


async def _one(page: WebPage, e2eid: str) -> payments.ReceivedWithReturnsOut:
    return await page.read(lambda tx: payments.office.payment(tx, page.who, e2eid))


@router.get(HOME + "/{e2eid}", dependencies=[claims(CLAIM), looks("payment_read")])
async def show_payment(e2eid: str, page: SignedPage) -> Response:
    """Show a payment: what it was credited to, and its returns."""
    one = await _one(page, e2eid)
    return page.show(
        "console/payment.html",
        block="panel",
        home=HOME,
        one=one,
        state=state_of(one),
        found_by=PAYMENT_FOUND_BY[one.found_by],
        reason_name=payment_reason,
        may_return=payments.office.may_return(one) > 0 and page.holds(RETURNS),
    )


async def _room(page: WebPage) -> OperatorRoom:
    return await page.read(lambda tx: desk_of(page).room(tx, "payment_returns", page.who))


def _returning(one: payments.ReceivedWithReturnsOut, room: OperatorRoom) -> Confirmation:
    left = payments.office.may_return(one)
    if one.unplaced >= left:
        says = ["O dinheiro está à parte, e volta à conta de onde o Pix veio."]
    else:
        says = ["O que foi creditado sai do cartão ou do depósito agora. O que já foi gasto não se devolve."]
    return Confirmation(
        title=f"Devolver o Pix de {plain_money(one.amount)}?",
        says=(*says, "O que passar do seu limite espera uma segunda pessoa, em Pendências."),
        way_back="Uma devolução não se desfaz: quem pagou teria de pagar de novo.",
        button="Devolver",
        path=f"{HOME}/{one.e2eid}/devolver",
        back=f"{HOME}/{one.e2eid}",
        danger=True,
        facts=(
            ("Pago", moment(one.paid_at)),
            ("Situação", state_of(one).text),
            *((("Por que não foi creditado", payment_reason(one.reason)),) if one.reason else ()),
            ("Ainda se pode devolver", plain_money(left)),
            ("Id de ponta a ponta", one.e2eid),
            *room_facts(room),
        ),
        fields=(
            ActField("amount", "Valor a devolver", "money", f"Até {plain_money(left)}.", value=number(left)),
            ActField("reason", "Motivo", help="Fica escrito na devolução."),
        ),
    )


class ReturnForm(FormBody):
    """The amount and the reason of a return."""

    amount: Reais
    reason: Annotated[str, StringConstraints(min_length=1, max_length=140, pattern=r"^[^\x00-\x1f\x7f]+$")]


@router.get(HOME + "/{e2eid}/devolver", dependencies=[claims(RETURNS, CLAIM), looks("payment_read")])
async def ask_return(e2eid: str, page: SignedPage) -> Response:
    """Show what returning does."""
    return ask(page, _returning(await _one(page, e2eid), await _room(page)))


@router.post(HOME + "/{e2eid}/devolver", dependencies=[claims(RETURNS, CLAIM), acts("payment_returned")])
async def give_back(e2eid: str, page: SignedPage) -> Response:
    """Return a payment or a part of it, or store the operation as pending."""
    form = await page.form(ReturnForm)
    act = _returning(await _one(page, e2eid), await _room(page))
    if form.value is None:
        return ask_again(page, act, form)
    order = payments.ReturnOrder(e2eid=e2eid, amount=int(form.value.amount), reason=form.value.reason)
    operation = payments.PAYMENT_RETURN.of(page.request.app)

    async def work(tx: Tx) -> object:
        return {"now": await payments.office.give_back(tx, desk_of(page), operation, page.who, order)}

    try:
        outcome = await page.once(work, payload=order.model_dump())
    except REFUSALS as error:
        return ask_again(page, act, form, error)
    if outcome.refused:
        return ask_again(page, act, form.saying(outcome.refused))
    now = outcome.body.get("now")
    done = f"{plain_money(int(form.value.amount))} a caminho de quem pagou." if now else "Pedido: espera outra pessoa."
    return page.go(f"{HOME}/{e2eid}", outcome.said(done))
