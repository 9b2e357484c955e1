"""The inbox over HTTP: each person's own."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request

from carteira import identity
from carteira.inbox.schemas import NoticeOut, ReadIn, UnreadOut
from carteira.inbox.service import Inbox
from carteira.kit.web.access import Who
from carteira.kit.web.json_route import JsonRoute
from carteira.kit.web.pagination import BY_ID, Page, PageRequest, page_of
from carteira.kit.web.state import MODULES
from carteira.kit.web.transaction import ReadTxDep, TxDep

router = APIRouter(route_class=JsonRoute, prefix="/inbox", tags=["inbox"])


async def _own(request: Request, who: Who) -> Inbox:
    return Inbox(identity.RUNTIME.of(request.app), who.user_id, MODULES.of(request.app))


OwnInbox = Annotated[Inbox, Depends(_own)]


@router.get("", summary="Meus avisos")
async def list_notices(tx: ReadTxDep, inbox: OwnInbox, asked: PageRequest[UUID] = page_of(BY_ID)) -> Page[NoticeOut]:
    """Lista o que a plataforma avisou a quem pergunta, do mais novo ao mais antigo.

    Decisões sobre documentos e compras, compras que não passaram, recargas e créditos, consultas aos dados da pessoa e
    o que mudou na segurança da conta. O que tem mais de 30 dias conta como lido.
    """
    rows = await inbox.listed(tx, limit=asked.limit + 1, before=asked.after)
    return asked.page(rows, lambda row: row.id).map(NoticeOut.model_validate)


@router.get("/unread", summary="Quantos avisos não li")
async def count_unread(tx: ReadTxDep, inbox: OwnInbox) -> UnreadOut:
    """Conta os avisos não lidos dos últimos 30 dias, até 100."""
    return UnreadOut(unread=await inbox.unread(tx))


@router.post("/read", status_code=204, summary="Marcar avisos como lidos")
async def mark_read(body: ReadIn, tx: TxDep, inbox: OwnInbox) -> None:
    """Marca como lidos o aviso `until` e todos os anteriores. Repetir não muda nada."""
    await inbox.mark_read(tx, body.until)
