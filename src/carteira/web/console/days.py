"""Days of payments compared with the provider's list: common, missing and differing payments."""

from functools import partial
from typing import Any

from fastapi import Response

from carteira import payments
from carteira.kit.db.session import Tx
from carteira.kit.values.days import InvalidDay, parse_day, read_day
from carteira.kit.web.access import claims, reads
from carteira.kit.web.pagination import Page
from carteira.kit.web.problems import NotFound
from carteira.web.console.cells import Cell, amount, badge, count, instant
from carteira.web.console.cells import day as day_cell
from carteira.web.console.charges import CLAIM
from carteira.web.console.received import HOME as RECEIVED
from carteira.web.console.tables import NEWEST, Filter, Table, TableAsked, TableColumn, offer_csv
from carteira.web.page import SignedPage, WebPage
from carteira.web.routing import pages

router = pages("payments")
HOME = "/console/conferencia"
_TOTALS = "totals of a day, and ids of payments"
KINDS: dict[str, tuple[str, Any, str]] = {
    "missing_here": ("Só no provedor", "bad", "alert"),
    "missing_there": ("Só aqui", "bad", "alert"),
    "amount_differs": ("Valor difere", "bad", "scale"),
}


def state_of(row: payments.DayOut) -> Cell:
    """Return whether a day agrees."""
    differs = row.missing_here + row.missing_there + row.amount_differs
    return badge(f"{count(differs).text} não batem", "bad", "alert") if differs else badge("Bate", "ok", "check")


TABLE: Table[payments.DayOut] = Table(
    HOME,
    "dias",
    (
        TableColumn("Dia", lambda row: day_cell(row.day), "nowrap", order=NEWEST),
        TableColumn("Situação", state_of, "stack-end"),
        TableColumn("Batem", lambda row: count(row.matched), "end"),
        TableColumn("Só no provedor", lambda row: count(row.missing_here), "end"),
        TableColumn("Só aqui", lambda row: count(row.missing_there), "end"),
        TableColumn("Valor difere", lambda row: count(row.amount_differs), "end"),
        TableColumn("Recebido aqui", lambda row: amount(row.received_here), "end nowrap"),
        TableColumn("Recebido lá", lambda row: amount(row.received_there), "end nowrap"),
        TableColumn("Conferido", lambda row: instant(row.checked_at), "nowrap"),
    ),
    key=lambda row: row.day,
    filters=(Filter("de", "De", "day"), Filter("ate", "Até", "day")),
    opens=lambda row: f"{HOME}/{row.day}",
    panel=True,
    empty=("Nenhum dia conferido", "Cada dia é conferido com a lista do provedor na madrugada seguinte."),
)


async def _read(page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[payments.DayOut]:
    place = asked.page_request(payments.office.DAYS, limit)
    since, until = (None if text is None else read_day(text) for text in (asked.get("de"), asked.get("ate")))
    return await payments.office.days(tx, page.who, place, since=since, until=until)


@router.get(HOME, dependencies=[claims(CLAIM), reads(_TOTALS)])
async def show_days(page: SignedPage) -> Response:
    """List the compared days, the newest first."""
    return await TABLE.answer(page, partial(_read, page), template="console/days.html")


offer_csv(router, TABLE, _read, CLAIM)


@router.get(HOME + "/{day}", dependencies=[claims(CLAIM), reads(_TOTALS)])
async def show_day(day: str, page: SignedPage) -> Response:
    """Show a day's figures, and each payment in which the two lists differ."""
    try:
        which = parse_day(day)
    except InvalidDay as error:
        raise NotFound from error
    one = await page.read(lambda tx: payments.office.day(tx, page.who, which))
    return page.show(
        "console/day.html", block="panel", home=HOME, received=RECEIVED, one=one, state=state_of(one), kinds=KINDS
    )
