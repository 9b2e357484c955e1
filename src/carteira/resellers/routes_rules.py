"""The rules of cashback over HTTP: tiers, closing days, automatic approvals; they need `purchases:approve`."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response

from carteira.kit.web.access import Principal, Who, acts, claims, looks, reads
from carteira.kit.web.approvals import MAY_WAIT, DeskDep
from carteira.kit.web.idempotency import idempotent
from carteira.kit.web.json_route import JsonRoute, send_version, versioned
from carteira.kit.web.preconditions import PreconditionDep
from carteira.kit.web.transaction import ReadTxDep, TxDep
from carteira.resellers import configuration, operations
from carteira.resellers.schemas import (
    AutoApprovalIn,
    AutoApprovalOut,
    BusinessMonth,
    ClosingDayIn,
    ClosingDayOut,
    TiersIn,
    TiersOut,
)

router = APIRouter(route_class=JsonRoute, prefix="/cashback", tags=["resellers"])
_approver = claims("purchases:approve")
Approver = Annotated[Principal, claims("purchases:approve")]


@router.get("/tiers", summary="Faixas de cashback")
async def list_tiers(tx: ReadTxDep, _who: Who) -> list[TiersOut]:
    """Lista as tabelas de faixas e o mês a partir do qual cada uma vale, da mais nova à mais antiga."""
    return await configuration.list_tiers(tx)


@router.get("/tiers/{valid_from}", summary="Uma tabela de faixas", dependencies=[versioned()])
async def get_tiers(request: Request, valid_from: BusinessMonth, tx: ReadTxDep, _who: Who) -> TiersOut:
    """Mostra a tabela que começa em um mês."""
    found = await configuration.get_tiers(tx, valid_from)
    send_version(request, found.version)
    return found


@router.put(
    "/tiers/{valid_from}",
    summary="Definir as faixas a partir de um mês",
    response_model=TiersOut,
    responses=MAY_WAIT,
    dependencies=[acts("cashback_tiers_set")],
)
@idempotent()
async def put_tiers(
    valid_from: BusinessMonth, body: TiersIn, tx: TxDep, who: Approver, desk: DeskDep, seen: PreconditionDep
) -> object:
    """Define as faixas que valem a partir de um mês ainda aberto. Meses anteriores não mudam.

    Se um percentual passa do limite, espera uma segunda pessoa. Com `If-Match`, só muda se a tabela ainda está na
    versão lida.
    """
    order = operations.TiersOrder(valid_from=valid_from, tiers=body.tiers, seen=seen)
    return await desk.carry_out(tx, operations.PUT_TIERS, order, who)


@router.delete(
    "/tiers/{valid_from}",
    status_code=204,
    summary="Tirar uma tabela de faixas",
    response_model=None,
    responses=MAY_WAIT,
    dependencies=[acts("cashback_tiers_removed")],
)
@idempotent(status=204)
async def delete_tiers(
    valid_from: BusinessMonth, tx: TxDep, who: Approver, desk: DeskDep, seen: PreconditionDep
) -> object:
    """Tira a tabela que começa no mês; a anterior continua valendo.

    Se um percentual da anterior passa do limite, espera uma segunda pessoa.
    """
    order = operations.TiersRemovalOrder(valid_from=valid_from, seen=seen)
    return await desk.carry_out(tx, operations.DELETE_TIERS, order, who)


@router.get(
    "/closing-days",
    summary="Dias de fechamento",
    dependencies=[_approver, reads("days are nobody's")],
)
async def list_closing_days(tx: ReadTxDep) -> list[ClosingDayOut]:
    """Lista os dias de fechamento e o mês a partir do qual cada um vale."""
    return await configuration.closing_days(tx)


@router.get(
    "/closing-days/{valid_from}",
    summary="Um dia de fechamento",
    dependencies=[versioned(), _approver, reads("days are nobody's")],
)
async def get_closing_day(request: Request, valid_from: BusinessMonth, tx: ReadTxDep) -> ClosingDayOut:
    """Mostra o dia que começa a valer em um mês."""
    found = await configuration.get_closing_day(tx, valid_from)
    send_version(request, found.version)
    return found


@router.put(
    "/closing-days/{valid_from}",
    summary="Definir o dia de fechamento",
    dependencies=[_approver, acts("cashback_closing_day_set")],
)
async def put_closing_day(
    valid_from: BusinessMonth, body: ClosingDayIn, tx: TxDep, seen: PreconditionDep
) -> ClosingDayOut:
    """Define em que dia do mês seguinte o fechamento automático acontece, a partir de um mês ainda aberto.

    Com `If-Match`, só muda se o dia ainda está na versão lida.
    """
    return await configuration.put_closing_day(tx, valid_from, body.day, seen)


@router.delete(
    "/closing-days/{valid_from}",
    status_code=204,
    summary="Tirar um dia de fechamento",
    dependencies=[_approver, acts("cashback_closing_day_removed")],
)
async def delete_closing_day(valid_from: BusinessMonth, tx: TxDep, seen: PreconditionDep) -> Response:
    """Tira o dia que começa a valer no mês; o anterior continua valendo. Com `If-Match`, só o que foi lido."""
    await configuration.delete_closing_day(tx, valid_from, seen)
    return Response(status_code=204)


@router.get(
    "/auto-approvals",
    summary="Aprovações automáticas",
    dependencies=[_approver, looks("auto_approvals_listed")],
)
async def list_auto_approvals(tx: ReadTxDep) -> list[AutoApprovalOut]:
    """Lista os CPFs cujas compras já começam aprovadas, e em que meses."""
    return await configuration.list_auto_approvals(tx)


@router.post(
    "/auto-approvals",
    status_code=201,
    summary="Aprovar um CPF automaticamente",
    response_model=AutoApprovalOut,
    responses=MAY_WAIT,
    dependencies=[acts("auto_approval_set")],
)
@idempotent(status=201)
async def put_auto_approval(body: AutoApprovalIn, tx: TxDep, who: Approver, desk: DeskDep) -> object:
    """Faz as compras de um CPF começarem aprovadas a partir de um mês. De novo com o mesmo mês, muda o fim.

    Onde há limite para aprovações, espera uma segunda pessoa. Ninguém faz isso com o próprio CPF.
    """
    return await desk.carry_out(tx, operations.AUTO_APPROVE, body, who)


@router.delete(
    "/auto-approvals/{approval_id}",
    status_code=204,
    summary="Tirar uma aprovação automática",
    dependencies=[_approver, acts("auto_approval_removed")],
)
async def delete_auto_approval(approval_id: UUID, tx: TxDep) -> Response:
    """Tira um CPF da lista; o que já foi aprovado continua aprovado."""
    await configuration.delete_auto_approval(tx, approval_id)
    return Response(status_code=204)
