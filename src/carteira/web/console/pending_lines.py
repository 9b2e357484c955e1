"""The lines of a long operation that waits: what each would do, and the balance before and after it."""

from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from fastapi import Response

from carteira import benefits
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.security.approvals import PendingOperation
from carteira.kit.web.access import acts, claims, looks, step_up
from carteira.kit.web.approvals import LongOrder, OrderLine
from carteira.kit.web.pagination import CursorOf, Integer, Page
from carteira.web.console.cells import Cell, amount, badge, count, mono, words
from carteira.web.console.overview import require_staff
from carteira.web.console.pendings import HOME, desk_of
from carteira.web.console.screens import EXPORT
from carteira.web.console.tables import EXPORTED, GROWING, Filter, Table, TableAsked, TableColumn
from carteira.web.formats import plain_money
from carteira.web.page import SignedPage, WebPage
from carteira.web.routing import pages

router = pages()
_PATH = HOME + "/{operation_id}/linhas"
_STATES = (("done", "Certas"), ("unchanged", "Já têm conta"), ("wrong", "Com erro"))


class OrderLineKey(NamedTuple):
    """The sort key of a long order's lines."""

    number: Integer


_LINES = CursorOf(OrderLineKey)


@dataclass(frozen=True, slots=True)
class LineBalance:
    """A line, and the balance before and after it for those who may approve the operation."""

    line: OrderLine
    balance: tuple[int, int] | None


def _state(row: LineBalance) -> Cell:
    if row.line.state == "done":
        return badge("Certa", "ok", "check")
    return badge("Nada muda") if row.line.state == "unchanged" else badge("Com erro", "bad", "alert")


def _kinds(row: LineBalance) -> str:
    parts = row.line.parts
    if len(parts) == 1:
        return benefits.pocket_name(*parts)
    return ", ".join(f"{benefits.pocket_name(name)} {plain_money(some)}" for name, some in parts.items())


_TABLE: Table[LineBalance] = Table(
    _PATH,
    "linhas do pedido",
    (
        TableColumn("Linha", lambda row: count(row.line.number), "end", order=GROWING),
        TableColumn("Conta", lambda row: mono(row.line.subject)),
        TableColumn("Empresa", lambda row: words(row.line.group)),
        TableColumn("Saldo", lambda row: words(_kinds(row))),
        TableColumn("Valor", lambda row: amount(row.line.amount if row.line.parts else None), "end nowrap"),
        TableColumn("Antes", lambda row: amount(row.balance and row.balance[0]), "end nowrap"),
        TableColumn("Depois", lambda row: amount(row.balance and row.balance[1]), "end nowrap"),
        TableColumn("Resultado", lambda row: words(row.line.detail), "full"),
        TableColumn("Situação", _state, "stack-end"),
    ),
    key=lambda row: row.line.number,
    filters=(
        Filter("conta", "Conta", pattern=r"[A-Za-z0-9._:-]{1,64}", wrong="Uma conta tem letras, números e . _ : -"),
        Filter("situacao", "Situação", "choice", _STATES),
    ),
    empty=("Nenhuma linha", "Depois de decidido, o que foi pedido não fica aqui."),
)


class _Reader:
    """Reads one operation's lines once for a request, and returns them page by page; `whole` is what was read."""

    def __init__(self, page: WebPage, operation_id: UUID) -> None:
        self._page = page
        self._operation_id = operation_id
        self._row: PendingOperation | None = None
        self.whole = LongOrder(())

    async def read(self, tx: Tx, asked: TableAsked, limit: int) -> Page[LineBalance]:
        """Return a page of the lines, with balances for those who may approve the operation."""
        desk = desk_of(self._page)
        if self._row is None:
            self._row = await desk.find(tx, self._page.who, self._operation_id)
            await audit.record_looks(
                tx, "pending_operation_read", self._row.gaining_users, pending_id=str(self._row.id)
            )
            self.whole = await desk.long_order(tx, self._row) or self.whole
        wanted = asked.page_request(_LINES, limit)
        ordered = reversed(self.whole.lines) if asked.turned else iter(self.whole.lines)
        rest = (line for line in ordered if _matches(line, asked) and _follows(line, wanted.after, asked))
        shown = wanted.page(list(islice(rest, limit + 1)), lambda line: OrderLineKey(line.number))
        decides = desk.may_decide(self._page.who, self._row)
        balances = await desk.balances(tx, self._row, shown.items) if decides and shown.items else ()
        paired = zip(shown.items, balances or [None] * len(shown.items), strict=True)
        return Page(items=[LineBalance(*pair) for pair in paired], next_cursor=shown.next_cursor)


def _matches(line: OrderLine, asked: TableAsked) -> bool:
    named, state = asked.get("conta"), asked.get("situacao")
    return (named is None or named.casefold() in line.subject.casefold()) and state in {None, line.state}


def _follows(line: OrderLine, after: OrderLineKey | None, asked: TableAsked) -> bool:
    if after is None:
        return True
    return line.number < after.number if asked.turned else line.number > after.number


@router.get(_PATH, dependencies=[looks("pending_operation_read")])
async def show_lines(operation_id: UUID, page: SignedPage) -> Response:
    """List the lines of a long operation that waits."""
    require_staff(page.who)
    reader = _Reader(page, operation_id)
    table = replace(_TABLE, path=f"{HOME}/{operation_id}/linhas")
    return await table.answer(
        page, reader.read, template="console/pending_lines.html", home=f"{HOME}/{operation_id}", reader=reader
    )


@router.get(f"{_PATH}.csv", dependencies=[claims(EXPORT), step_up(), acts(EXPORTED)])
async def download_lines(operation_id: UUID, page: SignedPage) -> Response:
    """Download the lines as CSV."""
    require_staff(page.who)
    table = replace(_TABLE, path=f"{HOME}/{operation_id}/linhas")
    return await table.download(page, _Reader(page, operation_id).read)
