"""Operations of two people: those that wait for me, those that I proposed, and their outcomes."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import Response
from pydantic import Field

from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.security.approvals import PendingOperation
from carteira.kit.web import pending
from carteira.kit.web.access import acts, looks, reads, step_up
from carteira.kit.web.approvals import DESK, Desk, LongOrder
from carteira.kit.web.pagination import BY_ID, Page
from carteira.web.console.acts import ActField, Confirmation, ask, ask_again
from carteira.web.console.cells import amount, badge, instant, words
from carteira.web.console.overview import require_staff
from carteira.web.console.tables import NEWEST, Filter, Table, TableAsked, TableColumn, offer_csv
from carteira.web.console.words import (
    STATES,
    changes_of,
    facts_of,
    facts_of_long,
    faults_of,
    operation_name,
    totals_of,
)
from carteira.web.formats import Reais, plain_money
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages()
HOME = "/console/pendencias"
ALL = "todas"

TABLE: Table[pending.PendingOperationOut] = Table(
    HOME,
    "pendências",
    (
        TableColumn("Desde", lambda row: instant(row.created_at), "nowrap", order=NEWEST),
        TableColumn("O quê", lambda row: words(operation_name(row.kind), row.summary), "full"),
        TableColumn("Valor", lambda row: amount(row.amount or None), "end nowrap"),
        TableColumn("Quem pediu", lambda row: words(row.maker.name or row.maker.id)),
        TableColumn("Situação", lambda row: badge(*_state(row.status)), "stack-end"),
        TableColumn("Quem decidiu", lambda row: words(row.checker.name or "" if row.checker else "")),
        TableColumn("Vence", lambda row: instant(row.expires_at), "nowrap"),
    ),
    key=lambda row: row.id,
    filters=(
        Filter(
            "situacao",
            "Situação",
            "choice",
            (*((name, labels[0]) for name, labels in STATES.items() if name != "pending"), (ALL, "Todas")),
            otherwise="Esperam",
        ),
    ),
    opens=lambda row: f"{HOME}/{row.id}",
    panel=True,
    empty=("Nada espera", "Quando alguém pedir o que precisa de duas pessoas, aparece aqui."),
)


def _state(status: str) -> tuple[str, Any, str]:
    text, tone, icon = STATES[status]
    return text, tone, icon


def desk_of(page: WebPage) -> Desk:
    """Return the desk that decides operations of two people."""
    return DESK.of(page.request.app)


async def _read(page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[pending.PendingOperationOut]:
    wanted = asked.get("situacao") or "pending"
    status: Any = None if wanted == ALL else wanted
    return await pending.list_pending(tx, page.who, desk_of(page), status, None, asked.page_request(BY_ID, limit))


@router.get(HOME, dependencies=[reads("operations by summaries, which hold no personal data")])
async def show_pendings(page: SignedPage) -> Response:
    """List pending and decided operations."""
    require_staff(page.who)
    return await TABLE.answer(page, partial(_read, page), template="console/pendings.html")


offer_csv(router, TABLE, _read)


@router.get(HOME + "/{operation_id}", dependencies=[looks("pending_operation_read")])
async def show_pending(operation_id: UUID, page: SignedPage) -> Response:
    """Show an operation's order, maker, people concerned and outcome."""
    require_staff(page.who)
    desk = desk_of(page)

    async def read(tx: Tx) -> dict[str, Any]:
        row = await desk.find(tx, page.who, operation_id)
        await audit.record_looks(tx, "pending_operation_read", row.gaining_users, pending_id=str(row.id))
        (shown,) = await pending.shown_of(tx, desk, [row])
        decides = desk.may_decide(page.who, row)
        about = await pending.about_of(tx, desk, row) if decides else []
        changes = changes_of(await desk.changes(tx, row)) if decides else []
        whole = await desk.long_order(tx, row)
        told = _told(desk, row, whole)
        return {"one": shown, "decides": decides, "about": about, "changes": changes, "whole": whole, **told}

    values = await page.read(read)
    return page.show(
        "console/pending.html",
        block="panel",
        home=HOME,
        name=operation_name(values["one"].kind),
        state=_state(values["one"].status),
        mine=values["one"].maker.id == str(page.who.id),
        **values,
    )


def _told(desk: Desk, row: PendingOperation, whole: LongOrder | None) -> dict[str, Any]:
    """Return an order and its outcome, field by field; a long order in totals."""
    order, outcome = desk.shown(row), desk.outcome(row)
    asked = orjson.loads(orjson.dumps(order, default=_dumped))
    done = orjson.loads(orjson.dumps(outcome))
    return {
        "order": facts_of(asked) if whole is None else [*_totals(whole), *facts_of_long(asked)],
        "outcome": [*facts_of_long(done), *faults_of(done)],
    }


