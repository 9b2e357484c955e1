"""Sales: a reseller's month and the way to the next tier, purchases and their states, months, cashback."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response

from carteira import resellers
from carteira.kit.db.session import Tx
from carteira.kit.values.clock import business_month, clock
from carteira.kit.values.days import InvalidDay, parse_month
from carteira.kit.web.approvals import DESK
from carteira.kit.web.pagination import PageRequest
from carteira.kit.web.problems import Forbidden, InvalidInput
from carteira.web.formats import Reais, number, plain_money
from carteira.web.forms import FormBody, Reading
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("resellers")
_HOME = "/app/vendas"
_PAGE, _JOIN, _FORM = "wallet/sales.html", "wallet/sales_join.html", "wallet/sale_form.html"
_SALE, _DELETE = "wallet/sale.html", "wallet/sale_delete.html"
_SHOWN, _MONTHS = 40, 13
_TOO_MUCH = "O cashback usado não pode passar do valor da compra."


class SaleForm(FormBody):
    """A purchase; amounts in reais."""

    reference: resellers.PurchaseCode
    amount: Reais
    date: resellers.TypedBusinessDay
    spend: Reais | None = None


@dataclass(frozen=True, slots=True)
class NextTier:
    """The next tier of a month: its threshold, the missing amount, and its percentage."""

    above: int
    lacking: int
    percentage: int


def next_tier(total: int, tiers: Sequence[resellers.TierStep], percentage: int | None) -> NextTier | None:
    """Return the next tier of a month's total; None: it is in the last one. Amounts in centavos."""
    ahead = sorted((tier for tier in tiers if tier.above >= total and tier.above), key=lambda tier: tier.above)
    found = next((tier for tier in ahead if tier.percentage != percentage), None)
    return None if found is None else NextTier(found.above, found.above - total + 1, found.percentage)


def _month(text: str) -> date:
    """Return the month in an address; an invalid one means the present month."""
    this = business_month(clock.now())
    try:
        return min(this, parse_month(text)) if text else this
    except InvalidDay:
        return this


def _asked(cursor: str) -> PageRequest[resellers.PurchaseKey]:
    try:
        return PageRequest(_SHOWN, resellers.PURCHASES.read(cursor) if cursor else None)
    except InvalidInput:
        return PageRequest(_SHOWN)


@router.get("/app/vendas")
async def show_sales(
    page: SignedPage,
    month: Annotated[str, Query(alias="mes", max_length=7)] = "",
    cursor: Annotated[str, Query(alias="depois", max_length=300)] = "",
) -> Response:
    """Show a month, or how to become a reseller."""
    wanted = _month(month)
    try:
        async with page.database.transaction() as tx:
            sales = await resellers.own_sales(tx, page.who, wanted, _asked(cursor), months=_MONTHS)
    except Forbidden:
        return page.show(_JOIN)
    total = sales.month.total if sales.month else 0
    percentage = sales.month.cashback_percentage if sales.month else None
    if percentage is None and sales.tiers:
        percentage = min(sales.tiers, key=lambda tier: tier.above).percentage
    closed = sales.month is not None and sales.month.closed
    return page.show(
        _PAGE,
        sales=sales,
        month=wanted,
        this_month=business_month(clock.now()),
        total=total,
        percentage=percentage,
        closed=closed,
        ahead=None if closed else next_tier(total, sales.tiers, percentage),
    )


@router.post("/app/vendas/revender")
async def become_reseller(page: SignedPage) -> Response:
    """Make the signed-in person a reseller."""
    form = await page.form(FormBody)
    try:
        await resellers.become_reseller(page.identity, page.client.address, page.who, None)
    except REFUSALS as error:
        return page.again(_JOIN, form, error, needs_cpf=isinstance(error, resellers.NoCpf))
    return page.go(_HOME, "Pronto: você é revendedor.")


@router.get("/app/vendas/acumulado")
async def show_accumulated(page: SignedPage) -> Response:
    """Show the external service's accumulated cashback; if it is down, say so and show nothing else.

    Others are redirected to where one becomes a reseller.
    """
    service = resellers.CASHBACK_SERVICE.of(page.request.app)
    policy = resellers.UNPROVEN_CPF.of(page.request.app)
    try:
        found = await resellers.accumulated_cashback(page.database, service, policy, page.who, None)
    except Forbidden:
        return page.go(_HOME)
    except resellers.CashbackServiceDown:
        return page.show("wallet/sales_accumulated.html", status=503, credit=None, up=_HOME)
    return page.show("wallet/sales_accumulated.html", credit=found.credit, up=_HOME)


def _weighed(form: Reading[SaleForm]) -> Reading[SaleForm]:
    asked = form.value
    wrong = asked is not None and asked.spend is not None and int(asked.spend) > int(asked.amount)
    return form.at("spend", _TOO_MUCH) if wrong else form


