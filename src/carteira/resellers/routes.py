"""Resellers over HTTP: registration, purchases, cashback."""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from carteira import ledger
from carteira.identity import IdentityDep
from carteira.kit.values.cpf import Cpf
from carteira.kit.values.csv_lines import BulkLines
from carteira.kit.web.access import Principal, Visitor, Who, acts, claims, looks, public
from carteira.kit.web.approvals import MAY_WAIT, DeskDep
from carteira.kit.web.client_address import client_address
from carteira.kit.web.csv_bodies import csv_content, is_csv, read_csv_body
from carteira.kit.web.idempotency import idempotent
from carteira.kit.web.json_route import JsonRoute, polled, send_version, versioned
from carteira.kit.web.pagination import Page, PageRequest, page_of
from carteira.kit.web.preconditions import PreconditionDep
from carteira.kit.web.problems import UnsupportedMediaType
from carteira.kit.web.state import DATABASE
from carteira.kit.web.transaction import ReadTxDep, TxDep
from carteira.resellers import accumulated, bulk, months, operations, queries, registration, resellers, service
from carteira.resellers.cashback_service import CASHBACK_SERVICE
from carteira.resellers.proof import UnprovenCpfDep
from carteira.resellers.schemas import (
    AccumulatedOut,
    BulkPurchasesOut,
    BulkPurchasesPreviewOut,
    BusinessMonth,
    CashbackBalanceOut,
    CashbackStatementLineOut,
    ClosedMonthOut,
    MonthOut,
    PurchaseChangeIn,
    PurchaseIn,
    PurchaseOut,
    PurchaseWithCashbackOut,
    RejectionIn,
    ResellerIn,
    ResellerOut,
    Status,
    write_month,
)

people = APIRouter(route_class=JsonRoute, prefix="/resellers", tags=["resellers"])
purchases = APIRouter(route_class=JsonRoute, prefix="/purchases", tags=["resellers"])
cashback = APIRouter(route_class=JsonRoute, prefix="/cashback", tags=["resellers"])

Approver = Annotated[Principal, claims("purchases:approve")]
OfCpf = Annotated[Cpf | None, Query(description="De outro revendedor, com a permissão `purchases:read`")]


@people.post(
    "",
    status_code=201,
    summary="Tornar-se revendedor",
    dependencies=[public("anyone may register as a reseller; a signed-in person sends their token and no body")],
)
async def register_reseller(
    request: Request, identity: IdentityDep, visitor: Visitor, body: ResellerIn | None = None
) -> ResellerOut:
    """Cadastra uma pessoa como revendedora. Quem já tem cadastro envia o seu token e nenhum corpo."""
    return await registration.register(identity, client_address(request), visitor, body)


@purchases.post("", status_code=201, summary="Registrar uma compra", dependencies=[acts("purchase_registered")])
@idempotent(status=201)
async def register_purchase(
    body: PurchaseIn, tx: TxDep, who: Who, policy: UnprovenCpfDep, desk: DeskDep
) -> PurchaseOut:
    """Registra uma compra do revendedor ou, com `purchases:write`, de qualquer um. Começa "Em validação"."""
    return await service.register(tx, policy, who, body, approved_up_to=desk.alone(operations.APPROVALS))


_BULK_BODY = {
    "requestBody": {
        "required": True,
        "content": csv_content("purchases", "código;valor;data;cpf\nNF-1;1.000,00;30/06/2026;153.509.460-56\n"),
    }
}


async def _purchase_lines(request: Request, _who: Who) -> BulkLines:
    """Read the raw lines of a file of purchases, after the caller is authenticated.

    Raises:
        UnsupportedMediaType: no CSV.
        InvalidInput: it does not match its media type.
    """
    if not is_csv(request):
        raise UnsupportedMediaType("Envie text/csv.")
    return await read_csv_body(await request.body(), bulk.CSV_COLUMNS, most=bulk.MAX_LINES)


PurchaseLines = Annotated[BulkLines, Depends(_purchase_lines)]


