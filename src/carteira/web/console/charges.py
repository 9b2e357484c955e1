"""Everybody's Pix charges, each with its payments and returns."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from fastapi import Response

from carteira import identity, payments
from carteira.kit.db.session import Tx
from carteira.kit.values.clock import clock
from carteira.kit.web.access import claims, looks
from carteira.kit.web.pagination import BY_ID, Page
from carteira.web.console.cells import Cell, amount, badge, instant, mono, words
from carteira.web.console.tables import NEWEST, PERSON, Filter, Table, TableAsked, TableColumn, offer_csv
from carteira.web.console.words import PAYMENT_FOUND_BY, PAYMENT_PURPOSES, payment_reason
from carteira.web.formats import plain_money
from carteira.web.page import SignedPage, WebPage
from carteira.web.routing import pages

router = pages("payments")
HOME = "/console/cobrancas"
CLAIM = "payments:read"
_STATES: dict[str, tuple[str, Any, str]] = {
    "active": ("Espera pagamento", "info", "clock"),
    "paid": ("Paga", "ok", "check"),
    "expired": ("Venceu", "", "clock"),
    "creating": ("Espera o provedor", "warn", "clock"),
    "refused": ("Recusada pelo provedor", "bad", "x"),
}


def state_of(row: payments.ListedChargeOut) -> Cell:
    """Return the name of a charge's state."""
    return badge(*_STATES[row.state])


TABLE: Table[payments.ListedChargeOut] = Table(
    HOME,
    "cobranças",
    (
        TableColumn("Pedida", lambda row: instant(row.created_at), "nowrap", order=NEWEST),
        TableColumn("Para quê", lambda row: words(PAYMENT_PURPOSES[row.purpose]), "full"),
        TableColumn("Valor", lambda row: amount(row.amount), "end nowrap"),
        TableColumn("Situação", state_of, "stack-end"),
        TableColumn("Vence", lambda row: instant(row.expires_at), "nowrap"),
        TableColumn("Paga", lambda row: instant(row.paid_at), "nowrap"),
        TableColumn("txid", lambda row: mono(row.txid), "full"),
    ),
    key=lambda row: row.id,
    filters=(
        Filter("situacao", "Situação", "choice", tuple((name, labels[0]) for name, labels in _STATES.items())),
        Filter("finalidade", "Para quê", "choice", tuple(PAYMENT_PURPOSES.items())),
        Filter("txid", "txid", pattern=r"[A-Za-z0-9]{1,35}", wrong="Letras e números, até 35.", grows=True),
        PERSON,
        Filter("de", "De", "day"),
        Filter("ate", "Até", "day"),
    ),
    opens=lambda row: f"{HOME}/{row.id}",
    panel=True,
    empty=("Nenhuma cobrança", "Uma cobrança aparece aqui quando alguém pede para pagar por Pix."),
)


def payments_of(page: WebPage) -> payments.Payments:
    """Return the process's payments."""
    return payments.PAYMENTS.of(page.request.app)


async def _read(page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[payments.ListedChargeOut]:
    state: Any = asked.get("situacao")
    wanted = payments.office.ChargeFilter(
        state, asked.get("finalidade"), asked.get("txid"), asked.id("pessoa"), asked.since(), asked.until()
    )
    place = asked.page_request(BY_ID, limit)
    return await payments.office.charges(tx, payments_of(page), page.who, wanted, place)


@router.get(HOME, dependencies=[claims(CLAIM), looks("charges_listed")])
async def show_charges(page: SignedPage) -> Response:
    """List charges, the newest first."""
    return await TABLE.answer(page, partial(_read, page), template="console/charges.html")


offer_csv(router, TABLE, _read, CLAIM)


class ChargeStep(NamedTuple):
    """A past or future event of a charge."""

    at: datetime
    tone: str
    icon: str
    what: str
    detail: str = ""
    e2eid: str = ""


@router.get(HOME + "/{charge_id}", dependencies=[claims(CLAIM), looks("charge_read")])
async def show_charge(charge_id: UUID, page: SignedPage) -> Response:
    """Show a charge's history, from its request to its returns."""

    async def read(tx: Tx) -> tuple[payments.office.WholeCharge, str]:
        whole = await payments.office.charge(tx, payments_of(page), page.who, charge_id)
        maker = whole.charge.maker_id if whole.charge.maker_kind == "person" else None
        names = await identity.names(tx, [maker] if maker else [])
        return whole, names.get(maker, "") if maker else ""

    whole, maker = await page.read(read)
    return page.show(
        "console/charge.html",
        block="panel",
        home=HOME,
        one=whole.charge,
        maker=maker,
        state=state_of(whole.charge),
        purpose=PAYMENT_PURPOSES[whole.charge.purpose],
        steps=sorted(steps_of(whole), key=lambda step: step.at),
    )


def steps_of(whole: payments.office.WholeCharge) -> Iterator[ChargeStep]:
    """Yield a charge's events with their times, and the end of its validity."""
    one = whole.charge
    yield ChargeStep(one.created_at, "", "qr", "Pedida", f"{plain_money(one.amount)} por Pix")
    if one.state in {"creating", "active", "expired"}:
        over = one.expires_at < clock.now()
        yield ChargeStep(one.expires_at, "", "clock", "Venceu sem ser paga" if over else "Vence")
    for paid in whole.received:
        found = f"Soubemos {PAYMENT_FOUND_BY[paid.found_by]}"
        if paid.reason:
            what = f"{plain_money(paid.amount)} pagos e não creditados: {payments.why(paid.reason) or paid.reason}"
            yield ChargeStep(paid.paid_at, "warn", "alert", what, found, paid.e2eid)
        else:
            yield ChargeStep(paid.paid_at, "ok", "check", f"{plain_money(paid.amount)} pagos", found, paid.e2eid)
        for back in paid.returns:
            yield from _way_back(back)


def _way_back(back: payments.PaymentReturnOut) -> Iterator[ChargeStep]:
    money = plain_money(back.amount)
    if back.nature and back.settled_at:
        lost = f"; {plain_money(back.lost)} já tinham sido gastos" if back.lost else ""
        yield ChargeStep(
            back.settled_at, "bad", "back", f"{money} tirados pelo provedor", payment_reason(back.reason) + lost
        )
        return
    yield ChargeStep(back.asked_at, "", "back", f"Devolução de {money} pedida", payment_reason(back.reason))
    if back.settled_at and back.state == "returned":
        yield ChargeStep(back.settled_at, "ok", "check", f"{money} devolvidos")
    elif back.settled_at:
        yield ChargeStep(back.settled_at, "bad", "x", f"O provedor não devolveu {money}", back.failure or "")
