"""Webhooks over HTTP: clients manage their own, operators those of the clients that they manage."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from carteira.kit.web.access import Principal, acts, claims, reads, step_up
from carteira.kit.web.json_route import JsonRoute, send_version, versioned
from carteira.kit.web.pagination import BY_ID, Page, PageRequest, page_of
from carteira.kit.web.preconditions import PreconditionDep
from carteira.kit.web.transaction import ReadTxDep, TxDep
from carteira.webhooks import service
from carteira.webhooks.models import DeliveryState
from carteira.webhooks.schemas import (
    DeliveryOut,
    MessageOut,
    NewWebhookOut,
    ReplayIn,
    ReplayOut,
    WebhookIn,
    WebhookOut,
    WebhookPatch,
    WebhookSecretIn,
    WebhookSecretOut,
)
from carteira.webhooks.service import KEEPING

router = APIRouter(route_class=JsonRoute, prefix="/webhooks", tags=["webhooks"])

Reader = Annotated[Principal, claims("webhooks:read")]
Writer = Annotated[Principal, claims("webhooks:write")]
_machines = reads("endpoints are machines', and deliveries are shown without what they tell")
_ONE = "/{webhook_id}"


KeepingDep = Annotated[service.Keeping, Depends(KEEPING)]


@router.post("", status_code=201, summary="Criar um webhook", dependencies=[acts("webhook_added"), step_up()])
async def add_webhook(
    body: WebhookIn, tx: TxDep, who: Writer, keeping: KeepingDep, response: Response
) -> NewWebhookOut:
    """Cria um endereço de um cliente que recebe avisos assinados (Standard Webhooks), e mostra o segredo só desta vez.

    O cliente recebe só o que as suas permissões e as suas empresas deixam ver; quem cria tem as mesmas permissões.
    """
    response.headers["Cache-Control"] = "no-store"
    return await service.add(tx, keeping, who, body)


@router.get("", summary="Webhooks", dependencies=[_machines])
async def list_webhooks(
    tx: ReadTxDep,
    who: Reader,
    keeping: KeepingDep,
    client_id: UUID | None = None,
    asked: PageRequest[UUID] = page_of(BY_ID),
) -> Page[WebhookOut]:
    """Lista webhooks, do mais novo ao mais antigo: os de um cliente, ou todos aqueles de que quem pergunta cuida."""
    return await service.listed(tx, keeping, who, client_id, asked)


@router.get(_ONE, summary="Um webhook", dependencies=[versioned(), _machines])
async def get_webhook(
    request: Request, webhook_id: UUID, tx: ReadTxDep, who: Reader, keeping: KeepingDep
) -> WebhookOut:
    """Mostra um webhook, sem o segredo."""
    found = await service.find(tx, keeping, who, webhook_id)
    send_version(request, found.version)
    return found


@router.patch(_ONE, summary="Alterar um webhook", dependencies=[acts("webhook_changed"), step_up()])
async def patch_webhook(
    webhook_id: UUID, body: WebhookPatch, tx: TxDep, who: Writer, keeping: KeepingDep, seen: PreconditionDep
) -> WebhookOut:
    """Muda endereço, eventos e descrição, desliga (`state: disabled`) e liga de novo.

    Com `If-Match`, só muda se o webhook ainda está na versão lida.
    """
    changes = {name: value for name, value in body.model_dump(exclude_unset=True).items() if value is not None}
    return await service.change(tx, keeping, who, webhook_id, changes, seen)


@router.post(
    _ONE + "/secrets",
    status_code=201,
    summary="Trocar o segredo de um webhook",
    dependencies=[acts("webhook_secret_added"), step_up()],
)
async def add_webhook_secret(
    webhook_id: UUID, body: WebhookSecretIn, tx: TxDep, who: Writer, keeping: KeepingDep, response: Response
) -> WebhookSecretOut:
    """Sorteia outro segredo, mostrado só desta vez; o anterior assina também por mais `overlap_hours`."""
    response.headers["Cache-Control"] = "no-store"
    overlap = timedelta(hours=body.overlap_hours)
    return await service.rotate(tx, keeping, who, webhook_id, overlap=overlap)


@router.post(_ONE + "/test", status_code=202, summary="Testar um webhook", dependencies=[acts("webhook_tested")])
async def test_webhook(webhook_id: UUID, tx: TxDep, who: Writer, keeping: KeepingDep) -> MessageOut:
    """Manda o evento `webhook.test`, que não conta nada; o resultado está nas entregas."""
    return await service.test(tx, keeping, who, webhook_id)


@router.get(_ONE + "/deliveries", summary="Entregas de um webhook", dependencies=[_machines])
async def list_deliveries(
    webhook_id: UUID,
    tx: ReadTxDep,
    who: Reader,
    keeping: KeepingDep,
    state: DeliveryState | None = None,
    asked: PageRequest[UUID] = page_of(BY_ID),
) -> Page[DeliveryOut]:
    """Lista os avisos feitos ou por fazer, do mais novo ao mais antigo; `state=dead` são os dados por perdidos."""
    return await service.deliveries(tx, keeping, who, webhook_id, state, asked)


@router.post(
    _ONE + "/replay",
    status_code=202,
    summary="Avisar de novo desde um instante",
    dependencies=[acts("webhook_replayed")],
)
async def replay_since(webhook_id: UUID, body: ReplayIn, tx: TxDep, who: Writer, keeping: KeepingDep) -> ReplayOut:
    """Põe de volta na fila o que aconteceu desde `since`, com os mesmos `webhook-id`; 10.000 de cada vez."""
    return await service.replay_since(tx, keeping, who, webhook_id, since=body.since, state=body.state)


@router.post(
    _ONE + "/deliveries/{message_id}/replay",
    status_code=202,
    summary="Avisar de novo",
    dependencies=[acts("webhook_replayed")],
)
async def replay_delivery(
    webhook_id: UUID, message_id: UUID, tx: TxDep, who: Writer, keeping: KeepingDep
) -> MessageOut:
    """Põe um aviso de volta na fila, com o mesmo `webhook-id`."""
    return await service.replay_one(tx, keeping, who, webhook_id, message_id)