@purchases.post(
    "/bulk",
    summary="Registrar compras em lote",
    openapi_extra=_BULK_BODY,
    dependencies=[acts("purchases_registered_in_bulk")],
)
@idempotent(payload=lambda arguments: arguments["lines"].lines)
async def register_purchases(
    lines: PurchaseLines,
    tx: TxDep,
    who: Who,
    policy: UnprovenCpfDep,
    desk: DeskDep,
    atomic: Annotated[bool, Query(description="Tudo ou nada")] = False,
) -> BulkPurchasesOut:
    """Registra muitas compras de um CSV (`código;valor;data;cpf`), com um resultado por linha.

    A coluna `amount` é em centavos e `valor`, em reais; `date` é `AAAA-MM-DD` e `data`, `DD/MM/AAAA`.
    """
    most = desk.alone(operations.APPROVALS)
    return await bulk.register_many(tx, policy, who, lines, atomic=atomic, approved_up_to=most)


@purchases.post(
    "/bulk/preview",
    summary="Conferir compras em lote",
    openapi_extra=_BULK_BODY,
    dependencies=[looks("purchases_previewed")],
)
async def preview_purchases(
    lines: PurchaseLines, tx: TxDep, who: Who, policy: UnprovenCpfDep
) -> BulkPurchasesPreviewOut:
    """Diz linha por linha o que `POST /purchases/bulk` faria com o mesmo arquivo, em reais. Nada é registrado."""
    return await bulk.preview_many(tx, policy, who, lines)


@purchases.get("", summary="Compras e o seu cashback", dependencies=[polled(), looks("purchases_listed")])
async def list_purchases(
    tx: ReadTxDep,
    who: Who,
    month: BusinessMonth | None = None,
    status: Status | None = None,
    cpf: OfCpf = None,
    asked: PageRequest[queries.PurchaseKey] = page_of(queries.PURCHASES),
) -> Page[PurchaseWithCashbackOut]:
    """Lista as compras, da data mais nova à mais antiga, com o percentual do mês e o cashback de cada uma."""
    return await queries.purchases(tx, who, cpf=cpf, month=month, status=status, asked=asked)


@purchases.get("/{purchase_id}", summary="Uma compra", dependencies=[versioned(), looks("purchase_read")])
async def get_purchase(request: Request, purchase_id: UUID, tx: ReadTxDep, who: Who) -> PurchaseWithCashbackOut:
    """Mostra uma compra com o seu cashback."""
    found = await queries.purchase(tx, who, purchase_id)
    send_version(request, found.version)
    return found


@purchases.put("/{purchase_id}", summary="Alterar uma compra", dependencies=[acts("purchase_changed")])
async def change_purchase(
    purchase_id: UUID, body: PurchaseChangeIn, tx: TxDep, who: Who, seen: PreconditionDep
) -> PurchaseOut:
    """Altera uma compra que ainda está "Em validação". Com `If-Match`, só a que foi lida."""
    return await service.change(tx, who, purchase_id, body, seen)


@purchases.delete(
    "/{purchase_id}", status_code=204, summary="Excluir uma compra", dependencies=[acts("purchase_deleted")]
)
async def delete_purchase(purchase_id: UUID, tx: TxDep, who: Who, seen: PreconditionDep) -> Response:
    """Exclui uma compra que ainda está "Em validação"; o cashback usado nela volta ao saldo.

    Com `If-Match`, só a que foi lida.
    """
    await service.delete(tx, who, purchase_id, seen)
    return Response(status_code=204)


@purchases.post(
    "/{purchase_id}/approve",
    summary="Aprovar uma compra",
    response_model=PurchaseOut,
    responses=MAY_WAIT,
    dependencies=[acts("purchase_approved")],
)
@idempotent()
async def approve_purchase(purchase_id: UUID, tx: TxDep, who: Approver, desk: DeskDep, seen: PreconditionDep) -> object:
    """Aprova uma compra que está "Em validação". Acima do limite, espera uma segunda pessoa.

    Com `If-Match`, só a que foi lida: o que mudou depois é 412, agora ou na segunda aprovação.

    Quem a registrou ou alterou não a aprova, nem quem é o seu revendedor, por usuário ou por CPF.
    """
    order = operations.ApprovalOrder(purchase_id=purchase_id, seen=seen)
    approved = await desk.carry_out(tx, operations.APPROVE, order, who)
    return await service.show(tx, purchase_id, who) if isinstance(approved, PurchaseOut) else approved


