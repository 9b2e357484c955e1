"""The statement: one month of all products, searched, filtered, drawn, printed and downloaded."""

import asyncio
import csv
import io
import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from carteira import benefits, identity, ledger
from carteira.kit.values.clock import SAO_PAULO, business_month, clock
from carteira.kit.values.cpf import mask_cpf
from carteira.kit.web.problems import NotFound
from carteira.web.formats import in_sao_paulo, number
from carteira.web.page import SignedPage, WebPage
from carteira.web.routing import pages
from carteira.web.wallet import movements
from carteira.web.wallet.charts import Bar, bars
from carteira.web.wallet.movements import MoneyMovement
from carteira.web.wallet.pockets import Pocket, kind_of, place, pocket_of

router = pages()
_MOST = 500
"""Lines of a month, and as many decisions of each account: nobody's month has more, and a page says so if it has."""
_DRAWN_MONTHS = 6
_OFFERED_MONTHS = 24
_FIRST = date(2000, 1, 1)
_REFUSED = "nao-passou"
_BETWEEN_ONES_OWN = ("transit.transfer",)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SIGNS = re.compile(r"[^0-9a-zà-ÿ ]")


@dataclass(frozen=True, slots=True)
class StatementAsked:
    """What of the statement is wanted."""

    month: date
    pocket: str
    words: str


@dataclass(frozen=True, slots=True)
class _Books:
    person: identity.PersonView
    accounts: list[ledger.LedgerAccountView]
    lines: list[ledger.StatementLine]
    totals: list[ledger.MonthTotal]


@dataclass(frozen=True, slots=True)
class StatementMonth:
    """A month as it is shown."""

    person: identity.PersonView
    movements: list[MoneyMovement]
    pockets: list[Pocket]
    months: list[date]
    totals: list[ledger.MonthTotal]
    cut_off: bool


def _asked(month: str, pocket: str, words: str) -> StatementAsked:
    this = business_month(clock.now())
    try:
        wanted = date.fromisoformat(f"{month}-01") if month else this
    except ValueError:
        wanted = this
    return StatementAsked(max(_FIRST, min(wanted, this)), pocket, " ".join(words.split()))


Month = Annotated[str, Query(alias="mes", max_length=7)]
PocketKey = Annotated[str, Query(alias="saldo", max_length=60)]
Words = Annotated[str, Query(alias="q", max_length=100)]


def _next_month(month: date) -> date:
    return (month.replace(day=28) + timedelta(days=4)).replace(day=1)


