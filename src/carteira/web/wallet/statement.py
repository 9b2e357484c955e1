"""The statement: a month of all products, or chosen days; searched, filtered, charted, printed and downloaded."""

import asyncio
import re
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response

from carteira import benefits, identity, ledger
from carteira.kit.values.clock import SAO_PAULO, business_month, clock
from carteira.kit.values.cpf import mask_cpf
from carteira.kit.values.csv_sheet import MARK, MEDIA_TYPE, csv_rows, plain_cell
from carteira.kit.values.days import InvalidDay, read_day
from carteira.kit.web.problems import NotFound
from carteira.web.charts import Bar, bars
from carteira.web.formats import in_sao_paulo, number
from carteira.web.page import SignedPage, WebPage
from carteira.web.routing import pages
from carteira.web.wallet import movements
from carteira.web.wallet.movements import MoneyMovement
from carteira.web.wallet.pockets import Pocket, kind_of, place, pocket_of

router = pages()
_MOST = 500
"""Most lines of a statement, and most decisions of each account; the page says if there are more."""
_DRAWN_MONTHS = 6
_OFFERED_MONTHS = 24
_FIRST = date(2000, 1, 1)
_DAY = timedelta(days=1)
_REFUSED = "nao-passou"
_BETWEEN_ONES_OWN = ("transit.transfer",)
_SIGNS = re.compile(r"[^0-9a-zà-ÿ ]")


@dataclass(frozen=True, slots=True)
class StatementAsked:
    """The requested days, from `first` to `last`: a whole month unless `free`."""

    month: date
    first: date
    last: date
    free: bool
    pocket: str
    words: str

    @property
    def begins(self) -> datetime:
        """The first instant of the first day."""
        return _begins(self.first)

    @property
    def ends(self) -> datetime:
        """The first instant after the last day."""
        return _begins(self.last + _DAY)

    @property
    def query(self) -> dict[str, str]:
        """The query of the same days."""
        return {"de": f"{self.first}", "ate": f"{self.last}"} if self.free else {"mes": f"{self.month:%Y-%m}"}

    @property
    def file_name(self) -> str:
        """The file name of its download."""
        return f"extrato-{self.first}-a-{self.last}" if self.free else f"extrato-{self.month:%Y-%m}"


@dataclass(frozen=True, slots=True)
class _Books:
    person: identity.PersonView
    accounts: list[ledger.LedgerAccountView]
    lines: list[ledger.StatementLine]
    totals: list[ledger.MonthTotal]
    drawn: list[ledger.MonthTotal]


@dataclass(frozen=True, slots=True)
class StatementShown:
    """A statement as it is shown."""

    person: identity.PersonView
    movements: list[MoneyMovement]
    pockets: list[Pocket]
    months: list[date]
    totals: list["PocketTotal"]
    drawn: list[ledger.MonthTotal]
    cut_off: bool


@dataclass(frozen=True, slots=True)
class PocketTotal:
    """A pocket's incoming and outgoing totals, in centavos, with a chart of its months if several have any."""

    pocket: Pocket
    came: int
    went: int
    chart: list[Bar] = field(default_factory=list)


def _day(text: str) -> date | None:
    try:
        return read_day(text)
    except InvalidDay:
        return None


def _asked(days: "Days", pocket: str, words: str) -> StatementAsked:
    this = business_month(clock.now())
    month = max(_FIRST, min(_day(f"{days.month}-01") or this, this))
    first, last = _day(days.first), _day(days.last)
    free = bool(first or last)
    if free:
        today = clock.today()
        last = max(_FIRST, min(last or today, today))
        first = max(_FIRST, min(first or last.replace(day=1), today))
        first, last = min(first, last), max(first, last)
        month = last.replace(day=1)
    else:
        first, last = month, _next_month(month) - _DAY
    assert first is not None, "given or the month's"
    assert last is not None, "given or the month's"
    return StatementAsked(month, first, last, free, pocket, " ".join(words.split()))


@dataclass(frozen=True, slots=True)
class Days:
    """The days of an address: a month, or free days."""

    month: str
    first: str
    last: str


async def _days(
    month: Annotated[str, Query(alias="mes", max_length=7)] = "",
    first: Annotated[str, Query(alias="de", max_length=10)] = "",
    last: Annotated[str, Query(alias="ate", max_length=10)] = "",
) -> Days:
    return Days(month, first, last)


AskedDays = Annotated[Days, Depends(_days)]
PocketKey = Annotated[str, Query(alias="saldo", max_length=60)]
Words = Annotated[str, Query(alias="q", max_length=100)]


def _next_month(month: date) -> date:
    return (month.replace(day=28) + timedelta(days=4)).replace(day=1)


