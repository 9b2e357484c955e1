"""One table for every screen: its filters in the address, its columns, its pages, and its CSV.

A screen declares a `Table` and reads a page of its rows by a verb of a module. Filters, order and cursor are in the
address, so that a link shows a colleague the same rows. Personal terms never are: a search by them is a POST, and its
next page gets them in a form (`private`).
"""

import re
import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Generic, Literal, Protocol, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.values.csv_sheet import MARK, MEDIA_TYPE, csv_rows
from carteira.kit.values.days import InvalidDay, read_day
from carteira.kit.web.access import acts, claims, step_up
from carteira.kit.web.pagination import CursorOf, PageRequest, page_within
from carteira.kit.web.period import Period
from carteira.kit.web.problems import InvalidInput
from carteira.web.console.cells import Cell
from carteira.web.console.screens import EXPORT
from carteira.web.formats import begins
from carteira.web.page import SignedPage, WebPage

ID = r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}"
"""The pattern of a filter by an id."""
T = TypeVar("T")
Row_co = TypeVar("Row_co", covariant=True)
K = TypeVar("K")
CURSOR, SORT = "depois", "ordem"
ROWS = 50
MOST_EXPORTED = 5_000
EXPORTED = "list_exported"
"""The audit's action of a list's download."""
_PAGE_OF_EXPORT = 100
_MORE = "… e há mais linhas: use os filtros e baixe por partes."
_LONGEST = 100
_YEARS = range(1970, 9999)
"""The years of accepted days; others have no instants, or no day after them."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter above a table; its text must match `pattern`."""

    name: str
    label: str
    kind: Literal["text", "choice", "day"] = "text"
    choices: tuple[tuple[str, str], ...] = ()
    pattern: str = r"[^\x00-\x1f\x7f]*"
    wrong: str = "Confira este filtro."
    grows: bool = False
    otherwise: str = "Qualquer"
    """The meaning of an empty choice."""

    def fault(self, text: str) -> str:
        """Return the error of a typed text; empty: none."""
        if self.kind == "choice":
            return "" if text in dict(self.choices) else "Escolha uma das opções."
        if self.kind == "day":
            return "" if _is_day(text) else "Escreva um dia, como 2026-11-25."
        return "" if len(text) <= _LONGEST and re.fullmatch(self.pattern, text) else self.wrong

    def shown(self, text: str) -> str:
        """Return the text of this filter's chip."""
        if self.kind == "choice":
            return dict(self.choices).get(text, text)
        return f"{self.label}: {text}"


PERSON = Filter("pessoa", "Id da pessoa", pattern=ID, wrong="Cole o id inteiro. Um CPF nunca vai no endereço.")
"""The filter by which a person's page leads to their rows."""


PERIOD = (Filter("de", "De", "day"), Filter("ate", "Até", "day"))
"""The filters of a list's period, by the days of its rows."""
WORDS = Filter("busca", "Palavras da lista", grows=True)
"""The filter of a whole list by any of its words; the table itself applies it."""


def state_filter(*states: str) -> Filter:
    """Return the filter of a whole list by the words of its badges; the table itself applies it."""
    return Filter("situacao", "Situação", "choice", tuple((state, state) for state in states))


def _is_day(text: str) -> bool:
    try:
        return read_day(text).year in _YEARS
    except InvalidDay:
        return False


@dataclass(frozen=True, slots=True)
class TableOrder:
    """The order of a table's index, and the other way along it, which an address names.

    `is_down` is whether the greatest value comes first, unless the order is turned.
    """

    turned: str
    said: str
    said_turned: str
    is_down: bool = False


NEWEST = TableOrder("antigas", "Mais recente", "Mais antigo", is_down=True)
OLDEST = TableOrder("novas", "Mais antigo", "Mais recente")
GROWING = TableOrder("contrario", "Crescente", "Decrescente")


@dataclass(frozen=True, slots=True)
class TableColumn(Generic[T]):
    """A column; `place` positions its cells on a phone (`full`, `end`, `stack-end` …)."""

    name: str
    cell: Callable[[T], Cell]
    place: str = ""
    order: TableOrder | None = None
    """The order of the table's pages, if it is this column's: its head turns it."""

    @property
    def key(self) -> str:
        """Its name in addresses, where a whole list is sorted by it."""
        return _slug(self.name)


def _plain(text: str) -> str:
    """Return a text in small letters without accents."""
    return unicodedata.normalize("NFD", text.lower()).encode("ascii", "ignore").decode()


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", _plain(text)).strip("-")