def _months_back(month: date, count: int) -> date:
    months = month.year * 12 + month.month - 1 - count
    return date(months // 12, months % 12 + 1, 1)


def _begins(month: date) -> datetime:
    return datetime.combine(month, time(), SAO_PAULO)


async def _read(page: WebPage, asked: StatementAsked) -> StatementMonth:
    books, decisions = await asyncio.gather(_ledger(page, asked), _decisions(page, asked))
    kinds = {account.id: account.kind for account in books.accounts}
    found = movements.of_lines(books.lines, kinds, {decision.id: decision for decision in decisions})
    found = movements.newest_first([*found, *movements.of_refusals(decisions)])
    held = sorted(set(kinds.values()), key=place)
    this = business_month(clock.now())
    first = min((business_month(account.created_at) for account in books.accounts), default=this)
    months = [month for back in range(_OFFERED_MONTHS) if (month := _months_back(this, back)) >= first]
    return StatementMonth(
        books.person,
        _filtered(found, asked, held),
        [pocket_of(kind) for kind in held],
        months if asked.month in months else [*months, asked.month],
        books.totals,
        len(books.lines) >= _MOST,
    )


async def _ledger(page: WebPage, asked: StatementAsked) -> _Books:
    begins, ends = _begins(asked.month), _begins(_next_month(asked.month))
    before = ledger.LineKey(ends, 0, UUID(int=0), 0)
    async with page.database.transaction() as tx:
        person = await identity.person(tx, page.user_id)
        accounts = await ledger.accounts_of_owner(tx, page.user_id)
        ids = [account.id for account in accounts]
        lines = await ledger.statement(tx, ids, limit=_MOST, before=before)
        drawn_from = _begins(_months_back(asked.month, _DRAWN_MONTHS - 1))
        totals = await ledger.totals_by_month(tx, ids, since=drawn_from, inside=_BETWEEN_ONES_OWN)
    return _Books(person, accounts, [line for line in lines if line.posted_at >= begins], totals)


async def _decisions(page: WebPage, asked: StatementAsked) -> list[benefits.OwnDecision]:
    if not page.has("benefits"):
        return []
    async with page.database.transaction() as tx:
        return await benefits.decisions_of_person(
            tx, page.user_id, since=_begins(asked.month), until=_begins(_next_month(asked.month)), limit=_MOST
        )


def _filtered(found: list[MoneyMovement], asked: StatementAsked, held: list[str]) -> list[MoneyMovement]:
    if asked.pocket == _REFUSED:
        found = [movement for movement in found if movement.why is not None]
    elif asked.pocket and (kind := kind_of(asked.pocket, held)) is not None:
        found = [movement for movement in found if movement.pocket == pocket_of(kind)]
    if not asked.words:
        return found
    words = _plain(asked.words)
    return [movement for movement in found if words in _plain(f"{movement.title} {number(movement.amount)}")]


def _plain(text: str) -> str:
    """Write a text as it is compared: small letters, no signs."""
    return _SIGNS.sub("", text.lower())


@router.get("/app/extrato")
async def show_statement(
    page: SignedPage,
    month: Month = "",
    pocket: PocketKey = "",
    words: Words = "",
    opened: Annotated[str, Query(alias="aberto", max_length=100)] = "",
) -> Response:
    """Show a month's movements."""
    asked = _asked(month, pocket, words)
    shown = await _read(page, asked)
    this_month = [total for total in shown.totals if total.month == asked.month]
    return page.show(
        "wallet/statement.html",
        block="list",
        asked=asked,
        shown=shown,
        days=movements.by_day(shown.movements),
        opened=opened,
        came=sum(total.came for total in this_month),
        went=sum(total.went for total in this_month),
        spent_from=[(pocket_of(total.kind), total.went) for total in _spending(this_month)],
        chart=_chart(asked.month, shown.totals),
        now=clock.now(),
        full_name=shown.person.full_name,
        cpf=mask_cpf(shown.person.cpf) if shown.person.cpf else "",
    )


def _spending(totals: list[ledger.MonthTotal]) -> list[ledger.MonthTotal]:
    return sorted((total for total in totals if total.went), key=lambda total: place(total.kind))


def _chart(month: date, totals: list[ledger.MonthTotal]) -> list[Bar]:
    """Draw what went in the last months, where more than one has something."""
    months = [_months_back(month, back) for back in reversed(range(_DRAWN_MONTHS))]
    spent = [sum(total.went for total in totals if total.month == drawn) for drawn in months]
    return bars(list(zip(months, spent, strict=True))) if sum(map(bool, spent)) > 1 else []


@router.get("/app/extrato.csv")
async def download_statement(
    page: SignedPage, month: Month = "", pocket: PocketKey = "", words: Words = ""
) -> Response:
    """Give what the page shows as CSV, as spreadsheets in Brazil read it."""
    asked = _asked(month, pocket, words)
    shown = await _read(page, asked)
    sheet = io.StringIO()
    writer = csv.writer(sheet, delimiter=";", lineterminator="\r\n")
    writer.writerow(["Data", "Hora", "Descrição", "Saldo de", "Valor", "Saldo depois", "Situação"])
    for movement in shown.movements:
        at = in_sao_paulo(movement.at)
        sign = "-" if movement.amount < 0 else ""
        writer.writerow(
            [
                f"{at:%d/%m/%Y}",
                f"{at:%H:%M}",
                _cell(movement.title),
                movement.pocket.name if movement.pocket else "",
                sign + number(movement.amount),
                "" if movement.balance_after is None else number(movement.balance_after),
                "Não passou" if movement.why else "Feito",
            ]
        )
    name = f"extrato-{asked.month:%Y-%m}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response("\ufeff" + sheet.getvalue(), headers=headers, media_type="text/csv; charset=utf-8")


def _cell(text: str) -> str:
    """Keep what somebody else wrote from being taken for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


@router.get("/app/extrato/{entry_id}")
async def show_movement(entry_id: UUID, page: SignedPage) -> Response:
    """Show one movement as a receipt."""
    async with page.database.transaction() as tx:
        accounts = await ledger.accounts_of_owner(tx, page.user_id)
        lines = await ledger.lines_of_entry(tx, page.user_id, entry_id)
        decisions = await benefits.own_decisions(tx, page.user_id, [entry_id]) if page.has("benefits") else {}
        person = await identity.person(tx, page.user_id)
    kinds = {account.id: account.kind for account in accounts}
    found = [*movements.of_lines(lines, kinds, decisions), *movements.of_refusals(decisions.values())]
    if not found:
        raise NotFound
    return page.show(
        "wallet/movement.html",
        movements=found,
        up="/app/extrato",
        month=business_month(found[0].at),
        now=clock.now(),
        full_name=person.full_name,
        cpf=mask_cpf(person.cpf) if person.cpf else "",
    )
