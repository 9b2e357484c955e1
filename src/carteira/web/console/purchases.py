"""Resellers' purchases: decided one by one or several at once, once each; a second decision names the first's actor."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import Response
from pydantic import Field

from carteira import identity, resellers
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.cpf import mask_cpf
from carteira.kit.values.days import read_day
from carteira.kit.web.access import acts, claims, looks
from carteira.kit.web.pagination import Page
from carteira.kit.web.preconditions import Precondition, RecordChanged
from carteira.kit.web.problems import InvalidInput, problem_of
from carteira.web.console.acts import ActField, Confirmation, ask, ask_again
from carteira.web.console.cells import Cell, amount, badge, day, mono, words
from carteira.web.console.pendings import desk_of
from carteira.web.console.tables import ID, NEWEST, ROWS, BulkAct, Filter, Table, TableAsked, TableColumn, offer_csv
from carteira.web.formats import plain_money
from carteira.web.forms import FormBody, Reading
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("resellers")
HOME = "/console/compras"
READS, DECIDES = "purchases:read", "purchases:approve"
PENDING, ALL = "Em validação", "todas"
_APPROVE, _REJECT = f"{HOME}/aprovar", f"{HOME}/reprovar"
_TONES: dict[str, tuple[Any, str]] = {
    "Aprovado": ("ok", "check"),
    "Reprovado": ("bad", "x"),
    PENDING: ("warn", "clock"),
}
_STATES = tuple((text, text) for text in resellers.desk.STATUS.values() if text != PENDING)
_MONTH = r"(19|2[0-9])[0-9]{2}-(0[1-9]|1[0-2])"
_MESSAGE = 700
"""The longest message of an act on several."""


def _status(text: str) -> Cell:
    tone, icon = _TONES.get(text, ("", ""))
    return badge(text, tone, icon)


def _mark(row: resellers.PurchaseWithCashbackOut) -> str:
    """Return the value of a purchase's mark: its id, and the version that was shown."""
    return f"{row.id}.{row.version}"


TABLE: Table[resellers.PurchaseWithCashbackOut] = Table(
    HOME,
    "compras",
    (
        TableColumn("Código", lambda row: words(row.code), "full"),
        TableColumn("Revendedor (CPF)", lambda row: mono(_cpf(row))),
        TableColumn("Data", lambda row: day(row.date), "nowrap", order=NEWEST),
        TableColumn("Valor", lambda row: amount(row.amount), "end nowrap"),
        TableColumn("Faixa", lambda row: words(f"{row.cashback_percentage}%")),
        TableColumn("Cashback", lambda row: amount(row.cashback_amount), "end nowrap"),
        TableColumn("Situação", lambda row: _status(row.status), "stack-end"),
        TableColumn("Motivo", lambda row: words(row.rejection_reason), "full"),
    ),
    key=_mark,
    filters=(
        Filter(
            "situacao",
            "Situação",
            "choice",
            (*_STATES, (ALL, "Todas")),
            otherwise=PENDING,
        ),
        Filter("mes", "Mês", pattern=_MONTH, wrong="Escreva o mês como 2026-11."),
        Filter("revendedor", "Revendedor (id)", pattern=ID, wrong="Cole o id inteiro. Um CPF nunca vai no endereço."),
    ),
    acts=(
        BulkAct(_REJECT, "Reprovar…", "r", danger=True),
        BulkAct(_APPROVE, "Aprovar…", "a"),
    ),
    empty=("Nada a decidir", "Quando um revendedor registrar uma compra, ela aparece aqui."),
)


