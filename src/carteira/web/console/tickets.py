"""The assistant's tickets, each answered once; and its unanswered questions."""

from dataclasses import replace
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import Response
from pydantic import Field

from carteira import assistant, identity
from carteira.kit.db.session import Tx
from carteira.kit.web.access import acts, claims, looks, reads
from carteira.kit.web.pagination import BY_ID, Page
from carteira.web.console.acts import ActField, Confirmation, ask, ask_again
from carteira.web.console.cells import Cell, badge, count, instant, words
from carteira.web.console.tables import NEWEST, OLDEST, Filter, Table, TableAsked, TableColumn, offer_csv
from carteira.web.forms import FormBody
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

router = pages("assistant")
HOME, QUESTIONS = "/console/atendimentos", "/console/perguntas"
_STATES = (("respondidos", "Respondidos"), ("todos", "Todos"))
READS, WRITES = "assistant:read", "assistant:write"


def _state(row: assistant.desk.Ticket) -> Cell:
    return badge("Aberto", "warn", "clock") if row.answer is None else badge("Respondido", "ok", "check")


TABLE: Table[assistant.desk.Ticket] = Table(
    HOME,
    "atendimentos",
    (
        TableColumn("Número", lambda row: count(row.number)),
        TableColumn("Desde", lambda row: instant(row.created_at), "nowrap", order=OLDEST),
        TableColumn("O que a pessoa escreveu", lambda row: words(row.message), "full"),
        TableColumn("Situação", _state, "stack-end"),
    ),
    key=lambda row: row.id,
    filters=(Filter("situacao", "Situação", "choice", _STATES, otherwise="Abertos"),),
    opens=lambda row: f"{HOME}/{row.id}",
    panel=True,
    empty=("Ninguém espera", "Quando alguém pedir para falar com uma pessoa, aparece aqui."),
)

QUESTION_TABLE: Table[assistant.desk.Question] = Table(
    QUESTIONS,
    "perguntas sem resposta",
    (
        TableColumn("Quando", lambda row: instant(row.asked_at), "nowrap", order=NEWEST),
        TableColumn("Pergunta", lambda row: words(row.question), "full"),
        TableColumn("Assuntos mais próximos", lambda row: words(", ".join(row.nearest)), "full"),
    ),
    key=lambda row: row.id,
    filters=(Filter("perto", "Perto do assunto", grows=True),),
    empty=(
        "Nenhuma pergunta sem resposta",
        "O que o assistente não souber responder aparece aqui.",
    ),
)