@purchases.post("/{purchase_id}/reject", summary="Reprovar uma compra", dependencies=[acts("purchase_rejected")])
@idempotent()
async def reject_purchase(
    purchase_id: UUID, tx: TxDep, who: Approver, seen: PreconditionDep, body: RejectionIn | None = None
) -> PurchaseOut:
    """Reprova uma compra que está "Em validação", com o motivo; o cashback usado nela volta ao saldo."""
    return await service.reject(tx, who, purchase_id, body.reason if body else None, seen)


@cashback.get("/accumulated", summary="Cashback acumulado", dependencies=[looks("cashback_accumulated_read")])
async def get_accumulated(request: Request, who: Who, policy: UnprovenCpfDep, cpf: OfCpf = None) -> AccumulatedOut:
    """Pergunta ao serviço externo pelo cashback acumulado. Se ele não responde bem, 503; nunca um número errado."""
    app = request.app
    return await accumulated.accumulated(DATABASE.of(app), CASHBACK_SERVICE.of(app), policy, who, cpf)


@cashback.get(
    "/balance",
    operation_id="get_cashback_balance",
    summary="Saldo de cashback",
    dependencies=[polled(), looks("cashback_balance_read")],
)
async def get_balance(tx: ReadTxDep, who: Who, cpf: OfCpf = None) -> CashbackBalanceOut:
    """Mostra o cashback que pode ser usado na próxima compra."""
    reseller = await resellers.visible(tx, who, cpf, look="cashback_balance_read")
    return CashbackBalanceOut(balance=await resellers.balance(tx, reseller))


@cashback.get(
    "/statement",
    operation_id="get_cashback_statement",
    summary="Extrato de cashback",
    dependencies=[polled(), looks("cashback_statement_read")],
)
async def get_statement(
    tx: ReadTxDep,
    who: Who,
    cpf: OfCpf = None,
    asked: PageRequest[ledger.LineKey] = page_of(ledger.STATEMENT),
) -> Page[CashbackStatementLineOut]:
    """Lista os créditos e os usos de cashback, do mais novo ao mais antigo, com o saldo depois de cada um."""
    reseller = await resellers.visible(tx, who, cpf, look="cashback_statement_read")
    return await queries.statement(tx, reseller, asked)


@cashback.get("/months", summary="Meses", dependencies=[looks("cashback_months_read")])
async def list_months(
    tx: ReadTxDep, who: Who, cpf: OfCpf = None, asked: PageRequest[date] = page_of(queries.MONTHS)
) -> Page[MonthOut]:
    """Lista os meses com compras: totais, percentual e cashback. Com `purchases:read` e sem CPF, a soma de todos."""
    rows = await queries.months(tx, who, cpf=cpf, limit=asked.limit + 1, before=asked.after)
    return asked.page(rows, lambda row: row.month)


@cashback.get(
    "/months/{month}",
    summary="Um mês",
    dependencies=[versioned(), claims("purchases:read"), looks("cashback_months_read")],
)
async def get_month(request: Request, month: BusinessMonth, tx: ReadTxDep) -> MonthOut:
    """Mostra a soma de todos em um mês; o ETag é o do que o fechamento credita."""
    found = await queries.month(tx, month)
    send_version(request, found.version)
    return found


@cashback.post("/months/{month}/close", summary="Fechar um mês", dependencies=[acts("cashback_month_closed")])
@idempotent(payload=lambda arguments: write_month(arguments["month"]))
async def close_month(month: BusinessMonth, tx: TxDep, who: Approver, seen: PreconditionDep) -> ClosedMonthOut:
    """Fecha um mês que terminou e não tem compra em validação, e credita o cashback. Repetir não credita de novo.

    Com `If-Match`, só se ele credita o que `GET /cashback/months/{month}` mostrou.
    """
    return await months.close(tx, month, actor=who.actor, seen=seen)
