"""Sign-in at gov.br, Google and Meta over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from carteira.identity.public_address import BaseDep
from carteira.identity.runtime import IdentityDep
from carteira.identity.sessions.client import ClientDep, answer_tokens
from carteira.identity.sessions.schemas import TokensOut
from carteira.identity.signin.schemas import ChallengeOut
from carteira.identity.signin.service import Challenge
from carteira.identity.social import service as social
from carteira.identity.social.cookies import PAGE_COOKIE, SOCIAL_COOKIE
from carteira.identity.social.providers import ProviderName
from carteira.identity.social.schemas import (
    LinkCodeIn,
    LinkVerifyIn,
    RegistrationTokenOut,
    SocialAccountOut,
    SocialLinkIn,
    SocialRegisterIn,
)
from carteira.kit.web.access import Who, public
from carteira.kit.web.json_route import JsonRoute, any_query
from carteira.kit.web.pagination import Page
from carteira.kit.web.transaction import ReadTxDep, TxDep

router = APIRouter(route_class=JsonRoute, prefix="/auth", tags=["identity"])


@router.get(
    "/{provider}/login",
    status_code=302,
    response_class=RedirectResponse,
    operation_id="begin_social_login",
    summary="Entrar com gov.br, Google ou Meta",
    dependencies=[public("signing in")],
)
async def begin(provider: ProviderName, identity: IdentityDep, base: BaseDep, client: ClientDep) -> Response:
    """Leva o navegador ao provedor; a volta deve ser no mesmo navegador, em até dez minutos."""
    departure = await social.begin(identity, base, provider, client)
    response = RedirectResponse(departure.url, 302)
    SOCIAL_COOKIE.set(response, departure.browser, https=identity.config.https)
    return response


@router.get(
    "/{provider}/callback",
    operation_id="finish_social_login",
    summary="Voltar de gov.br, Google ou Meta",
    response_model=TokensOut | ChallengeOut | RegistrationTokenOut,
    response_model_exclude_none=True,
    responses={303: {"description": "De volta à página de onde o navegador partiu"}},
    dependencies=[public("signing in"), any_query("providers send more than is read of it")],
)
async def callback(
    provider: ProviderName,
    identity: IdentityDep,
    base: BaseDep,
    client: ClientDep,
    request: Request,
    response: Response,
    state: Annotated[str, Query(max_length=200)] = "",
    code: Annotated[str | None, Query(max_length=4000)] = None,
    error: Annotated[str | None, Query(max_length=200)] = None,
) -> TokensOut | ChallengeOut | RegistrationTokenOut | RedirectResponse:
    """Responde os tokens, ou `mfa_required`, ou um `registration_token` se a conta não está ligada a ninguém.

    Um navegador que partiu de uma página volta a ela, com o que o provedor disse.
    """
    if identity.config.social_page and PAGE_COOKIE.read(request, https=identity.config.https):
        page = request.scope.get("root_path", "") + identity.config.social_page.format(provider=provider)
        return RedirectResponse(f"{page}?{request.url.query}", 303, {"Referrer-Policy": "same-origin"})
    browser = SOCIAL_COOKIE.read(request, https=identity.config.https)
    arrival = social.CallbackResult(state=state, browser=browser, code=code, error=error)
    answer = await social.callback(identity, base, provider, arrival, client)
    SOCIAL_COOKIE.delete(response, https=identity.config.https)
    if isinstance(answer, social.Registration):
        return RegistrationTokenOut(
            registration_token=answer.token,
            expires_in=social.REGISTRATION_SECONDS,
            full_name=answer.full_name,
            email=answer.email,
            cpf=answer.cpf,
            cpf_held=answer.cpf_held,
        )
    if isinstance(answer, Challenge):
        return ChallengeOut(mfa_token=answer.mfa_token)
    return answer_tokens(identity, response, answer)


@router.post(
    "/social/register",
    status_code=201,
    operation_id="register_with_social_account",
    summary="Terminar o cadastro iniciado no gov.br, no Google ou na Meta",
    response_model_exclude_none=True,
    dependencies=[public("the holder of a registration_token")],
)
async def register(body: SocialRegisterIn, identity: IdentityDep, client: ClientDep, response: Response) -> TokensOut:
    """Cria a conta, sem senha, e entra. Depois de um 409 o token ainda vale, para ligar a conta a quem já está aqui."""
    sign_up = social.SignUp(body.cpf, body.birth_date, body.phone, body.full_name, body.email)
    tokens = await social.register(identity, body.registration_token, sign_up, client)
    return answer_tokens(identity, response, tokens)


@router.post(
    "/social/link",
    status_code=204,
    operation_id="link_social_account",
    summary="Ligar uma conta do gov.br, do Google ou da Meta à minha",
)
async def link(body: SocialLinkIn, tx: TxDep, who: Who, identity: IdentityDep) -> None:
    """Liga a conta do `registration_token` a quem está autenticado; a do gov.br comprova o CPF. Com entrada recente."""
    await social.link(tx, identity, who, body.registration_token)


@router.post(
    "/social/link/code",
    status_code=202,
    summary="Pedir um código para ligar uma conta",
    dependencies=[public("the holder of a registration_token")],
)
async def ask_code(body: LinkCodeIn, identity: IdentityDep, client: ClientDep) -> dict[str, str]:
    """Envia um código ao e-mail confirmado da pessoa, se houver; a resposta é a mesma se não houver."""
    await social.ask_code(identity, body.registration_token, body.name, client)
    return {"detail": "Se houver uma conta com e-mail confirmado, um código foi enviado. Ele vale por 10 minutos."}


@router.post(
    "/social/link/verify",
    summary="Ligar uma conta com o código recebido",
    response_model_exclude_none=True,
    dependencies=[public("the holder of a registration_token and of a code")],
)
async def verify_code(
    body: LinkVerifyIn, identity: IdentityDep, client: ClientDep, response: Response
) -> TokensOut | ChallengeOut:
    """Liga a conta e entra. Cinco tentativas por código."""
    answer = await social.verify_code(identity, body.registration_token, body.code, client)
    if isinstance(answer, Challenge):
        return ChallengeOut(mfa_token=answer.mfa_token)
    return answer_tokens(identity, response, answer)


@router.get("/social", summary="Minhas contas ligadas")
async def get_accounts(tx: ReadTxDep, who: Who) -> Page[SocialAccountOut]:
    """Lista as contas do gov.br, do Google e da Meta que entram na própria conta."""
    items = [SocialAccountOut.model_validate(item) for item in await social.list_accounts(tx, who.user_id)]
    return Page(items=items, next_cursor=None)


@router.delete("/social/{account_id}", status_code=204, summary="Desligar uma conta")
async def unlink(account_id: UUID, tx: TxDep, who: Who) -> None:
    """Desliga uma das próprias contas do gov.br, do Google ou da Meta. Pede uma entrada recente."""
    await social.unlink(tx, who, account_id)