async def _read(page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[resellers.PurchaseWithCashbackOut]:
    status: Any = asked.get("situacao") or PENDING
    month = asked.get("mes")
    return await resellers.desk.purchases(
        tx,
        page.who,
        read_day(f"{month}-01") if month else None,
        None if status == ALL else status,
        asked.page_request(resellers.PURCHASES, limit),
        asked.id("revendedor"),
    )


@router.get(HOME, dependencies=[claims(READS), looks("purchases_listed")])
async def show_purchases(page: SignedPage) -> Response:
    """List purchases: by default the undecided ones."""
    may = [_REJECT, _APPROVE] if page.holds(DECIDES) else []
    return await TABLE.answer(page, partial(_read, page), template="console/purchases.html", may_act=may)


offer_csv(router, TABLE, _read, READS)


class MarkedForm(FormBody):
    """An act on marked purchases, before and after its confirmation."""

    sure: Annotated[str, Field(alias="certo", max_length=3)] = ""
    reason: Annotated[str, Field(max_length=500)] | None = None


@dataclass(frozen=True, slots=True)
class MarkedPurchase:
    """A marked purchase, and its version when it was marked."""

    id: UUID
    seen: str

    @classmethod
    def parse(cls, text: str) -> "MarkedPurchase":
        """Parse a mark, as `_mark` writes it."""
        identifier, _, seen = text.partition(".")
        return cls(UUID(identifier), seen)

    @property
    def known(self) -> Precondition:
        """The values that the operator saw, for the function."""
        return Precondition.of_form(self.seen)

    def is_still(self, row: resellers.PurchaseWithCashbackOut) -> bool:
        """Return whether the purchase is unchanged since it was marked."""
        return self.seen == row.version


async def _marked(page: WebPage) -> list[MarkedPurchase]:
    """Return the marked purchases, each once.

    Raises:
        InvalidInput: they are unknown.
    """
    try:
        sent = (await page.request.form()).getlist("id")
        found = {one.id: one for one in (MarkedPurchase.parse(text) for text in sent if isinstance(text, str))}
    except ValueError as error:
        raise InvalidInput from error
    if len(found) > ROWS:
        raise InvalidInput
    return list(found.values())


async def _found(
    page: WebPage, marked: Sequence[MarkedPurchase]
) -> tuple[list[resellers.PurchaseWithCashbackOut], list[str]]:
    """Return the marked purchases as they are, and why some are left out: they are gone, or have changed."""
    found = await page.read(lambda tx: resellers.desk.purchases_by_id(tx, page.who, [one.id for one in marked]))
    rows = [found.get(one.id) for one in marked]
    same = [row for one, row in zip(marked, rows, strict=True) if row is not None and one.is_still(row)]
    others = [_changed(row) for one, row in zip(marked, rows, strict=True) if row is None or not one.is_still(row)]
    return same, others


async def _one(tx: Tx, page: WebPage, purchase_id: UUID) -> resellers.PurchaseWithCashbackOut | None:
    try:
        return await resellers.desk.purchase(tx, page.who, purchase_id)
    except resellers.desk.PurchaseNotFound:
        return None


def _changed(row: resellers.PurchaseWithCashbackOut | None) -> str:
    """Return why a purchase is not decided though it was marked."""
    if row is None:
        return "Uma compra marcada foi excluída."
    return f"{row.code} mudou depois de mostrada e não foi decidida: agora são {_said(row)}."


def _cpf(row: resellers.PurchaseWithCashbackOut) -> str:
    """Return the reseller's CPF, masked even for those who may read it whole by the API: the list needs no more."""
    return mask_cpf(row.cpf) if row.cpf.isdigit() else row.cpf


def _said(row: resellers.PurchaseWithCashbackOut) -> str:
    return f"{plain_money(row.amount)} em {row.date:%d/%m/%Y}"


def _asking(
    rows: Sequence[resellers.PurchaseWithCashbackOut], others: Sequence[str], *, approves: bool
) -> Confirmation:
    """Return what deciding these purchases does, and which marked ones are left out."""
    many = f"{len(rows)} compras" if len(rows) > 1 else f"a compra {rows[0].code}"
    total = plain_money(sum(row.amount for row in rows))
    if approves:
        says = [f"São {total} em compras e {plain_money(sum(row.cashback_amount for row in rows))} de cashback."]
        says += ["O que passar do seu limite espera uma segunda pessoa, em Pendências."]
    else:
        says = [f"São {total} em compras. O cashback usado nelas volta ao saldo, e o revendedor lê o motivo."]
    return Confirmation(
        title=f"{'Aprovar' if approves else 'Reprovar'} {many}?",
        says=[*others, *says],
        way_back="Uma compra decidida não volta à fila; o revendedor pode registrar outra.",
        button="Aprovar" if approves else "Reprovar",
        path=_APPROVE if approves else _REJECT,
        back=HOME,
        danger=not approves,
        facts=[(row.code, f"{_said(row)}, CPF {_cpf(row)}") for row in rows],
        fields=() if approves else (ActField("reason", "Motivo", "long"),),
        hidden=[("id", _mark(row)) for row in rows],
    )


async def _ask(
    page: WebPage, marked: Sequence[MarkedPurchase], form: Reading[MarkedForm], *, approves: bool
) -> Response:
    """Ask for a confirmation, or again with a form's errors; without anything to decide go back and say why."""
    rows, others = await _found(page, marked)
    if not rows:
        audit.nothing_done()
        return page.go(HOME, form.message or _short(others))
    act = _asking(rows, () if form.message else others, approves=approves)
    return ask_again(page, act, form) if form.errors or form.message else ask(page, act)


def _short(said: Iterable[str]) -> str:
    return " ".join(filter(None, said))[:_MESSAGE]


@router.post(_APPROVE, dependencies=[claims(DECIDES, READS), acts("purchase_approved", each=True)])
async def approve(page: SignedPage) -> Response:
    """Approve marked purchases after a confirmation, each by itself, if they are unchanged since they were shown."""
    marked = await _marked(page)
    form = await page.form(MarkedForm)
    if not marked:
        audit.nothing_done()
        return page.go(HOME, "Marque ao menos uma compra.")
    if form.value is None or not form.value.sure:
        return await _ask(page, marked, form, approves=True)

    async def one(tx: Tx, purchase: MarkedPurchase) -> bool:
        return await resellers.desk.approve(tx, desk_of(page), page.who, purchase.id, purchase.known)

    return await _decide(page, marked, one, form, approves=True)


@router.post(_REJECT, dependencies=[claims(DECIDES, READS), acts("purchase_rejected", each=True)])
async def reject(page: SignedPage) -> Response:
    """Reject marked purchases after a confirmation, with a reason for their resellers."""
    marked = await _marked(page)
    form = await page.form(MarkedForm)
    if not marked:
        audit.nothing_done()
        return page.go(HOME, "Marque ao menos uma compra.")
    if form.value is None or not form.value.sure:
        return await _ask(page, marked, form, approves=False)
    reason = form.value.reason
    if not reason:
        unanswered = form.at("reason", "Escreva o motivo: o revendedor vai ler.")
        return await _ask(page, marked, unanswered, approves=False)

    async def one(tx: Tx, purchase: MarkedPurchase) -> bool:
        await resellers.desk.reject(tx, page.who, purchase.id, reason, purchase.known)
        return True

    return await _decide(page, marked, one, form, approves=False)


async def _decide(
    page: WebPage,
    marked: Sequence[MarkedPurchase],
    one: Callable[[Tx, MarkedPurchase], Awaitable[bool]],
    form: Reading[MarkedForm],
    *,
    approves: bool,
) -> Response:
    """Decide each purchase in a transaction of its own; report refusals, and who decided meanwhile."""
    done = waits = 0
    refused: list[str] = []
    for purchase in marked:
        try:
            async with page.database.transaction() as tx:
                now = await one(tx, purchase)
        except REFUSALS as error:
            refused.append(await _why(page, purchase.id, error))
            continue
        done, waits = done + now, waits + (not now)
    if not done and not waits:
        if len(marked) == 1:
            audit.nothing_done()
            return page.go(HOME, refused[0])
        return await _ask(page, marked, form.saying(_short(refused)), approves=approves)
    verb = "aprovada" if approves else "reprovada"
    said = [f"{done} {verb}{'s' if done != 1 else ''}." if done else ""]
    said += [f"{waits} à espera de uma segunda pessoa." if waits else "", *refused]
    return page.go(HOME, _short(said))


async def _why(page: WebPage, purchase_id: UUID, error: Exception) -> str:
    """Return why a purchase was not decided: by whom it was meanwhile, or what it is now."""
    problem = problem_of(error)
    if isinstance(problem, RecordChanged):
        return _changed(await page.read(lambda tx: _one(tx, page, purchase_id)))
    if not isinstance(problem, resellers.desk.PurchaseDecided):
        return problem.detail

    async def read(tx: Tx) -> str:
        decision = await resellers.desk.decision_of(tx, purchase_id)
        if decision is None or decision.decided_by is None:
            return problem.detail
        names = await identity.names(tx, [decision.decided_by])
        who = names.get(decision.decided_by, "outra pessoa")
        return f"{decision.code}: {who} já decidiu ({decision.status})."

    return await page.read(read)