@dataclass(frozen=True, slots=True)
class ColumnHead:
    """A column's head: its title, its present order, and its link."""

    name: str
    place: str
    direction: Literal["", "ascending", "descending"] = ""
    order: str | None = None


@dataclass(frozen=True, slots=True)
class BulkAct:
    """An act on the marked rows; it is confirmed at `path` before anything happens."""

    path: str
    label: str
    key: str = ""
    danger: bool = False


class Rows(Protocol[Row_co]):
    """A page of rows, as the modules' verbs return it."""

    @property
    def items(self) -> Sequence[Row_co]:
        """The rows."""

    @property
    def next_cursor(self) -> str | None:
        """The cursor of the next page; None: there is none."""


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """A whole list without pages."""

    items: Sequence[T]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class TableAsked:
    """A table's request: valid filters, typed texts, errors, the order and the page."""

    values: Mapping[str, str]
    typed: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    sort: str = ""
    turned: bool = False
    """Whether the list is asked for the other way round."""
    oldest_first: bool = False
    """Whether the oldest rows are requested first."""
    cursor: str = ""
    private: bool = False
    """Whether it came by POST, so that nothing of it may appear in an address."""

    def get(self, name: str) -> str | None:
        """Return a filter's value; None: it was left empty."""
        return self.values.get(name)

    def id(self, name: str) -> UUID | None:
        """Return a filter's id."""
        text = self.get(name)
        return None if text is None else UUID(text)

    def since(self, name: str = "de") -> datetime | None:
        """Return the first instant of a filter's day in São Paulo."""
        return self._midnight(name, timedelta())

    def until(self, name: str = "ate") -> datetime | None:
        """Return the first instant after a filter's day in São Paulo."""
        return self._midnight(name, timedelta(days=1))

    def _midnight(self, name: str, later: timedelta) -> datetime | None:
        text = self.get(name)
        return None if text is None else begins(read_day(text) + later)

    def query(self, **changes: str) -> str:
        """Return the query of an address with some changes to this request; without a cursor it is the first page."""
        asked = {**self.values, SORT: self.sort, **changes}
        return urlencode({name: value for name, value in asked.items() if value})

    def page_request(self, cursor: CursorOf[K], limit: int = ROWS) -> PageRequest[K]:
        """Return the requested page.

        Raises:
            InvalidInput: the address holds no cursor of this list.
        """
        return PageRequest(limit, cursor.read(self.cursor) if self.cursor else None, turned=self.turned)

    def page_within(self, cursor: CursorOf[K], limit: int = ROWS) -> PageRequest[K]:
        """Return the requested page of a list that is sorted by time, within the days of `PERIOD`.

        Raises:
            InvalidInput: the address holds no cursor of this list.
        """
        after = cursor.read(self.cursor) if self.cursor else None
        period = Period(self.since(), self.until())
        return replace(page_within(cursor, period, limit, after, oldest_first=self.oldest_first), turned=self.turned)


Read = Callable[[Tx, TableAsked, int], Awaitable[Rows[T]]]
"""Reads a page of a table, at most so many rows."""


