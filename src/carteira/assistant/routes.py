"""The assistant over HTTP: the conversation, and operators' routes."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request

from carteira.assistant import intents, knowledge, tickets, unanswered
from carteira.assistant.conversation import ASSISTANT, Assistant
from carteira.assistant.knowledge import Content
from carteira.assistant.pages import PAGES
from carteira.assistant.schemas import (
    AnswerIn,
    ChatIn,
    ChatOut,
    TicketOut,
    TopicIn,
    TopicOut,
    TopicVersionOut,
    UnansweredOut,
)
from carteira.kit.security import audit
from carteira.kit.web.access import Principal, Who, acts, claims, looks, reads
from carteira.kit.web.idempotency import idempotent
from carteira.kit.web.json_route import JsonRoute, send_version, versioned
from carteira.kit.web.pagination import BY_ID, Page, PageRequest, page_of
from carteira.kit.web.preconditions import PreconditionDep
from carteira.kit.web.problems import InvalidInput
from carteira.kit.web.state import DATABASE
from carteira.kit.web.transaction import ReadTxDep, TxDep

router = APIRouter(route_class=JsonRoute, prefix="/chatbot", tags=["assistant"])

Writer = Annotated[Principal, claims("assistant:write")]
_nobodys = reads("what the assistant knows is nobody's")
Slug = Annotated[str, Path(pattern=r"^[a-z0-9_-]{1,64}$", examples=["esqueci-senha"])]
NewSlug = Annotated[str, Path(pattern=r"^[a-z0-9_][a-z0-9_-]{0,63}$", examples=["esqueci-senha"])]


AssistantDep = Annotated[Assistant, Depends(ASSISTANT)]


async def _ready(request: Request, _who: Who, assistant: AssistantDep) -> Assistant:
    """Wait until the assistant is trained, before a transaction begins."""
    await assistant.model_cache.ready(DATABASE.of(request.app))
    return assistant


ReadyAssistantDep = Annotated[Assistant, Depends(_ready)]


@router.post("/start", operation_id="start_conversation", summary="Começar a conversa")
async def start(tx: TxDep, who: Who, assistant: AssistantDep) -> ChatOut:
    """Recomeça a conversa da pessoa e lista as opções."""
    return ChatOut.model_validate(await assistant.start(tx, who))


@router.post("/chat", summary="Conversar")
@idempotent(money=False)
async def chat(body: ChatIn, who: Who, assistant: ReadyAssistantDep, tx: TxDep) -> ChatOut:
    """Responde a uma mensagem: o número de uma opção ou português simples. "voltar" e "sair" valem sempre."""
    return ChatOut.model_validate(await assistant.chat(tx, who, body.message, body.file_id))


@router.get("/topics", summary="Base de conhecimento", dependencies=[claims("assistant:read"), _nobodys])
async def list_topics(
    tx: TxDep,
    q: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$", description="Procura no texto")] = None,
    asked: PageRequest[str] = page_of(knowledge.TOPICS),
) -> Page[TopicOut]:
    """Lista os assuntos que o assistente conhece."""
    rows = await knowledge.topics(tx, query=q, limit=asked.limit + 1, after=asked.after)
    return asked.page(rows, lambda topic: topic.slug).map(TopicOut.model_validate)


@router.get("/topics/{slug}", summary="Um assunto", dependencies=[versioned(), claims("assistant:read"), _nobodys])
async def get_topic(request: Request, slug: Slug, tx: TxDep) -> TopicOut:
    """Mostra um assunto com as frases que o reconhecem."""
    found = await knowledge.topic(tx, slug)
    send_version(request, str(found.version))
    return TopicOut.model_validate(found)


@router.put("/topics/{slug}", summary="Escrever um assunto", dependencies=[acts("assistant_topic_written")])
async def put_topic(slug: NewSlug, body: TopicIn, tx: TxDep, who: Writer, seen: PreconditionDep) -> TopicOut:
    """Muda um assunto ou cria uma pergunta nova; a versão anterior fica guardada. Vale em segundos.

    Com `If-Match`, só muda se o assunto ainda está na versão lida.
    """
    if body.action is not None and body.action not in intents.ALL:
        known = ", ".join(sorted(intents.ALL))
        raise InvalidInput(errors=[{"field": "action", "message": f"Ação desconhecida; conhecidas: {known}."}])
    if body.page is not None and body.page not in PAGES:
        known = ", ".join(PAGES)
        raise InvalidInput(errors=[{"field": "page", "message": f"Página desconhecida; conhecidas: {known}."}])
    content = Content(body.title, body.answer, body.action, tuple(body.phrases), body.active, body.page)
    return TopicOut.model_validate(await knowledge.put(tx, slug, content, author_id=who.id, seen=seen))


@router.get(
    "/topics/{slug}/versions",
    operation_id="list_topic_versions",
    summary="Versões de um assunto",
    dependencies=[claims("assistant:read"), _nobodys],
)
async def list_versions(slug: Slug, tx: TxDep) -> Page[TopicVersionOut]:
    """Lista o que o assunto já foi, do mais novo ao mais antigo."""
    rows = await knowledge.versions(tx, slug)
    return Page(items=[TopicVersionOut.model_validate(row) for row in rows])


@router.get(
    "/unanswered",
    summary="Perguntas sem resposta",
    dependencies=[claims("assistant:read"), reads("questions are kept scrubbed and without their person")],
)
async def list_unanswered(tx: ReadTxDep, asked: PageRequest[UUID] = page_of(BY_ID)) -> Page[UnansweredOut]:
    """Lista o que o assistente não soube responder, sem dados pessoais, do mais novo ao mais antigo."""
    rows = await unanswered.listed(tx, limit=asked.limit + 1, before=asked.after)
    return asked.page(rows, lambda row: row.id).map(UnansweredOut.model_validate)


@router.delete(
    "/unanswered/{question_id}",
    status_code=204,
    summary="Tirar uma pergunta da lista",
    dependencies=[claims("assistant:write"), acts("assistant_question_dismissed")],
)
async def dismiss(question_id: UUID, tx: TxDep) -> None:
    """Tira da lista uma pergunta que já tem resposta, ou que não precisa dela."""
    await unanswered.dismiss(tx, question_id)


@router.get(
    "/tickets", summary="Atendimentos", dependencies=[claims("assistant:read"), looks("assistant_tickets_listed")]
)
async def list_tickets(
    tx: ReadTxDep,
    is_open: Annotated[bool | None, Query(alias="open", description="Só os abertos, ou só os respondidos")] = None,
    asked: PageRequest[UUID] = page_of(BY_ID, oldest_first=True),
) -> Page[TicketOut]:
    """Lista os pedidos de atendimento por uma pessoa, por ordem de chegada."""
    rows = await tickets.listed(tx, is_open=is_open, limit=asked.limit + 1, after=asked.after)
    page = asked.page(rows, lambda ticket: ticket.id)
    await audit.record_looks(tx, "assistant_tickets_listed", [ticket.user_id for ticket in page.items])
    return page.map(TicketOut.model_validate)


@router.post(
    "/tickets/{ticket_id}/answer",
    summary="Responder um atendimento",
    dependencies=[acts("assistant_ticket_answered")],
)
async def answer_ticket(ticket_id: UUID, body: AnswerIn, tx: TxDep, who: Writer) -> TicketOut:
    """Responde a um atendimento, uma única vez; a pessoa lê a resposta na conversa. Ninguém responde o próprio."""
    return TicketOut.model_validate(await tickets.answer(tx, who, ticket_id, body.answer))