async def _read(_page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[assistant.desk.Ticket]:
    is_open = {"respondidos": False, "todos": None}.get(asked.get("situacao") or "", True)
    return await assistant.desk.listed(tx, is_open=is_open, asked=asked.page_request(BY_ID, limit))


@router.get(HOME, dependencies=[claims(READS), looks("assistant_tickets_listed")])
async def show_tickets(page: SignedPage) -> Response:
    """List tickets, the longest waiting first."""
    return await TABLE.answer(page, partial(_read, page), template="console/tickets.html")


offer_csv(router, TABLE, _read, READS)


@router.get(HOME + "/{ticket_id}", dependencies=[claims(READS), looks("assistant_tickets_listed")])
async def show_ticket(ticket_id: UUID, page: SignedPage) -> Response:
    """Show a ticket, and its answer."""

    async def read(tx: Tx) -> tuple[assistant.desk.Ticket, str]:
        ticket, answered_by = await assistant.desk.ticket(tx, ticket_id)
        names = await identity.names(tx, [answered_by] if answered_by else [])
        return ticket, names.get(answered_by, "") if answered_by else ""

    ticket, by = await page.read(read)
    return page.show(
        "console/ticket.html",
        block="panel",
        home=HOME,
        ticket=ticket,
        by=by,
        state=_state(ticket),
        mine=ticket.user_id == page.user_id,
    )


def _answering(ticket: assistant.desk.Ticket) -> Confirmation:
    return Confirmation(
        title=f"Responder o atendimento {ticket.number}",
        says=("A pessoa lê a resposta na conversa e nos avisos dela.",),
        way_back="Uma resposta enviada não se muda.",
        button="Enviar a resposta",
        path=f"{HOME}/{ticket.id}/responder",
        back=f"{HOME}/{ticket.id}",
        facts=(("A pessoa escreveu", ticket.message),),
        fields=(ActField("answer", "Resposta", "long"),),
    )


class AnswerForm(FormBody):
    """The answer to a person."""

    answer: Annotated[str, Field(min_length=1, max_length=1_000)]


@router.get(HOME + "/{ticket_id}/responder", dependencies=[claims(READS, WRITES), looks("assistant_tickets_listed")])
async def ask_answer(ticket_id: UUID, page: SignedPage) -> Response:
    """Ask for the answer."""
    ticket, _ = await page.read(lambda tx: assistant.desk.ticket(tx, ticket_id))
    return ask(page, _answering(ticket))


@router.post(HOME + "/{ticket_id}/responder", dependencies=[claims(READS, WRITES), acts("assistant_ticket_answered")])
async def answer(ticket_id: UUID, page: SignedPage) -> Response:
    """Answer a ticket, once; a second answer names the first one's author."""
    form = await page.form(AnswerForm)
    ticket, _ = await page.read(lambda tx: assistant.desk.ticket(tx, ticket_id))
    if form.value is None:
        return ask_again(page, _answering(ticket), form)
    try:
        async with page.database.transaction() as tx:
            await assistant.desk.answer(tx, page.who, ticket_id, form.value.answer)
    except assistant.desk.TicketAnswered as error:
        return ask_again(page, _answering(ticket), form.saying(await _who_answered(page, ticket_id, error.detail)))
    except REFUSALS as error:
        return ask_again(page, _answering(ticket), form, error)
    return page.go(HOME, f"Atendimento {ticket.number} respondido.")


async def _who_answered(page: WebPage, ticket_id: UUID, otherwise: str) -> str:
    async def read(tx: Tx) -> str:
        _, answered_by = await assistant.desk.ticket(tx, ticket_id)
        name = "" if answered_by is None else (await identity.names(tx, [answered_by])).get(answered_by, "")
        return f"{name} já respondeu." if name else otherwise

    return await page.read(read)


async def _read_questions(_page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[assistant.desk.Question]:
    return await assistant.desk.questions(tx, asked.get("perto"), asked.page_request(BY_ID, limit))


@router.get(QUESTIONS, dependencies=[claims(READS), reads("questions are kept scrubbed and without their person")])
async def show_questions(page: SignedPage) -> Response:
    """List unanswered questions, with how many came nearest to the same topic."""
    groups = await page.read(assistant.desk.question_groups)
    table = replace(QUESTION_TABLE, opens=(lambda row: f"{QUESTIONS}/{row.id}/tirar") if page.holds(WRITES) else None)
    return await table.answer(page, partial(_read_questions, page), template="console/questions.html", groups=groups)


offer_csv(router, QUESTION_TABLE, _read_questions, READS)


def _dismissal(question_id: UUID) -> Confirmation:
    return Confirmation(
        title="Tirar esta pergunta da lista?",
        says=("Faça isso quando a resposta já estiver escrita, ou quando ela não precisar de uma.",),
        way_back="A pergunta some; se alguém a fizer de novo, ela volta.",
        button="Tirar da lista",
        path=f"{QUESTIONS}/{question_id}/tirar",
        back=QUESTIONS,
    )


@router.get(QUESTIONS + "/{question_id}/tirar", dependencies=[claims(WRITES), reads("a question, which is nobody's")])
async def ask_dismissal(question_id: UUID, page: SignedPage) -> Response:
    """Show what dismissing a question means."""
    return ask(page, _dismissal(question_id))


@router.post(QUESTIONS + "/{question_id}/tirar", dependencies=[claims(WRITES), acts("assistant_question_dismissed")])
async def dismiss(question_id: UUID, page: SignedPage) -> Response:
    """Dismiss a question."""
    form = await page.form(FormBody)
    try:
        async with page.database.transaction() as tx:
            await assistant.desk.dismiss(tx, question_id)
    except REFUSALS as error:
        return ask_again(page, _dismissal(question_id), form, error)
    return page.go(QUESTIONS, "Pergunta tirada da lista.")
