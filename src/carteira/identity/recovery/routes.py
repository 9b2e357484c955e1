"""Password recovery over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from carteira.identity.pages import code_page, page_response
from carteira.identity.recovery import service as recovery
from carteira.identity.recovery.schemas import RecoveryIn, RecoveryVerifyIn, ResetIn, ResetTokenOut
from carteira.identity.runtime import IdentityDep
from carteira.identity.sessions.client import ClientDep
from carteira.kit.web.access import public
from carteira.kit.web.json_route import JsonRoute

router = APIRouter(route_class=JsonRoute, tags=["identity"])


@router.post(
    "/password-recovery",
    status_code=202,
    summary="Pedir um código para redefinir a senha",
    dependencies=[public("who forgot the password cannot sign in")],
)
async def ask_recovery(body: RecoveryIn, identity: IdentityDep, client: ClientDep) -> dict[str, str]:
    """Envia um código por e-mail ou SMS, se a conta existir; a resposta é a mesma se não existir."""
    await recovery.ask(identity, body.name, body.channel, client)
    return {"detail": "Se a conta existir, um código foi enviado. Ele vale por 10 minutos."}


@router.post(
    "/password-recovery/verify",
    summary="Conferir o código recebido",
    dependencies=[public("who forgot the password cannot sign in")],
)
async def verify_recovery(body: RecoveryVerifyIn, identity: IdentityDep, client: ClientDep) -> ResetTokenOut:
    """Troca o código por um `reset_token`. Cinco tentativas por código."""
    return ResetTokenOut(reset_token=await recovery.verify(identity, body.name, body.code, client))


@router.post(
    "/password-recovery/reset",
    status_code=204,
    summary="Redefinir a senha",
    dependencies=[public("the holder of a reset_token")],
)
async def reset_password(body: ResetIn, identity: IdentityDep, client: ClientDep) -> None:
    """Define a nova senha e encerra todas as sessões."""
    await recovery.reset(identity, body.reset_token, body.new_password, client)


@router.get(
    "/auth/code",
    summary="Abrir o link de um código",
    response_class=HTMLResponse,
    dependencies=[public("it shows what the link says, and knows nothing")],
)
async def show_code(code: Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{1,80}$")], request: Request) -> HTMLResponse:
    """Mostra o código de uma mensagem, para colar onde ele foi pedido: recuperação, ligação de conta ou benefício."""
    return page_response(request, code_page(code))
