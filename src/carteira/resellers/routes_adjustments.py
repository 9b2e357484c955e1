"""Corrections of closed months over HTTP: operators who decide on purchases book them, resellers read their own."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from carteira.kit.values.cpf import Cpf
from carteira.kit.web.access import Principal, Who, acts, claims, looks
from carteira.kit.web.approvals import MAY_WAIT, DeskDep
from carteira.kit.web.idempotency import idempotent
from carteira.kit.web.json_route import JsonRoute
from carteira.kit.web.pagination import BY_ID, Page, PageRequest, page_of
from carteira.kit.web.transaction import ReadTxDep, TxDep
from carteira.resellers import adjustments, operations, resellers
from carteira.resellers.schemas import AdjustmentIn, AdjustmentOut

router = APIRouter(route_class=JsonRoute, prefix="/cashback/adjustments", tags=["resellers"])
Approver = Annotated[Principal, claims("purchases:approve")]
OfCpf = Annotated[Cpf | None, Query(description="De outro revendedor, com a permissão `purchases:read`")]
_LISTED = "cashback_adjustments_read"


@router.get("", summary="Ajustes de meses fechados", dependencies=[looks(_LISTED)])
async def list_adjustments(
    tx: ReadTxDep, who: Who, cpf: OfCpf = None, asked: PageRequest[UUID] = page_of(BY_ID)
) -> Page[AdjustmentOut]:
    """Lista as correções de meses fechados, da mais nova à mais antiga, com o que cada fechamento já levou."""
    reseller = await resellers.visible(tx, who, cpf, look=_LISTED)
    return await adjustments.page(tx, who, reseller, asked)


@router.post(
    "",
    status_code=201,
    summary="Ajustar um mês fechado",
    response_model=AdjustmentOut,
    responses=MAY_WAIT,
    dependencies=[acts(adjustments.BOOKED)],
)
@idempotent(status=201)
async def book_adjustment(body: AdjustmentIn, tx: TxDep, who: Approver, desk: DeskDep) -> object:
    """Corrige o que um mês fechado creditou a um revendedor; o próximo fechamento leva o ajuste.

    O que foi creditado a mais é descontado só do que o próximo mês creditar; o que faltar fica para o seguinte. Acima
    do limite, espera uma segunda pessoa.
    """
    reseller = await resellers.of_cpf(tx, body.cpf)
    order = operations.AdjustmentOrder(
        reseller_id=reseller.id, month=body.month, amount=body.amount, reason=body.reason
    )
    return await desk.carry_out(tx, operations.ADJUST, order, who)


@router.post(
    "/{adjustment_id}/undo",
    summary="Desfazer um ajuste",
    response_model=AdjustmentOut,
    responses=MAY_WAIT,
    dependencies=[acts(adjustments.UNDONE)],
)
@idempotent()
async def undo_adjustment(adjustment_id: UUID, tx: TxDep, who: Approver, desk: DeskDep) -> object:
    """Desfaz um ajuste de que nenhum fechamento levou nada ainda. Acima do limite, espera uma segunda pessoa."""
    order = operations.AdjustmentUndoOrder(adjustment_id=adjustment_id)
    return await desk.carry_out(tx, operations.UNDO_ADJUSTMENT, order, who)
