"""Payments over HTTP: one's own charges, received payments, returns, days; and the webhook through a proxy."""

import hmac
from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response

from carteira.kit.values.days import Day
from carteira.kit.web.access import Principal, Who, acts, claims, looks, public, reads
from carteira.kit.web.approvals import MAY_WAIT, DeskDep, Operation
from carteira.kit.web.client_address import is_proxied
from carteira.kit.web.idempotency import CallDep, idempotent
from carteira.kit.web.json_route import JsonRoute, any_query, polled
from carteira.kit.web.pagination import BY_ID, Page, PageRequest, page_of
from carteira.kit.web.transaction import ReadTxDep, TxDep
from carteira.payments import brcode, charges, listener, office, queries
from carteira.payments.charges import Order
from carteira.payments.config import PAYMENTS
from carteira.payments.desk import ChargeDesk, desk_of
from carteira.payments.errors import ChargeNotFound, TargetRequired, WebhookMalformed, WebhookRefused
from carteira.payments.operations import PAYMENT_RETURN
from carteira.payments.purposes import TRANSPORT_RECHARGE
from carteira.payments.queries import ChargeFilter, ReceivedFilter
from carteira.payments.returns import ReturnOrder
from carteira.payments.schemas import (
    ChargeIn,
    ChargeOut,
    DayDetailOut,
    DayOut,
    ListedChargeOut,
    PaymentReturnIn,
    PaymentReturnOut,
    ProviderAccountOut,
    ReceivedOut,
    ReceivedWithReturnsOut,
)

router = APIRouter(route_class=JsonRoute, prefix="/payments", tags=["payments"])

Reader = Annotated[Principal, claims("payments:read")]
E2eIdPath = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9]{32}$",
        description="Identificador de ponta a ponta do Pix",
        examples=["E99999999202611271200abcdefghijk"],
    ),
]
_IMAGES: dict[int | str, dict[str, Any]] = {
    200: {"description": "O QR code", "content": {"image/svg+xml": {}, "image/png": {}}}
}


async def _desk(request: Request) -> ChargeDesk:
    return desk_of(request)


Desk = Annotated[ChargeDesk, Depends(_desk)]


def order_of(body: ChargeIn) -> Order:
    """Return the order of a request.

    Raises:
        TargetRequired: a recharge names no card.
    """
    if body.purpose == TRANSPORT_RECHARGE:
        if body.card_number is None:
            raise TargetRequired("card_number", "Diga qual cartão será recarregado.")
        return Order(body.purpose, body.amount, body.card_number)
    return Order(body.purpose, body.amount, str(body.employer_id) if body.employer_id else None)


@router.post(
    "/charges",
    status_code=201,
    summary="Criar uma cobrança Pix",
    response_model=ChargeOut,
    dependencies=[acts("charge_made")],
)
async def make_charge(body: ChargeIn, who: Who, desk: Desk, call: CallDep) -> Response:
    """Cria uma cobrança, com o Pix Copia e Cola que a paga.

    `transport_recharge` recarrega um cartão da própria pessoa; `benefit_funding` é o depósito de uma empresa pré-paga,
    e pede `benefits:fund`. Com o provedor fora do ar a cobrança fica `creating`, e é criada assim que ele voltar.
    """
    return await desk.answer(call, who, order_of(body), body)


@router.get("/charges", summary="Minhas cobranças", dependencies=[polled()])
async def list_charges(
    request: Request, tx: ReadTxDep, who: Who, asked: PageRequest[UUID] = page_of(BY_ID)
) -> Page[ChargeOut]:
    """Lista as cobranças de quem pede, da mais nova à mais antiga."""
    config = PAYMENTS.of(request.app).config
    rows = await charges.listed(tx, maker_id=who.id, limit=asked.limit + 1, before=asked.after)
    page = asked.page(rows, lambda row: row.id)
    return page.map(lambda row: ChargeOut.model_validate(charges.view(row, config)))


@router.get("/charges/{charge_id}", summary="Uma cobrança", dependencies=[polled()])
async def get_charge(request: Request, charge_id: UUID, tx: ReadTxDep, who: Who) -> ChargeOut:
    """Mostra uma cobrança de quem pede: à espera, paga ou vencida."""
    row = await charges.find(tx, who, charge_id)
    return ChargeOut.model_validate(charges.view(row, PAYMENTS.of(request.app).config))


@router.get("/charges/{charge_id}/qr", summary="O QR code de uma cobrança", response_class=Response, responses=_IMAGES)
async def get_charge_qr(
    request: Request,
    charge_id: UUID,
    tx: ReadTxDep,
    who: Who,
    image: Annotated[Literal["svg", "png"], Query(alias="format")] = "svg",
) -> Response:
    """Desenha o código da cobrança, enquanto ela pode ser paga."""
    shown = charges.view(await charges.find(tx, who, charge_id), PAYMENTS.of(request.app).config)
    if shown.code is None:
        raise ChargeNotFound("Esta cobrança não tem código: já foi paga, venceu, ou ainda está sendo criada.")
    if image == "png":
        return Response(brcode.png(shown.code), media_type="image/png")
    return Response(brcode.svg(shown.code), media_type="image/svg+xml")


