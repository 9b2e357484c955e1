"""Months of resellers' purchases: what prevents closing one, and the closing, once."""

from collections.abc import Sequence
from datetime import date

from fastapi import Response

from carteira import resellers
from carteira.kit.db.session import Tx
from carteira.kit.values.clock import clock
from carteira.kit.values.days import parse_day
from carteira.kit.web.access import acts, claims, looks
from carteira.kit.web.pagination import Page
from carteira.kit.web.problems import NotFound
from carteira.web.charts import Bar, bars
from carteira.web.console.acts import Confirmation, VersionForm, ask, ask_again, version_seen
from carteira.web.console.cells import Cell, amount, badge, count, words
from carteira.web.console.purchases import DECIDES, READS
from carteira.web.console.tables import NEWEST, Filter, Table, TableAsked, TableColumn, offer_csv
from carteira.web.formats import capital, month_name, plain_money
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("resellers")
HOME = "/console/meses"
_DRAWN = 12
"""The number of months in the picture."""


def _state(row: resellers.MonthOut) -> Cell:
    return badge("Fechado", "", "lock") if row.closed else badge("Aberto", "info", "clock")


TABLE: Table[resellers.MonthOut] = Table(
    HOME,
    "meses",
    (
        TableColumn("Mês", lambda row: words(capital(month_name(row.month))), order=NEWEST),
        TableColumn("Compras", lambda row: count(row.purchases), "end"),
        TableColumn("Em compras", lambda row: amount(row.total), "end nowrap"),
        TableColumn("Em validação", lambda row: amount(row.pending or None), "end nowrap"),
        TableColumn("Cashback", lambda row: amount(row.cashback_amount), "end nowrap"),
        TableColumn("Ajustes", lambda row: amount(row.adjustment_amount or None), "end nowrap"),
        TableColumn("Situação", _state, "stack-end"),
    ),
    key=lambda row: row.month,
    filters=(Filter("situacao", "Situação", "choice", (("abertos", "Abertos"), ("fechados", "Fechados"))),),
    opens=lambda row: f"{HOME}/{row.month:%Y-%m}",
    panel=True,
    empty=("Nenhum mês ainda", "O primeiro mês aparece com a primeira compra."),
)


async def _read(page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[resellers.MonthOut]:
    place = asked.page_request(resellers.desk.MONTHS, limit)
    closed = {"abertos": False, "fechados": True}.get(asked.get("situacao") or "")
    rows = await resellers.desk.months(
        tx, page.who, cpf=None, limit=limit + 1, before=place.after, turned=place.turned, closed=closed
    )
    return place.page(rows, lambda row: row.month)


@router.get(HOME, dependencies=[claims(READS), looks("cashback_months_read")])
async def show_months(page: SignedPage) -> Response:
    """List the months of everybody's purchases, with a picture of the last ones' cashback."""
    shown: list[resellers.MonthOut] = []

    async def read(tx: Tx, asked: TableAsked, limit: int) -> Page[resellers.MonthOut]:
        found = await _read(page, tx, asked, limit)
        shown.extend(found.items[:_DRAWN])
        return found

    return await TABLE.answer(page, read, template="console/months.html", picture=lambda: _picture(shown))


def _picture(months: Sequence[resellers.MonthOut]) -> list[Bar]:
    amounts = sorted((one.month, one.cashback_amount) for one in months)
    return bars(amounts) if len(amounts) > 1 else []


offer_csv(router, TABLE, _read, READS)


async def _month(page: WebPage, text: str) -> resellers.MonthOut:
    """Return a month in figures.

    Raises:
        NotFound: there is no such month, or it has no purchases.
    """
    try:
        month = parse_day(f"{text}-01")
        after = _following(month)
    except ValueError as error:  # no day, or the last possible month
        raise NotFound from error
    rows = await page.read(lambda tx: resellers.desk.months(tx, page.who, cpf=None, limit=1, before=after))
    if not rows or rows[0].month != month:
        raise NotFound
    return rows[0]


def _following(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


@router.get(HOME + "/{month}", dependencies=[claims(READS), looks("cashback_months_read")])
async def show_month(month: str, page: SignedPage) -> Response:
    """Show a month, and what prevents closing it."""
    one = await _month(page, month)
    adjustments, adjusted = (0, 0) if one.closed else await page.read(resellers.desk.adjustments_waiting)
    return page.show(
        "console/month.html",
        block="panel",
        home=HOME,
        one=one,
        adjustments=adjustments,
        adjusted=adjusted,
        over=one.month < clock.today().replace(day=1),
        may_close=page.holds(DECIDES),
    )


def _closing(one: resellers.MonthOut) -> Confirmation:
    name = month_name(one.month)
    return Confirmation(
        title=f"Fechar {name}?",
        says=(
            f"O cashback do mês, {plain_money(one.cashback_amount)}, é creditado aos revendedores agora.",
            f"Depois de fechado, {name} não aceita compras nem mudanças.",
        ),
        way_back="Um mês fechado não reabre. Um crédito errado vira um ajuste, que o próximo fechamento leva.",
        button=f"Fechar {name}",
        path=f"{HOME}/{one.month:%Y-%m}/fechar",
        back=f"{HOME}/{one.month:%Y-%m}",
        danger=True,
        seen=version_seen(one.version),
    )


@router.get(HOME + "/{month}/fechar", dependencies=[claims(READS, DECIDES), looks("cashback_months_read")])
async def ask_closing(month: str, page: SignedPage) -> Response:
    """Show what closing a month does."""
    return ask(page, _closing(await _month(page, month)))


@router.post(HOME + "/{month}/fechar", dependencies=[claims(READS, DECIDES), acts("cashback_month_closed")])
async def close(month: str, page: SignedPage) -> Response:
    """Close a month and credit its cashback; a second attempt shows that it is closed."""
    form = await page.form(VersionForm)
    one = await _month(page, month)
    if form.value is None:
        return ask_again(page, _closing(one), form)
    known = form.value.known
    try:
        async with page.database.transaction() as tx:
            closed = await resellers.desk.close_month(tx, one.month, actor=page.who.actor, seen=known)
    except REFUSALS as error:
        return ask_again(page, _closing(one), form, error)
    said = f"{capital(month_name(one.month))} fechado: {plain_money(closed.cashback_amount)} creditados."
    return page.go(HOME, f"{capital(month_name(one.month))} já estava fechado." if one.closed else said)
