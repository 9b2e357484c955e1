"""The ledger over HTTP: accounts for their owner or an operator, reversal and reconciliation for operators."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.values.days import Instant
from carteira.kit.web.access import Principal, Who, acts, claims, looks, reads
from carteira.kit.web.approvals import MAY_WAIT, DeskDep
from carteira.kit.web.idempotency import idempotent
from carteira.kit.web.json_route import JsonRoute, polled
from carteira.kit.web.pagination import Page, PageRequest, page_of
from carteira.kit.web.transaction import ReadTxDep, TxDep
from carteira.ledger import checks, operations, queries, reconciliation
from carteira.ledger.errors import AccountNotFound
from carteira.ledger.schemas import (
    EntryOut,
    LedgerAccountOut,
    LedgerBalanceOut,
    ReconciliationOut,
    ReversalIn,
    ReversalOut,
    StatementLineOut,
)

router = APIRouter(route_class=JsonRoute, prefix="/ledger", tags=["ledger"])


async def _visible(tx: Tx, account_id: UUID, who: Principal, look: str) -> queries.LedgerAccountView:
    """Return an account to its owner or to a reader of the ledger, and record the look; others get a 404."""
    account = await queries.account(tx, account_id)
    if not who.may("ledger:read") and (account.owner_id is None or account.owner_id != who.user_id):
        who.require("ledger:read", otherwise=AccountNotFound())
    await audit.record_looks(tx, look, [account.owner_id or account.holder_id], account_id=str(account_id))
    return account


@router.get(
    "/accounts/{account_id}",
    operation_id="get_ledger_account",
    summary="Conta e saldo",
    dependencies=[polled(), looks("ledger_account_read")],
)
async def get_account(account_id: UUID, tx: ReadTxDep, who: Who) -> LedgerAccountOut:
    """Mostra uma conta com o saldo atual. Para o dono, ou com a permissão `ledger:read`."""
    return LedgerAccountOut.model_validate(await _visible(tx, account_id, who, "ledger_account_read"))


@router.get(
    "/accounts/{account_id}/balance",
    operation_id="get_ledger_balance",
    summary="Saldo em um instante",
    dependencies=[looks("ledger_balance_read")],
)
async def get_balance(
    account_id: UUID,
    tx: ReadTxDep,
    who: Who,
    at: Annotated[Instant | None, Query(description="Instante RFC 3339; sem ele, agora")] = None,
) -> LedgerBalanceOut:
    """Mostra o saldo como era no instante pedido."""
    account = await _visible(tx, account_id, who, "ledger_balance_read")
    balance = account.balance if at is None else await queries.balance_at(tx, account_id, at)
    return LedgerBalanceOut(account_id=account_id, balance=balance, at=at or clock.now())


@router.get(
    "/accounts/{account_id}/statement",
    operation_id="get_ledger_statement",
    summary="Extrato",
    dependencies=[polled(), looks("ledger_statement_read")],
)
async def get_statement(
    account_id: UUID,
    tx: ReadTxDep,
    who: Who,
    asked: PageRequest[queries.LineKey] = page_of(queries.STATEMENT),
) -> Page[StatementLineOut]:
    """Lista os lançamentos da conta, do mais novo ao mais antigo, com o saldo depois de cada um."""
    await _visible(tx, account_id, who, "ledger_statement_read")
    page = await queries.statement_page(tx, [account_id], asked)
    return page.map(lambda line: StatementLineOut.model_validate(line.seen_by(who, claim="ledger:read")))


@router.get(
    "/entries/{entry_id}",
    summary="Um lançamento",
    dependencies=[claims("ledger:read"), looks("ledger_entry_read")],
)
async def get_entry(entry_id: UUID, tx: ReadTxDep) -> EntryOut:
    """Mostra um lançamento inteiro: as suas linhas, quem moveu o dinheiro e quem aprovou."""
    entry = await queries.entry(tx, entry_id)
    await audit.record_looks(tx, "ledger_entry_read", await queries.people_of(tx, entry_id), entry=str(entry_id))
    return EntryOut.model_validate(entry)


@router.post(
    "/entries/{entry_id}/reversal",
    status_code=201,
    operation_id="reverse_entry",
    summary="Estornar um lançamento",
    response_model=ReversalOut,
    responses=MAY_WAIT,
    dependencies=[acts("ledger_entry_reversed")],
)
@idempotent(status=201)
async def reverse(
    entry_id: UUID,
    tx: TxDep,
    who: Annotated[Principal, claims("ledger:write")],
    desk: DeskDep,
    body: ReversalIn | None = None,
) -> object:
    """Desfaz um lançamento com outro de sinais trocados, uma única vez. Acima do limite, espera uma segunda pessoa."""
    order = operations.EntryReversalOrder(entry_id=entry_id, description=body.description if body else None)
    return await desk.carry_out(tx, operations.REVERSE, order, who)


@router.get(
    "/reconciliation",
    summary="Conferência",
    dependencies=[claims("ledger:read"), reads("accounts that differ, by their ids; none of them is opened")],
)
async def get_reconciliation(
    tx: TxDep,
    last: ReadTxDep,
    since_last: Annotated[
        bool, Query(description="Só o que é novo desde a última conferência guardada; sem uma de que partir, tudo")
    ] = False,
) -> ReconciliationOut:
    """Compara cada saldo com os seus lançamentos e reservas. Sem diferenças, a lista vem vazia."""
    point = await checks.last_point(last) if since_last else None
    result = await reconciliation.reconcile(tx, point)
    return ReconciliationOut.model_validate(result)
