"""Transit over HTTP: a person's cards, and the validators' taps."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import AfterValidator

from carteira import ledger, payments
from carteira.kit.db.engine import Database
from carteira.kit.security import audit
from carteira.kit.values.card_number import bare_card_number, is_card_number
from carteira.kit.web.access import Principal, Who, acts, claims, confirm, looks, reads
from carteira.kit.web.approvals import MAY_WAIT, DeskDep
from carteira.kit.web.idempotency import TRIED_AT_ONCE, Call, CallDep, KeptAnswer, idempotent
from carteira.kit.web.json_route import JsonRoute, polled
from carteira.kit.web.lean_route import lean
from carteira.kit.web.pagination import BY_ID, Page, PageRequest, page_of
from carteira.kit.web.state import DATABASE
from carteira.kit.web.transaction import ReadsDep, ReadTxDep, TxDep
from carteira.kit.web.versions import PAID_RECHARGES, version_of
from carteira.transit import counter, operations, queries, service, taps, waiting
from carteira.transit.errors import PaymentRequired
from carteira.transit.mover import Mover, mover_of
from carteira.transit.operations import RECHARGE_WITHOUT_PAYMENT
from carteira.transit.schemas import (
    AmountIn,
    CancelIn,
    CardBalanceOut,
    CardMovementOut,
    CardOut,
    CashRechargeOut,
    DebtOut,
    DebtsOut,
    DeniedCardOut,
    NewBalanceOut,
    TapChargeIn,
    TapDismissalIn,
    TapOut,
    TapsIn,
    TapsOut,
    WaitingTapOut,
)
from carteira.transit.taps import TAP_BOUNDS, ClockBounds

cards_router = APIRouter(route_class=JsonRoute, prefix="/transport-cards", tags=["transit"])
transit_router = APIRouter(route_class=JsonRoute, prefix="/transit", tags=["transit"])


Bounds = Annotated[ClockBounds, Depends(TAP_BOUNDS)]
_LANE = "card readers move money by thousands, and the lane writes it"
Reviewer = Annotated[Principal, claims("transit:review")]
CardNumber = Annotated[
    str,
    AfterValidator(bare_card_number),
    Path(description="Os 16 dígitos do cartão", examples=["9076123412341234"]),
]


@cards_router.get("", summary="Meus cartões", dependencies=[polled()])
async def list_cards(
    request: Request, reads: ReadsDep, who: Who, asked: PageRequest[UUID] = page_of(BY_ID, oldest_first=True)
) -> Page[CardOut]:
    """Lista os cartões de transporte da pessoa, com saldo. O primeiro já existe na primeira consulta."""
    rows = await queries.known_cards(reads, who.user_id, limit=asked.limit + 1, after=asked.after)
    if not rows and asked.after is None:
        await confirm(request)
        database = DATABASE.of(request.app)
        async with database.transaction() as tx:
            rows = await queries.cards(tx, who.user_id, limit=asked.limit + 1)
    return asked.page(rows, lambda card: card.id).map(CardOut.model_validate)


@cards_router.post("", status_code=201, operation_id="issue_card", summary="Pedir mais um cartão")
@idempotent(status=201)
async def issue(tx: TxDep, who: Who) -> CardOut:
    """Emite mais um cartão para a pessoa."""
    return CardOut.model_validate(await service.issue(tx, who.user_id))


@cards_router.get(
    "/{card_number}/balance", operation_id="get_card_balance", summary="Saldo de um cartão", dependencies=[polled()]
)
async def get_balance(card_number: CardNumber, reads: ReadsDep, who: Who) -> CardBalanceOut:
    """Mostra o saldo de um cartão da própria pessoa."""
    return CardBalanceOut(card_number=card_number, balance=await queries.balance(reads, who.user_id, card_number))


async def _mover(request: Request, call: CallDep) -> Mover:
    return mover_of(request, call)


_MoverDep = Annotated[Mover, Depends(_mover)]


async def _answer_with_charge(request: Request, call: Call, who: Principal, card_number: str, amount: int) -> Response:
    """Answer a recharge that needs a payment with the charge that pays it.

    Raises:
        PaymentRequired: there is no Pix here; or the client's version knows no charges, and the problem names the
            charge's address.
    """
    try:
        desk = payments.desk_of(request)
    except payments.PaymentsOff as off:
        raise PaymentRequired from off
    order = payments.Order(payments.TRANSPORT_RECHARGE, amount, card_number)
    if version_of(request) >= PAID_RECHARGES:
        return await desk.answer(call, who, order, {"amount": amount}, status=202)
    made = await desk.make(who, order, call)
    raise PaymentRequired(
        "Para recarregar é preciso pagar a cobrança que acabou de ser criada.", charge=f"/payments/charges/{made.id}"
    )


@cards_router.post(
    "/{card_number}/recharge",
    operation_id="recharge_card",
    summary="Recarregar",
    response_model=NewBalanceOut,
    responses={202: {"model": payments.RechargeChargeOut, "description": "A cobrança que, paga, faz a recarga"}},
    dependencies=[lean(_LANE)],
)
async def recharge(request: Request, card_number: CardNumber, body: AmountIn, who: Who, mover: _MoverDep) -> Response:
    """Põe crédito no cartão. Viagens ainda não pagas são pagas primeiro.

    Onde a recarga precisa de pagamento, responde 202 com a cobrança Pix que a faz; sem Pix, ou a quem pede uma
    `API-Version` anterior a 2026-11-27, 409 `payment_required`, com o endereço da cobrança em `charge`, se há uma.
    """
    if not RECHARGE_WITHOUT_PAYMENT.of(request.app):
        return await _answer_with_charge(request, mover.call, who, card_number, body.amount)
    return await mover.answer(who, "recharge", card_number, body.amount)


@cards_router.post(
    "/{card_number}/debit",
    operation_id="debit_card",
    summary="Debitar",
    response_model=NewBalanceOut,
    dependencies=[lean(_LANE)],
)
async def debit(card_number: CardNumber, body: AmountIn, who: Who, mover: _MoverDep) -> Response:
    """Tira o valor do cartão. Sem saldo bastante, responde 400 e nada se move."""
    return await mover.answer(who, "debit", card_number, body.amount)


@cards_router.get(
    "/{card_number}/history", operation_id="get_card_history", summary="Histórico de um cartão", dependencies=[polled()]
)
async def get_history(
    card_number: CardNumber,
    reads: ReadsDep,
    who: Who,
    asked: PageRequest[ledger.LineKey] = page_of(ledger.STATEMENT),
) -> Page[CardMovementOut]:
    """Lista recargas, débitos e transferências do cartão, do mais novo ao mais antigo."""
    rows = await queries.history(reads, who.user_id, card_number, limit=asked.limit + 1, before=asked.after)
    return asked.page(rows, lambda row: row.key).map(CardMovementOut.model_validate)


def _target(body: CancelIn | None) -> str | None:
    return body.move_balance_to if body else None


@cards_router.post("/{card_number}/cancel", operation_id="cancel_card", summary="Cancelar um cartão")
@idempotent(payload=lambda arguments: {"move_balance_to": _target(arguments["body"])})
async def cancel(card_number: CardNumber, tx: TxDep, who: Who, body: CancelIn | None = None) -> CardOut:
    """Cancela o cartão para sempre e, se pedido, move o saldo para outro cartão ativo da mesma pessoa.

    Em um cartão já cancelado, move o que restou nele.
    """
    card = await service.cancel(tx, who.user_id, card_number, actor=who.actor, move_balance_to=_target(body))
    return CardOut.model_validate(card)


@cards_router.post("/{card_number}/block", operation_id="block_card", summary="Bloquear um cartão perdido")
async def block(card_number: CardNumber, tx: TxDep, who: Who) -> CardOut:
    """Bloqueia o cartão: sem recargas nem débitos até ser desbloqueado."""
    return CardOut.model_validate(await service.block(tx, who.user_id, card_number))


@cards_router.post("/{card_number}/unblock", operation_id="unblock_card", summary="Desbloquear um cartão")
async def unblock(card_number: CardNumber, tx: TxDep, who: Who) -> CardOut:
    """Reativa um cartão bloqueado que foi encontrado."""
    return CardOut.model_validate(await service.unblock(tx, who.user_id, card_number))


async def _taps_at_once(database: Database, keeping: KeptAnswer, asked: Mapping[str, Any]) -> Response | None:
    who, sent, bounds = asked["who"], asked["body"].taps, asked["bounds"]

    def answer(results: list[taps.TapResult]) -> tuple[Response, tuple[object, ...]]:
        return keeping.answer(_taps_out(results))

    return await ledger.at_once(
        database,
        partial(taps.account_at_once, client_id=who.id, taps=sent, bounds=bounds, actor=who.actor, answer=answer),
    )


def _taps_out(results: Sequence[taps.TapResult]) -> TapsOut:
    return TapsOut(results=[TapOut.model_validate(result) for result in results])


@transit_router.post(
    "/taps", summary="Enviar viagens registradas por validadores", dependencies=[acts(taps.SENT), TRIED_AT_ONCE]
)
@idempotent(at_once=_taps_at_once)
async def send_taps(
    body: TapsIn, tx: TxDep, who: Annotated[Principal, claims("transit:validate")], bounds: Bounds
) -> TapsOut:
    """Registra cada viagem uma única vez, em qualquer ordem e quantas vezes for enviada.

    O que o saldo não cobre fica devendo e é pago na próxima recarga. O mesmo `id` com outro conteúdo é `conflict`. Com
    um relógio impossível a viagem é guardada, nada é cobrado, e um operador decide (`waiting`).
    """
    results = await taps.account_for(tx, who.id, body.taps, bounds=bounds, actor=who.actor)
    await audit.record(tx, taps.SENT, taps=len(results))
    return _taps_out(results)


@transit_router.get(
    "/taps/waiting", summary="Viagens com relógio impossível", dependencies=[looks("waiting_taps_listed")]
)
async def list_waiting_taps(
    tx: ReadTxDep, _who: Reviewer, asked: PageRequest[UUID] = page_of(BY_ID, oldest_first=True)
) -> Page[WaitingTapOut]:
    """Lista as viagens guardadas que esperam um operador, na ordem em que chegaram."""
    page = asked.page(await waiting.listed(tx, limit=asked.limit + 1, after=asked.after), lambda tap: tap.id)
    await audit.record_looks(tx, "waiting_taps_listed", waiting.people_of(page.items))
    return page.map(WaitingTapOut.model_validate)


@transit_router.post(
    "/taps/{tap_id}/charge", summary="Cobrar uma viagem que espera", dependencies=[acts("tap_charged")]
)
@idempotent()
async def charge_tap(tap_id: UUID, tx: TxDep, who: Reviewer, bounds: Bounds, body: TapChargeIn | None = None) -> TapOut:
    """Cobra a viagem como feita no instante dado, ou em que chegou; se o cartão estava bloqueado então, é recusada."""
    at = body.tapped_at if body else None
    return TapOut.model_validate(await waiting.charge(tx, tap_id, tapped_at=at, bounds=bounds, who=who))


@transit_router.post(
    "/taps/{tap_id}/dismiss", summary="Não cobrar uma viagem que espera", dependencies=[acts("tap_dismissed")]
)
@idempotent(money=False)
async def dismiss_tap(tap_id: UUID, body: TapDismissalIn, tx: TxDep, who: Reviewer) -> TapOut:
    """Recusa a viagem: ninguém a paga. O motivo fica na auditoria."""
    return TapOut.model_validate(await waiting.dismiss(tx, tap_id, reason=body.reason, who=who))


async def _cash_at_once(database: Database, keeping: KeptAnswer, asked: Mapping[str, Any]) -> Response | None:
    who, desk, number, amount = asked["who"], asked["desk"], asked["card_number"], asked["body"].amount
    day = desk.day_of(operations.RECHARGE, who, amount)
    if day is None or not is_card_number(number):
        return None
    recharge = partial(
        counter.recharge_at_once, card_number=number, amount=amount, actor=who.actor, day=day, keeping=keeping
    )
    return await ledger.at_once(database, recharge)


@transit_router.post(
    "/cards/{card_number}/recharge",
    status_code=201,
    summary="Recarregar em dinheiro",
    response_model=CashRechargeOut,
    responses=MAY_WAIT,
    dependencies=[acts(service.RECHARGED_FOR_CASH), TRIED_AT_ONCE],
)
@idempotent(status=201, at_once=_cash_at_once)
async def recharge_for_cash(
    card_number: CardNumber,
    body: AmountIn,
    tx: TxDep,
    who: Annotated[Principal, claims("transit:recharge")],
    desk: DeskDep,
) -> object:
    """Põe no cartão de qualquer pessoa o que um posto de atendimento recebeu em dinheiro.

    Acima do limite, espera uma segunda pessoa.
    """
    order = operations.CashRechargeOrder(card_number=card_number, amount=body.amount)
    return await desk.carry_out(tx, operations.RECHARGE, order, who)


@transit_router.get(
    "/denied-cards",
    summary="Cartões a recusar",
    dependencies=[
        polled(),
        claims("transit:validate"),
        reads("cards' numbers for validators; whose they are is not shown"),
    ],
)
async def list_denied_cards(
    tx: ReadTxDep, asked: PageRequest[UUID] = page_of(BY_ID, dated=False)
) -> Page[DeniedCardOut]:
    """Lista para os validadores os cartões bloqueados, cancelados ou com viagem em aberto."""
    rows = await queries.denied_cards(tx, limit=asked.limit + 1, after=asked.after)
    return asked.page(rows, lambda card: card.id).map(DeniedCardOut.model_validate)


@transit_router.get("/debts", summary="Minhas viagens a pagar")
async def list_debts(
    tx: ReadTxDep, who: Who, asked: PageRequest[queries.DebtKey] = page_of(queries.DEBTS, oldest_first=True)
) -> DebtsOut:
    """Lista as viagens que o saldo não cobriu, na ordem em que a próxima recarga as paga."""
    total, rows = await queries.debts(tx, who.user_id, limit=asked.limit + 1, after=asked.after)
    page = asked.page(rows, lambda debt: debt.key).map(DebtOut.model_validate)
    return DebtsOut(total=total, items=page.items, next_cursor=page.next_cursor)
