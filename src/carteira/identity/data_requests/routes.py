"""Requests about a person's data over HTTP: one's own, and everybody's for operators."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query

from carteira.identity.data_requests import service
from carteira.identity.data_requests.schemas import (
    DataRequestAnswerIn,
    DataRequestIn,
    DataRequestOut,
    OwnDataRequestOut,
)
from carteira.identity.data_requests.service import Kind, RequestFilter
from carteira.kit.web.access import Principal, Who, acts, claims, looks
from carteira.kit.web.json_route import JsonRoute
from carteira.kit.web.pagination import BY_ID, Page, PageRequest, page_of
from carteira.kit.web.transaction import ReadTxDep, TxDep

router = APIRouter(route_class=JsonRoute, prefix="/users", tags=["identity"])

Reader = Annotated[Principal, claims("users:read")]
Writer = Annotated[Principal, claims("users:write")]
Clerk = Annotated[Principal, claims("data_requests:write")]
State = Literal["open", "answered"]


@router.get("/me/data-requests", summary="Meus pedidos sobre os meus dados")
async def list_own_requests(
    tx: ReadTxDep, who: Who, asked: PageRequest[UUID] = page_of(BY_ID)
) -> Page[OwnDataRequestOut]:
    """Lista o que a pessoa pediu como titular dos dados, e as respostas, do mais novo ao mais antigo."""
    return (await service.own(tx, who.user_id, asked)).map(OwnDataRequestOut.model_validate)


@router.post(
    "/me/data-requests",
    status_code=201,
    summary="Pedir algo sobre os meus dados",
    dependencies=[acts("data_requested")],
)
async def ask_own_request(body: DataRequestIn, tx: TxDep, who: Who) -> OwnDataRequestOut:
    """Pede cópia, correção, exclusão ou outro direito do titular (LGPD, art. 18); respondido em até 15 dias.

    Uma cópia dos dados sai na hora em `GET /users/me/data`.
    """
    asked = await service.ask(tx, who, who.user_id, body.kind, body.message)
    return OwnDataRequestOut.model_validate(asked)


@router.get("/data-requests", summary="Pedidos de titulares", dependencies=[looks("data_requests_listed")])
async def list_requests(
    tx: ReadTxDep,
    _who: Reader,
    state: Annotated[State | None, Query(description="Sem ele, todos")] = None,
    kind: Kind | None = None,
    asked: PageRequest[UUID] = page_of(BY_ID, oldest_first=True),
) -> Page[DataRequestOut]:
    """Lista os pedidos, do mais antigo ao mais novo."""
    is_open = None if state is None else state == "open"
    found = await service.listed(tx, RequestFilter(is_open, kind), asked)
    return found.map(DataRequestOut.model_validate)


@router.post(
    "/{user_id}/data-requests",
    status_code=201,
    summary="Anotar um pedido de um titular",
    dependencies=[acts("data_requested")],
)
async def ask_for_person(user_id: UUID, body: DataRequestIn, tx: TxDep, who: Clerk) -> DataRequestOut:
    """Anota um pedido que a pessoa fez de outro jeito: no balcão, por carta ou por telefone."""
    return DataRequestOut.model_validate(await service.ask(tx, who, user_id, body.kind, body.message))


@router.post(
    "/data-requests/{request_id}/answer",
    summary="Responder um pedido de um titular",
    dependencies=[acts("data_request_answered")],
)
async def answer_request(request_id: UUID, body: DataRequestAnswerIn, tx: TxDep, who: Writer) -> DataRequestOut:
    """Atende ou recusa um pedido, uma vez; a pessoa lê a resposta. Ninguém responde o próprio."""
    return DataRequestOut.model_validate(await service.answer(tx, who, request_id, body.outcome, body.answer))