@dataclass(frozen=True, slots=True)
class Table(Generic[T]):
    """A table, as a screen declares it.

    Attributes:
        path: Its address.
        name: Its rows' name in the plural, and the CSV's file name.
        columns: Its columns.
        key: A row's id, by which it is marked.
        filters: Its filters.
        opens: The address of a row's page.
        panel: Whether that page is shown beside the table.
        acts: Acts on marked rows.
        empty: The title and the text of an empty table.
        exports: Whether it can be downloaded (`offer_csv`).
        export_needs: Further claims for downloading it.
        whole: Whether all rows come at once, so that each column can sort them.
    """

    path: str
    name: str
    columns: tuple[TableColumn[T], ...]
    key: Callable[[T], object] = str
    filters: tuple[Filter, ...] = ()
    opens: Callable[[T], str] | None = None
    panel: bool = False
    acts: tuple[BulkAct, ...] = ()
    empty: tuple[str, str] = ("Nada por aqui", "")
    exports: bool = True
    export_needs: tuple[str, ...] = ()
    whole: bool = False

    @property
    def order(self) -> TableOrder | None:
        """The order of its pages; None: it is whole, or has one order only."""
        return next((column.order for column in self.columns if column.order is not None), None)

    @property
    def sorts(self) -> tuple[tuple[str, str], ...]:
        """The orders to choose from, by their names in addresses; the first is the default."""
        order = self.order
        return () if order is None else (("", order.said), (order.turned, order.said_turned))

    @property
    def file(self) -> str:
        """Its name in files and in the audit: the last part of its address, or its rows' name where that is an id."""
        last = self.path.rpartition("/")[2]
        return _slug(self.name) if re.fullmatch(r"[0-9a-f-]{36}", last) else last

    def heads(self, asked: TableAsked) -> list[ColumnHead]:
        """Return its columns' heads; sortable ones are links, which work without scripts."""
        return [self._head(column, asked.sort) for column in self.columns]

    def _head(self, column: TableColumn[T], sort: str) -> ColumnHead:
        if self.whole:
            up, down = column.key, f"-{column.key}"
            direction: Literal["", "ascending", "descending"] = {up: "ascending", down: "descending"}.get(sort, "")  # type: ignore[assignment] # a literal of each
            return ColumnHead(column.name, column.place, direction, down if sort == up else up)
        order = column.order
        if order is None:
            return ColumnHead(column.name, column.place)
        is_turned = sort == order.turned
        direction = "descending" if order.is_down != is_turned else "ascending"
        return ColumnHead(column.name, column.place, direction, "" if is_turned else order.turned)

    def _orders(self) -> set[str]:
        """Return the orders that an address may name."""
        known = {name for name, _ in self.sorts}
        return known | ({sign + column.key for column in self.columns for sign in ("", "-")} if self.whole else set())

    def _found(self, rows: Sequence[T], asked: TableAsked) -> Sequence[T]:
        """Return the rows of a whole list with the words of `WORDS` and the badge of `state_filter`, sorted."""
        words, state = _plain(asked.get(WORDS.name) or "").split(), asked.get("situacao")
        if self.whole and (words or state):
            drawn = [(row, [column.cell(row) for column in self.columns]) for row in rows]
            rows = [row for row, cells in drawn if _has(cells, words, state)]
        return self._sorted(rows, asked.sort)

    def _sorted(self, rows: Sequence[T], sort: str) -> Sequence[T]:
        """Sort a whole list by a column's machine-readable values."""
        column = next((one for one in self.columns if one.key == sort.removeprefix("-")), None)
        if column is None or not self.whole:
            return rows
        return sorted(rows, key=lambda row: _rank(column.cell(row)), reverse=sort.startswith("-"))

    def asked(self, page: WebPage) -> TableAsked:
        """Parse the request from an address."""
        return self._asked({name: text.strip() for name, text in page.request.query_params.items() if text.strip()})

    def asked_openly(self, page: WebPage, *names: str) -> TableAsked:
        """Parse an address's filters of these names, which are not personal, for a private table; ignore others."""
        sent = {name: text.strip() for name, text in page.request.query_params.items() if text.strip()}
        return self._asked({name: text for name, text in sent.items() if name in {*names, SORT, CURSOR}}, private=True)

    async def asked_by_form(self, page: WebPage) -> TableAsked:
        """Parse the request from a form, which may hold personal terms."""
        typed = {name: text.strip() for name, text in (await page.typed()).items() if text.strip()}
        typed.pop("csrf", None)
        return self._asked(typed, private=True)

    def _asked(self, typed: Mapping[str, str], *, private: bool = False) -> TableAsked:
        by_name = {one.name: one for one in self.filters}
        faults = {name: by_name[name].fault(text) for name, text in typed.items() if name in by_name}
        errors = {name: fault for name, fault in faults.items() if fault}
        sort = typed.get(SORT, "")
        is_turned = self.order is not None and sort == self.order.turned
        return TableAsked(
            {name: typed[name] for name in by_name if name in typed and name not in errors},
            {name: text for name, text in typed.items() if name in by_name},
            errors,
            tuple(sorted(set(typed) - set(by_name) - {CURSOR, SORT})),
            sort if sort in self._orders() else "",
            is_turned,
            self.order is not None and self.order.is_down == is_turned,
            typed.get(CURSOR, ""),
            private,
        )

    async def answer(
        self,
        page: WebPage,
        read: Read[T],
        *,
        asked: TableAsked | None = None,
        template: str = "console/list.html",
        choices: Mapping[str, tuple[tuple[str, str], ...]] | None = None,
        **values: Any,  # noqa: ANN401 - a template's values have any type
    ) -> HTMLResponse:
        """Draw a page of the table; a wrong filter shows its error and no rows."""
        asked = asked or self.asked(page)
        rows: Rows[T] = Listed(())
        if not asked.errors:
            rows = await page.read(lambda tx: read(tx, asked, ROWS))
        return page.show(
            template,
            status=422 if asked.errors else 200,
            table=self,
            asked=asked,
            choices=choices or {},
            rows=[_drawn(self, row) for row in self._found(rows.items, asked)],
            heads=self.heads(asked),
            next_cursor=rows.next_cursor,
            may_export=self.exports and all(page.holds(one) for one in (EXPORT, *self.export_needs)),
            **values,
        )

    async def download(self, page: WebPage, read: Read[T], asked: TableAsked | None = None) -> Response:
        """Return the requested rows as CSV; the audit records the filters and the number of rows.

        The verb that reads the rows records its looks at people, as on the screen. Where there are more rows than a
        file takes, its last line says so.

        Raises:
            InvalidInput: a filter is wrong; the list's page says which.
        """
        asked = asked or self.asked(page)
        if asked.errors:
            raise InvalidInput
        async with page.database.transaction() as tx:
            found, has_more = await _every(tx, read, asked)
            rows = self._found(found, asked)
            typed = dict.fromkeys(asked.values, "•") if asked.private else dict(asked.values)
            await audit.record(tx, EXPORTED, list=self.file, filters=typed, rows=len(rows))
        titles = [column.name for column in self.columns]
        cells = ([column.cell(row).plain for column in self.columns] for row in rows)
        lines = [titles, *cells, *([[_MORE]] if has_more else [])]
        name = f"{self.file}-{clock.today()}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return Response(MARK + csv_rows(lines), headers=headers, media_type=MEDIA_TYPE)


