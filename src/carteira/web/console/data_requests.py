"""Requests of people about their data (LGPD, art. 18): written down, listed by their due day, answered once."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import Response
from pydantic import Field

from carteira import identity
from carteira.kit.db.session import Tx
from carteira.kit.web.access import acts, claims, looks
from carteira.kit.web.pagination import BY_ID, Page
from carteira.web.console.acts import ActField, Confirmation, Detail, DetailStep, ask, ask_again, show_detail
from carteira.web.console.cells import Cell, badge, day, instant, words
from carteira.web.console.people import HOME as PEOPLE
from carteira.web.console.tables import OLDEST, Filter, Table, TableAsked, TableColumn, offer_csv
from carteira.web.formats import REQUESTS, moment, short_day
from carteira.web.forms import FormBody, Lines
from carteira.web.page import REFUSALS, SignedPage, WebPage
from carteira.web.routing import pages

data_requests = identity.desk.data_requests
router = pages()
HOME = "/console/pedidos"
READS, WRITES = "users:read", "users:write"
WRITES_DOWN = "data_requests:write"
"""The claim of those who record requests at the counter and do not answer them."""
ALL = "todos"
_LOOK = "data_requests_listed"


def _state(row: data_requests.DataRequestView) -> Cell:
    if row.outcome is not None:
        return badge("Atendido", "ok", "check") if row.outcome == "fulfilled" else badge("Recusado", "bad", "x")
    return badge("Atrasado", "bad", "alert") if row.is_late else badge("Espera", "warn", "clock")


TABLE: Table[data_requests.DataRequestView] = Table(
    HOME,
    "pedidos",
    (
        TableColumn("Desde", lambda row: instant(row.created_at), "nowrap", order=OLDEST),
        TableColumn("De quem", lambda row: words(row.name), "full"),
        TableColumn("O que pede", lambda row: words(REQUESTS[row.kind])),
        TableColumn("Responder até", lambda row: day(row.due_on), "nowrap"),
        TableColumn("Como chegou", lambda row: words("pela pessoa" if row.by_person else "por um operador")),
        TableColumn("Situação", _state, "stack-end"),
    ),
    key=lambda row: row.id,
    filters=(
        Filter("situacao", "Situação", "choice", (("respondidos", "Respondidos"), (ALL, "Todos")), otherwise="Abertos"),
        Filter("tipo", "O que pede", "choice", tuple(REQUESTS.items())),
        Filter("de", "De", "day"),
        Filter("ate", "Até", "day"),
    ),
    opens=lambda row: f"{HOME}/{row.id}",
    panel=True,
    empty=("Nenhum pedido espera", "Quando alguém pedir algo sobre os próprios dados, aparece aqui."),
)


async def _read(_page: WebPage, tx: Tx, asked: TableAsked, limit: int) -> Page[data_requests.DataRequestView]:
    is_open = {"respondidos": False, ALL: None}.get(asked.get("situacao") or "", True)
    kind: Any = asked.get("tipo")
    wanted = data_requests.RequestFilter(is_open, kind, asked.since(), asked.until())
    return await data_requests.listed(tx, wanted, asked.page_request(BY_ID, limit))


@router.get(HOME, dependencies=[claims(READS), looks(_LOOK)])
async def show_requests(page: SignedPage) -> Response:
    """List the requests: by default the open ones, the first due first."""
    return await TABLE.answer(page, partial(_read, page), template="console/data_requests.html")


offer_csv(router, TABLE, _read, READS)


async def _one(page: WebPage, request_id: UUID) -> tuple[data_requests.DataRequestView, str]:
    """Return a request, and the name of who answered it."""

    async def read(tx: Tx) -> tuple[data_requests.DataRequestView, str]:
        row, answered_by = await data_requests.one(tx, request_id)
        names = await identity.names(tx, [answered_by]) if answered_by else {}
        return row, names.get(answered_by, "") if answered_by else ""

    return await page.read(read)


@router.get(HOME + "/{request_id}", dependencies=[claims(READS), looks(_LOOK)])
async def show_request(request_id: UUID, page: SignedPage) -> Response:
    """Show a request, what answers it, and its answer."""
    row, by = await _one(page, request_id)
    here, person = f"{HOME}/{row.id}", f"{PEOPLE}/{row.user_id}"
    steps = [DetailStep(person, "Ver a pessoa")]
    if row.outcome is None and page.holds(WRITES) and row.user_id != page.user_id:
        if row.kind == "correction":
            steps.append(DetailStep(f"{person}/contatos", "Mudar o contato…"))
        if row.kind == "erasure":
            steps.append(DetailStep(f"{person}/apagar", "Apagar tudo…", danger=True))
        steps += [DetailStep(f"{here}/atender", "Atendido…"), DetailStep(f"{here}/recusar", "Recusar…", danger=True)]
    facts = (
        ("De quem", row.name),
        ("O que pede", REQUESTS[row.kind]),
        ("A pessoa escreveu" if row.by_person else "Um operador anotou", row.message),
        ("Pedido", moment(row.created_at)),
        ("Responder até", short_day(row.due_on)),
        (f"Resposta de {by}" if by else "Resposta", row.answer or ""),
        ("Respondido", moment(row.answered_at) if row.answered_at else ""),
    )
    note = _HOW[row.kind] if row.outcome is None else ""
    return show_detail(page, Detail("Pedido de titular", (HOME, "Pedidos"), facts, steps, _state(row), note))


_HOW = {
    "copy": "Uma cópia a própria pessoa baixa em “Meus dados”. Se não consegue entrar, ajude-a a voltar.",
    "correction": "Contato e CPF são corrigidos na página da pessoa, com documento com foto.",
    "erasure": "Apagar é na página da pessoa, depois que ela tirar ou usar o saldo; o pedido some com ela.",
    "other": "Diga na resposta o que foi feito, ou por que não.",
}


class RequestAnswerForm(FormBody):
    """An answer, which the person reads."""

    answer: Annotated[Lines, Field(min_length=3, max_length=1_000)]


class WrittenRequestForm(FormBody):
    """A request that a person made in another way."""

    kind: data_requests.Kind
    message: Annotated[Lines, Field(min_length=3, max_length=1_000)]


def _answering(row: data_requests.DataRequestView, *, good: bool) -> Confirmation:
    return Confirmation(
        title=f"{'Dar por atendido' if good else 'Recusar'} o pedido de {row.name}?",
        says=("A pessoa lê a resposta em “Meus dados”, “Pedidos”, e recebe um aviso.",),
        way_back="Uma resposta enviada não se muda; a pessoa pode pedir de novo.",
        button="Dar por atendido" if good else "Recusar",
        path=f"{HOME}/{row.id}/{'atender' if good else 'recusar'}",
        back=f"{HOME}/{row.id}",
        danger=not good,
        facts=(("O que pede", REQUESTS[row.kind]), ("Pedido", row.message)),
        fields=(ActField("answer", "O que foi feito" if good else "Por que não, com a base legal", "long"),),
    )


async def _decide(page: WebPage, request_id: UUID, *, good: bool) -> Response:
    form = await page.form(RequestAnswerForm)
    row, _ = await _one(page, request_id)
    act = _answering(row, good=good)
    if form.value is None:
        return ask_again(page, act, form)
    try:
        async with page.database.transaction() as tx:
            outcome: data_requests.Outcome = "fulfilled" if good else "refused"
            await data_requests.answer(tx, page.who, request_id, outcome, form.value.answer)
    except identity.desk.DataRequestAnswered as error:
        _, by = await _one(page, request_id)
        shown = form.saying(f"{by} já respondeu." if by else error.detail)
        return ask(page, act, shown, status=error.status)
    except REFUSALS as error:
        return ask_again(page, act, form, error)
    return page.go(HOME, "Pedido respondido.")


@router.get(HOME + "/{request_id}/atender", dependencies=[claims(READS, WRITES), looks(_LOOK)])
async def ask_fulfilment(request_id: UUID, page: SignedPage) -> Response:
    """Ask what was done."""
    return ask(page, _answering((await _one(page, request_id))[0], good=True))


@router.post(HOME + "/{request_id}/atender", dependencies=[claims(READS, WRITES), acts("data_request_answered")])
async def fulfil(request_id: UUID, page: SignedPage) -> Response:
    """Answer that it was done."""
    return await _decide(page, request_id, good=True)


@router.get(HOME + "/{request_id}/recusar", dependencies=[claims(READS, WRITES), looks(_LOOK)])
async def ask_refusal(request_id: UUID, page: SignedPage) -> Response:
    """Ask for the reason."""
    return ask(page, _answering((await _one(page, request_id))[0], good=False))


@router.post(HOME + "/{request_id}/recusar", dependencies=[claims(READS, WRITES), acts("data_request_answered")])
async def refuse(request_id: UUID, page: SignedPage) -> Response:
    """Answer that it is not done, and why."""
    return await _decide(page, request_id, good=False)


def _writing_down(person: identity.PersonView) -> Confirmation:
    return Confirmation(
        title=f"Anotar um pedido de {person.full_name}",
        says=("Para o que a pessoa pediu no balcão, por carta ou por telefone. A resposta é devida em 15 dias.",),
        way_back="Um pedido anotado por engano é recusado, com o motivo.",
        button="Anotar o pedido",
        path=f"{PEOPLE}/{person.id}/pedido",
        back=f"{PEOPLE}/{person.id}",
        fields=(
            ActField("kind", "O que pede", "choice", choices=tuple(REQUESTS.items())),
            ActField("message", "O que a pessoa disse", "long"),
        ),
    )


async def _person(page: WebPage, user_id: UUID) -> identity.PersonView:
    return await page.read(lambda tx: identity.desk.look_at(tx, user_id))


@router.get(PEOPLE + "/{user_id}/pedido", dependencies=[claims(READS, WRITES_DOWN), looks("user_read")])
async def ask_request(user_id: UUID, page: SignedPage) -> Response:
    """Ask what a person wants."""
    return ask(page, _writing_down(await _person(page, user_id)))


@router.post(PEOPLE + "/{user_id}/pedido", dependencies=[claims(READS, WRITES_DOWN), acts("data_requested")])
async def write_down(user_id: UUID, page: SignedPage) -> Response:
    """Record a person's request, once however often the form is sent."""
    form = await page.form(WrittenRequestForm)
    person = await _person(page, user_id)
    if form.value is None:
        return ask_again(page, _writing_down(person), form)
    asked = form.value

    async def work(tx: Tx) -> object:
        made = await data_requests.ask(tx, page.who, user_id, asked.kind, asked.message)
        return {"id": str(made.id)}

    try:
        outcome = await page.once(work, payload=asked.model_dump(), money=False)
    except REFUSALS as error:
        return ask_again(page, _writing_down(person), form, error)
    return page.go(f"{HOME}/{outcome.body['id']}", outcome.said("Pedido anotado."))
