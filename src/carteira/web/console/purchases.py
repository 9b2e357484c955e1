"""Resellers' purchases: decided one by one or several at once, once each; a second decision names the first's actor."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import Response
from pydantic import Field

from carteira import identity, resellers
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.days import read_day
from carteira.kit.web.access import acts, claims, looks, step_up
from carteira.kit.web.pagination import Page
from carteira.kit.web.problems import InvalidInput, problem_of
from carteira.web.console.acts import ActField, Confirmation, ask, ask_again
from carteira.web.console.cells import Cell, amount, badge, day, mono, words
from carteira.web.console.pendings import desk_of
from carteira.web.console.screens import EXPORT
from carteira.web.console.tables import EXPORTED, ROWS, BulkAct, Filter, Table, TableAsked, TableColumn
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
_MONTH = r"[0-9]{4}-(0[1-9]|1[0-2])"


def _status(text: str) -> Cell:
    tone, icon = _TONES.get(text, ("", ""))
    return badge(text, tone, icon)


TABLE: Table[resellers.PurchaseWithCashbackOut] = Table(
    HOME,
    "compras",
    (
        TableColumn("Código", lambda row: words(row.code), "full"),
        TableColumn("Revendedor (CPF)", lambda row: mono(row.cpf)),
        TableColumn("Data", lambda row: day(row.date), "nowrap"),
        TableColumn("Valor", lambda row: amount(row.amount), "end nowrap"),
        TableColumn("Faixa", lambda row: words(f"{row.cashback_percentage}%")),
        TableColumn("Cashback", lambda row: amount(row.cashback_amount), "end nowrap"),
        TableColumn("Situação", lambda row: _status(row.status), "stack-end"),
        TableColumn("Motivo", lambda row: words(row.rejection_reason), "full"),
    ),
    key=lambda row: row.id,
    filters=(
        Filter(
            "situacao",
            "Situação",
            "choice",
            (*_STATES, (ALL, "Todas")),
            otherwise=PENDING,
        ),
        Filter("mes", "Mês", pattern=_MONTH, wrong="Escreva o mês como 2026-11."),
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
    )


@router.get(HOME, dependencies=[claims(READS), looks("purchases_listed")])
async def show_purchases(page: SignedPage) -> Response:
    """List purchases: by default the undecided ones."""
    may = [_REJECT, _APPROVE] if page.holds(DECIDES) else []
    return await TABLE.answer(page, partial(_read, page), template="console/purchases.html", may_act=may)


@router.get(f"{HOME}.csv", dependencies=[claims(READS, EXPORT), step_up(), acts(EXPORTED)])
async def download_purchases(page: SignedPage) -> Response:
    """Download the purchases as CSV."""
    return await TABLE.download(page, partial(_read, page))


class MarkedForm(FormBody):
    """An act on marked purchases, before and after its confirmation."""

    sure: Annotated[str, Field(alias="certo", max_length=3)] = ""
    reason: Annotated[str, Field(max_length=500)] | None = None


async def _marked(page: WebPage) -> list[UUID]:
    """Return the marked purchases.

    Raises:
        InvalidInput: they are unknown.
    """
    try:
        ids = [UUID(text) for text in (await page.request.form()).getlist("id") if isinstance(text, str)]
    except ValueError as error:
        raise InvalidInput from error
    if len(ids) > ROWS:
        raise InvalidInput
    return list(dict.fromkeys(ids))


async def _asking(page: WebPage, ids: list[UUID], *, approves: bool) -> Confirmation:
    """Return what deciding these purchases does."""

    async def read(tx: Tx) -> list[resellers.PurchaseWithCashbackOut]:
        return [await resellers.desk.purchase(tx, page.who, purchase_id) for purchase_id in ids]

    found = await page.read(read)
    many = f"{len(found)} compras" if len(found) > 1 else f"a compra {found[0].code}"
    total = plain_money(sum(row.amount for row in found))
    if approves:
        says = [f"São {total} em compras e {plain_money(sum(row.cashback_amount for row in found))} de cashback."]
        says += ["O que passar do seu limite espera uma segunda pessoa, em Pendências."]
    else:
        says = [f"São {total} em compras. O cashback usado nelas volta ao saldo, e o revendedor lê o motivo."]
    return Confirmation(
        title=f"{'Aprovar' if approves else 'Reprovar'} {many}?",
        says=says,
        way_back="Uma compra decidida não volta à fila; o revendedor pode registrar outra.",
        button="Aprovar" if approves else "Reprovar",
        path=_APPROVE if approves else _REJECT,
        back=HOME,
        danger=not approves,
        facts=[(row.code, plain_money(row.amount)) for row in found],
        fields=() if approves else (ActField("reason", "Motivo", "long"),),
        hidden=[("id", str(row.id)) for row in found],
    )


@router.post(_APPROVE, dependencies=[claims(DECIDES, READS), acts("purchase_approved", each=True)])
async def approve(page: SignedPage) -> Response:
    """Approve marked purchases after a confirmation, each by itself."""
    ids = await _marked(page)
    form = await page.form(MarkedForm)
    if not ids:
        audit.nothing_done()
        return page.go(HOME, "Marque ao menos uma compra.")
    if form.value is None or not form.value.sure:
        return ask(page, await _asking(page, ids, approves=True))

    async def one(tx: Tx, purchase_id: UUID) -> bool:
        return await resellers.desk.approve(tx, desk_of(page), page.who, purchase_id)

    return await _decide(page, ids, one, form, approves=True)


@router.post(_REJECT, dependencies=[claims(DECIDES, READS), acts("purchase_rejected", each=True)])
async def reject(page: SignedPage) -> Response:
    """Reject marked purchases after a confirmation, with a reason for their resellers."""
    ids = await _marked(page)
    form = await page.form(MarkedForm)
    if not ids:
        audit.nothing_done()
        return page.go(HOME, "Marque ao menos uma compra.")
    if form.value is None or not form.value.sure:
        return ask(page, await _asking(page, ids, approves=False))
    reason = form.value.reason
    if not reason:
        told = form.at("reason", "Escreva o motivo: o revendedor vai ler.")
        return ask_again(page, await _asking(page, ids, approves=False), told)

    async def one(tx: Tx, purchase_id: UUID) -> bool:
        await resellers.desk.reject(tx, page.who, purchase_id, reason)
        return True

    return await _decide(page, ids, one, form, approves=False)


async def _decide(
    page: WebPage,
    ids: list[UUID],
    one: Callable[[Tx, UUID], Awaitable[bool]],
    form: Reading[MarkedForm],
    *,
    approves: bool,
) -> Response:
    """Decide each purchase in a transaction of its own; report refusals, and who decided meanwhile."""
    done = waits = 0
    refused: list[str] = []
    for purchase_id in ids:
        try:
            async with page.database.transaction() as tx:
                now = await one(tx, purchase_id)
        except REFUSALS as error:
            refused.append(await _why(page, purchase_id, error))
            continue
        done, waits = done + now, waits + (not now)
    if not done and not waits:
        told = form.saying(" ".join(refused))
        if len(ids) == 1:
            audit.nothing_done()
            return page.go(HOME, refused[0])
        return ask_again(page, await _asking(page, ids, approves=approves), told)
    verb = "aprovada" if approves else "reprovada"
    said = [f"{done} {verb}{'s' if done != 1 else ''}." if done else ""]
    said += [f"{waits} à espera de uma segunda pessoa." if waits else "", *refused]
    return page.go(HOME, " ".join(filter(None, said))[:700])


async def _why(page: WebPage, purchase_id: UUID, error: Exception) -> str:
    """Return why a purchase was not decided; if it was decided meanwhile, by whom."""
    problem = problem_of(error)
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