def _months_back(month: date, count: int) -> date:
    months = month.year * 12 + month.month - 1 - count
    return date(months // 12, months % 12 + 1, 1)


def _begins(month: date) -> datetime:
    return datetime.combine(month, time(), SAO_PAULO)


async def _read(page: WebPage, asked: StatementAsked) -> StatementShown:
    books, decisions = await asyncio.gather(_ledger(page, asked), _decisions(page, asked))
    kinds = {account.id: account.kind for account in books.accounts}
    found = movements.of_lines(books.lines, kinds, {decision.id: decision for decision in decisions})
    found = movements.newest_first([*found, *movements.of_refusals(decisions)])
    held = sorted(set(kinds.values()), key=place)
    this = business_month(clock.now())
    first = min((business_month(account.created_at) for account in books.accounts), default=this)
    months = [month for back in range(_OFFERED_MONTHS) if (month := _months_back(this, back)) >= first]
    wanted = kind_of(asked.pocket, held)
    return StatementShown(
        books.person,
        _filtered(found, asked, held),
        [pocket_of(kind) for kind in held],
        months if asked.month in months else [*months, asked.month],
        _by_pocket(books, asked, [wanted] if wanted else held),
        books.drawn,
        len(books.lines) >= _MOST,
    )


async def _ledger(page: WebPage, asked: StatementAsked) -> _Books:
    before = ledger.LineKey(asked.ends, 0, UUID(int=0), 0)
    async with page.database.transaction() as tx:
        person = await identity.person(tx, page.user_id)
        accounts = await ledger.accounts_of_owner(tx, page.user_id)
        ids = [account.id for account in accounts]
        lines = await ledger.statement(tx, ids, limit=_MOST, before=before)
        drawn_from = asked.begins if asked.free else _begins(_months_back(asked.month, _DRAWN_MONTHS - 1))
        found = await ledger.totals_by_month(tx, ids, since=drawn_from, until=asked.ends, inside=_BETWEEN_ONES_OWN)
    totals = [total for total in found if asked.free or total.month == asked.month]
    drawn = [] if asked.free else found
    return _Books(person, accounts, [line for line in lines if line.posted_at >= asked.begins], totals, drawn)


def _by_pocket(books: _Books, asked: StatementAsked, kinds: list[str]) -> list[PocketTotal]:
    """Return each pocket's totals; pockets are never added up."""
    found = []
    for kind in kinds:
        of_kind = [total for total in books.totals if total.kind == kind]
        chart = _chart(asked.month, [total for total in books.drawn if total.kind == kind])
        if of_kind or chart:
            came, went = sum(total.came for total in of_kind), sum(total.went for total in of_kind)
            found.append(PocketTotal(pocket_of(kind), came, went, chart))
    return found


async def _decisions(page: WebPage, asked: StatementAsked) -> list[benefits.OwnDecision]:
    if not page.has("benefits"):
        return []
    async with page.database.transaction() as tx:
        return await benefits.decisions_of_person(tx, page.user_id, since=asked.begins, until=asked.ends, limit=_MOST)


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
    """Return a text for comparison: in lower case, without accents."""
    return _SIGNS.sub("", text.lower())


@router.get("/app/extrato")
async def show_statement(
    page: SignedPage,
    days: AskedDays,
    pocket: PocketKey = "",
    words: Words = "",
    opened: Annotated[str, Query(alias="aberto", max_length=100)] = "",
) -> Response:
    """Show the movements of a month, or of chosen days."""
    asked = _asked(days, pocket, words)
    shown = await _read(page, asked)
    return page.show(
        "wallet/statement.html",
        block="list",
        asked=asked,
        shown=shown,
        days=movements.by_day(shown.movements),
        opened=opened,
        today=clock.today(),
        now=clock.now(),
        full_name=shown.person.full_name,
        cpf=mask_cpf(shown.person.cpf) if shown.person.cpf else "",
    )


def _chart(month: date, totals: list[ledger.MonthTotal]) -> list[Bar]:
    """Return a chart of a pocket's outgoing totals in the last months, if more than one has any."""
    months = [_months_back(month, back) for back in reversed(range(_DRAWN_MONTHS))]
    spent = [sum(total.went for total in totals if total.month == drawn) for drawn in months]
    return bars(list(zip(months, spent, strict=True))) if sum(map(bool, spent)) > 1 else []


@router.get("/app/extrato.csv")
async def download_statement(page: SignedPage, days: AskedDays, pocket: PocketKey = "", words: Words = "") -> Response:
    """Return the page's movements as CSV for spreadsheets in Brazil."""
    asked = _asked(days, pocket, words)
    shown = await _read(page, asked)
    rows = [["Data", "Hora", "Descrição", "Saldo de", "Valor", "Saldo depois", "Situação"]]
    for movement in shown.movements:
        at = in_sao_paulo(movement.at)
        sign = "-" if movement.amount < 0 else ""
        rows.append(
            [
                f"{at:%d/%m/%Y}",
                f"{at:%H:%M}",
                plain_cell(movement.title),
                movement.pocket.name if movement.pocket else "",
                sign + number(movement.amount),
                "" if movement.balance_after is None else number(movement.balance_after),
                "Não passou" if movement.why else "Feito",
            ]
        )
    headers = {"Content-Disposition": f'attachment; filename="{asked.file_name}.csv"', "Cache-Control": "no-store"}
    return Response(MARK + csv_rows(rows), headers=headers, media_type=MEDIA_TYPE)


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