@router.get("/app/vendas/nova")
async def show_new(page: SignedPage) -> Response:
    """Show the form of a purchase; people who are not resellers are redirected to become one."""
    try:
        balance = await _balance(page)
    except Forbidden:
        return page.go(_HOME)
    return page.show(_FORM, sale=None, today=clock.today(), balance=balance, up=_HOME)


async def _balance(page: WebPage) -> int:
    async with page.database.transaction() as tx:
        sales = await resellers.own_sales(tx, page.who, _month(""), PageRequest(1), months=1)
    return sales.balance


@router.post("/app/vendas/nova")
async def register(page: SignedPage) -> Response:
    """Register a purchase of one's own."""
    form = await page.form(SaleForm)
    shown: dict[str, Any] = {"sale": None, "today": clock.today(), "balance": await _balance(page), "up": _HOME}
    form = _weighed(form)
    asked = form.value
    if asked is None or form.errors:
        return page.show(_FORM, status=422, form=form, **shown)
    desk, policy = DESK.of(page.request.app), resellers.UNPROVEN_CPF.of(page.request.app)

    async def work(tx: Tx) -> object:
        own = await resellers.own_sales(tx, page.who, asked.date.replace(day=1), PageRequest(1), months=1)
        if own.cpf is None:
            raise resellers.NoCpf
        body = resellers.PurchaseIn(
            code=asked.reference,
            amount=asked.amount,
            date=str(asked.date),
            cpf=own.cpf,
            cashback_to_spend=asked.spend or 0,
        )
        most = desk.alone(resellers.APPROVALS)
        return await resellers.register_purchase(tx, policy, page.who, body, approved_up_to=most)

    try:
        outcome = await page.once(work, payload=[asked.reference, asked.amount, str(asked.date), asked.spend])
    except REFUSALS as error:
        return page.again(_FORM, form, error, **shown)
    if outcome.refused:
        return page.show(_FORM, status=409, form=form.saying(outcome.refused), **shown)
    return page.go(
        f"{_HOME}?mes={asked.date:%Y-%m}", outcome.said(f"Compra de {plain_money(int(asked.amount))} registrada.")
    )


@router.get("/app/vendas/{purchase_id}")
async def show_sale(purchase_id: UUID, page: SignedPage) -> Response:
    """Show a purchase, its cashback and its state."""
    return page.show(_SALE, sale=await _sale(page, purchase_id), up=_HOME)


async def _sale(page: WebPage, purchase_id: UUID) -> resellers.PurchaseWithCashbackOut:
    async with page.database.transaction() as tx:
        return await resellers.own_purchase(tx, page.who, purchase_id)


@router.get("/app/vendas/{purchase_id}/alterar")
async def show_change(purchase_id: UUID, page: SignedPage) -> Response:
    """Show the form of a purchase's change."""
    sale = await _sale(page, purchase_id)
    typed = {
        "reference": sale.code,
        "amount": number(sale.amount),
        "date": str(sale.date),
        "spend": number(sale.cashback_spent) if sale.cashback_spent else "",
    }
    return page.show(_FORM, form=Reading(None, typed), **await _changing(page, sale))


async def _changing(page: WebPage, sale: resellers.PurchaseWithCashbackOut) -> dict[str, Any]:
    balance = await _balance(page) + sale.cashback_spent
    return {"sale": sale, "today": clock.today(), "balance": balance, "up": f"{_HOME}/{sale.id}"}


@router.post("/app/vendas/{purchase_id}/alterar")
async def change(purchase_id: UUID, page: SignedPage) -> Response:
    """Change an undecided purchase."""
    sale = await _sale(page, purchase_id)
    form = _weighed(await page.form(SaleForm))
    asked = form.value
    if asked is None or form.errors:
        return page.show(_FORM, status=422, form=form, **await _changing(page, sale))
    body = resellers.PurchaseChangeIn(
        code=asked.reference, amount=asked.amount, date=str(asked.date), cashback_to_spend=asked.spend or 0
    )
    try:
        async with page.database.transaction() as tx:
            await resellers.change_purchase(tx, page.who, purchase_id, body)
    except REFUSALS as error:
        return page.again(_FORM, form, error, **await _changing(page, sale))
    return page.go(f"{_HOME}/{purchase_id}", "Compra alterada.")


@router.get("/app/vendas/{purchase_id}/excluir")
async def show_delete(purchase_id: UUID, page: SignedPage) -> Response:
    """Show what deleting a purchase means."""
    return page.show(_DELETE, sale=await _sale(page, purchase_id), up=f"{_HOME}/{purchase_id}")


@router.post("/app/vendas/{purchase_id}/excluir")
async def delete(purchase_id: UUID, page: SignedPage) -> Response:
    """Delete an undecided purchase."""
    form = await page.form(FormBody)
    sale = await _sale(page, purchase_id)
    try:
        async with page.database.transaction() as tx:
            await resellers.delete_purchase(tx, page.who, purchase_id)
    except REFUSALS as error:
        return page.again(_DELETE, form, error, sale=sale, up=f"{_HOME}/{purchase_id}")
    return page.go(f"{_HOME}?mes={sale.date:%Y-%m}", "Compra excluída.")