PageRead = Callable[[WebPage, Tx, TableAsked, int], Awaitable[Rows[T]]]
"""Reads a page of a table for whoever opens it."""
FormRead = Callable[[WebPage], Awaitable[TableAsked]]
"""Parses a search by form."""


def offer_csv(
    router: APIRouter, table: Table[T], read: PageRead[T], *needed: str, asked_by_form: FormRead | None = None
) -> None:
    """Serve a table's CSV at its address, for holders of its claims and of `lists:export`, after a recent sign-in.

    A list that is searched by POST is downloaded by POST (`asked_by_form`), so that no personal term is in an address.
    """

    async def download(page: SignedPage) -> Response:
        """Download the list as CSV."""
        asked = None if asked_by_form is None else await asked_by_form(page)
        return await table.download(page, partial(read, page), asked)

    router.add_api_route(
        f"{table.path}.csv",
        download,
        methods=["GET" if asked_by_form is None else "POST"],
        dependencies=[claims(*needed, EXPORT, *table.export_needs), step_up(), acts(EXPORTED)],
    )


async def _every(tx: Tx, read: Read[T], asked: TableAsked) -> tuple[list[T], bool]:
    """Read page after page, up to `MOST_EXPORTED` rows; return whether there are more."""
    found: list[T] = []
    while True:
        rows = await read(tx, asked, min(_PAGE_OF_EXPORT, MOST_EXPORTED - len(found)))
        found.extend(rows.items)
        if rows.next_cursor is None or not rows.items:
            return found[:MOST_EXPORTED], len(found) > MOST_EXPORTED
        if len(found) >= MOST_EXPORTED:
            return found, True
        asked = replace(asked, cursor=rows.next_cursor)


def _has(cells: Sequence[Cell], words: Sequence[str], state: str | None) -> bool:
    """Return whether a row has all words, and a badge of a state."""
    text = _plain(" ".join(f"{cell.text} {cell.detail}" for cell in cells))
    is_in_state = state is None or any(cell.kind == "badge" and cell.text == state for cell in cells)
    return is_in_state and all(word in text for word in words)


def _rank(cell: Cell) -> tuple[int, float, str]:
    """Return a cell's sort key: empty first, then numbers, then texts regardless of case."""
    said = cell.value or cell.text
    if not said:
        return 0, 0.0, ""
    digits = said.replace(".", "").replace(",", ".") if cell.kind != "instant" else said
    if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", digits):
        return 1, float(digits), ""
    return 2, 0.0, said.casefold()


@dataclass(frozen=True, slots=True)
class DrawnRow:
    """A row as the template draws it."""

    key: str
    cells: list[tuple[TableColumn[Any], Cell]]
    href: str
    name: str
    """Its accessible name, which distinguishes it from other rows."""


def _drawn(table: Table[T], row: T) -> DrawnRow:
    cells = [(column, column.cell(row)) for column in table.columns]
    name = next((cell.text for _, cell in cells if cell.text and cell.kind in {"text", "mono"}), "")
    return DrawnRow(str(table.key(row)), cells, table.opens(row) if table.opens else "", name)