def _totals(whole: LongOrder) -> list[tuple[str, str]]:
    return totals_of(whole) if whole.lines else []


def _dumped(value: Any) -> Any:  # noqa: ANN401 - orjson passes any value that it cannot write
    return value.model_dump(mode="json")


class ApprovalForm(FormBody):
    """An approval: the total, typed if money moves."""

    total: Reais | None = None


class RefusalForm(FormBody):
    """The reason for refusing an operation."""

    reason: Annotated[str, Field(max_length=300)] | None = None


def _approval(one: pending.PendingOperationOut) -> Confirmation:
    total = ActField("total", "Para aprovar, digite o valor total", "money", f"São {plain_money(one.amount)}.")
    return Confirmation(
        title=f"Aprovar: {operation_name(one.kind)}?",
        says=(one.summary, f"É feito agora, em nome de {one.maker.name or 'quem pediu'}, com as conferências de novo."),
        way_back="O que foi aprovado não se desfaz aqui; dinheiro volta por estorno, um a um.",
        button="Aprovar e fazer",
        path=f"{HOME}/{one.id}/aprovar",
        back=HOME,
        fields=(total,) if one.amount else (),
    )


def _refusal(one: pending.PendingOperationOut, *, mine: bool) -> Confirmation:
    return Confirmation(
        title=f"{'Desistir de' if mine else 'Recusar'}: {operation_name(one.kind)}?",
        says=(one.summary, "Nada se move. Quem pediu lê o motivo."),
        way_back="Para voltar atrás, é preciso pedir de novo.",
        button="Desistir" if mine else "Recusar",
        path=f"{HOME}/{one.id}/recusar",
        back=HOME,
        danger=True,
        fields=(ActField("reason", "Motivo", "long", required=not mine),),
    )


async def _one(page: WebPage, operation_id: UUID) -> pending.PendingOperationOut:
    require_staff(page.who)
    desk = desk_of(page)

    async def read(tx: Tx) -> pending.PendingOperationOut:
        (shown,) = await pending.shown_of(tx, desk, [await desk.find(tx, page.who, operation_id)])
        return shown

    return await page.read(read)


@router.get(
    HOME + "/{operation_id}/aprovar",
    dependencies=[step_up(), reads("an operation by its summary, which holds no personal data")],
)
async def ask_approval(operation_id: UUID, page: SignedPage) -> Response:
    """Show what approving does."""
    return ask(page, _approval(await _one(page, operation_id)))


@router.post(HOME + "/{operation_id}/aprovar", dependencies=[step_up(), acts("operation_approved")])
async def approve(operation_id: UUID, page: SignedPage) -> Response:
    """Approve; if it was decided meanwhile, say by whom."""
    one = await _one(page, operation_id)
    form = await page.form(ApprovalForm)
    if form.value is None:
        return ask_again(page, _approval(one), form)
    if one.amount and int(form.value.total or 0) != one.amount:
        return ask_again(page, _approval(one), form.at("total", f"O total é {plain_money(one.amount)}."))
    try:
        async with page.database.transaction() as tx:
            await desk_of(page).approve(tx, page.who, operation_id)
    except REFUSALS as error:
        return ask_again(page, _approval(one), form, error)
    return page.go(HOME, f"Aprovado: {operation_name(one.kind)}.")


@router.get(
    HOME + "/{operation_id}/recusar", dependencies=[reads("an operation by its summary, which holds no personal data")]
)
async def ask_refusal(operation_id: UUID, page: SignedPage) -> Response:
    """Show what refusing does."""
    one = await _one(page, operation_id)
    return ask(page, _refusal(one, mine=one.maker.id == str(page.who.id)))


@router.post(HOME + "/{operation_id}/recusar", dependencies=[acts("operation_refused")])
async def refuse(operation_id: UUID, page: SignedPage) -> Response:
    """Refuse, or withdraw one's own; if it was decided meanwhile, say by whom."""
    one = await _one(page, operation_id)
    mine = one.maker.id == str(page.who.id)
    form = await page.form(RefusalForm)
    if form.value is None:
        return ask_again(page, _refusal(one, mine=mine), form)
    if not mine and not form.value.reason:
        return ask_again(page, _refusal(one, mine=mine), form.at("reason", "Escreva o motivo: quem pediu vai ler."))
    try:
        async with page.database.transaction() as tx:
            await desk_of(page).refuse(tx, page.who, operation_id, form.value.reason)
    except REFUSALS as error:
        return ask_again(page, _refusal(one, mine=mine), form, error)
    return page.go(HOME, "Você desistiu do pedido." if mine else f"Recusado: {operation_name(one.kind)}.")