@router.get("/all-charges", summary="Cobranças de todos", dependencies=[looks("charges_listed")])
async def list_all_charges(
    request: Request, tx: ReadTxDep, who: Reader, asked: PageRequest[UUID] = page_of(BY_ID)
) -> Page[ListedChargeOut]:
    """Lista as cobranças de todas as pessoas e empresas, da mais nova à mais antiga, com quem as pediu."""
    return await office.charges(tx, PAYMENTS.of(request.app), who, ChargeFilter(), asked)


@router.get("/received", summary="Pagamentos recebidos", dependencies=[looks("payments_listed")])
async def list_received(
    tx: ReadTxDep,
    who: Reader,
    to_return: Annotated[bool | None, Query(description="Só os que esperam ser devolvidos, ou só os outros")] = None,
    asked: PageRequest[queries.ReceivedKey] = page_of(queries.RECEIVED),
) -> Page[ReceivedOut]:
    """Lista os pagamentos recebidos, do mais novo ao mais antigo. De quem pagou nada é guardado."""
    wanted = ReceivedFilter() if to_return is None else ReceivedFilter("to_return" if to_return else "settled")
    return await office.received(tx, who, wanted, asked)


@router.get("/received/{e2eid}", summary="Um pagamento recebido", dependencies=[looks("payment_read")])
async def get_received(e2eid: E2eIdPath, tx: ReadTxDep, who: Reader) -> ReceivedWithReturnsOut:
    """Mostra um pagamento, para onde foi, e o que dele foi devolvido."""
    return await office.payment(tx, who, e2eid)


@router.post(
    "/received/{e2eid}/returns",
    status_code=201,
    summary="Devolver um pagamento",
    response_model=PaymentReturnOut,
    responses=MAY_WAIT,
    dependencies=[acts("payment_returned")],
)
@idempotent(status=201)
async def return_payment(
    e2eid: E2eIdPath,
    body: PaymentReturnIn,
    tx: TxDep,
    who: Annotated[Principal, claims("payments:return")],
    desk: DeskDep,
    operation: Annotated[Operation[ReturnOrder], Depends(PAYMENT_RETURN)],
) -> object:
    """Devolve um pagamento, todo ou em parte, a quem pagou. O que já foi creditado sai de onde está.

    Acima do limite, espera uma segunda pessoa.
    """
    order = ReturnOrder(e2eid=e2eid, amount=body.amount, reason=body.reason)
    return await desk.carry_out(tx, operation, order, who)


_totals = reads("totals of a day, and ids of payments")


@router.get("/days", summary="Dias conferidos com o provedor", dependencies=[_totals])
async def list_days(tx: ReadTxDep, who: Reader, asked: PageRequest[date] = page_of(queries.DAYS)) -> Page[DayOut]:
    """Lista como cada dia combinou com a lista do provedor, do mais novo ao mais antigo."""
    return await office.days(tx, who, asked)


@router.get("/days/{day}", summary="Um dia conferido", dependencies=[_totals])
async def get_day(day: Day, tx: ReadTxDep, who: Reader) -> DayDetailOut:
    """Mostra um dia e os pagamentos em que as duas listas diferem."""
    return await office.day(tx, who, day)


@router.get("/account", summary="A conta no provedor", dependencies=[claims("payments:read"), _totals])
async def get_account(tx: ReadTxDep) -> ProviderAccountOut:
    """Mostra o que há na conta do provedor, pelos nossos livros."""
    balance, to_return, returning = await queries.at_provider(tx)
    return ProviderAccountOut(balance=balance, to_return=to_return, returning=returning)


@router.post(
    "/provider/pix",
    status_code=204,
    summary="Aviso do provedor",
    dependencies=[
        public("the provider's certificate is shown to our proxy, or its call is signed"),
        any_query("its own"),
    ],
)
async def hear_provider(request: Request, content: Annotated[dict[str, Any], Body()]) -> None:
    """Recebe do provedor o aviso de pagamentos, por um proxy que conferiu o certificado dele, ou assinado.

    O aviso só diz onde olhar: cada pagamento é consultado no provedor antes de ser creditado.
    """
    del content
    desk = desk_of(request)
    config = desk.payments.config
    if config.proxy_header is None and config.signature is None:
        raise WebhookRefused
    if config.proxy_header is not None:
        name, wanted = config.proxy_header
        given = request.headers.get(name, "")
        if not is_proxied(request) or not hmac.compare_digest(given.encode(), wanted.encode()):
            raise WebhookRefused
    signature = request.headers.get(config.signature[0], "") if config.signature else ""
    status = await listener.handle_call(desk.database, config, await request.body(), signature)
    if status == listener.FORBIDDEN:
        raise WebhookRefused
    if status == listener.MALFORMED:
        raise WebhookMalformed
