"""Sign-in and the second factor over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Response

from carteira.identity.public_address import SiteDep
from carteira.identity.runtime import IdentityDep
from carteira.identity.sessions.client import ClientDep, answer_tokens
from carteira.identity.sessions.schemas import SessionOut, TokensOut
from carteira.identity.signin import service, totp
from carteira.identity.signin import step_up as steps
from carteira.identity.signin.schemas import ChallengeOut, CodeIn, EnrolmentOut, MfaIn, RecoveryCodesOut, StepUpIn
from carteira.kit.web.access import Who, public
from carteira.kit.web.json_route import JsonRoute, polled
from carteira.kit.web.transaction import TxDep

router = APIRouter(route_class=JsonRoute, tags=["identity"])


@router.get("/.well-known/jwks.json", summary="Chaves públicas", dependencies=[polled(), public("keys to verify with")])
async def get_keys(identity: IdentityDep, response: Response) -> dict[str, Any]:
    """As chaves públicas que conferem os tokens de acesso (RFC 7517)."""
    response.headers["Cache-Control"] = "public, max-age=60"
    return identity.ring.public()


@router.post(
    "/auth/login",
    summary="Entrar com CPF ou e-mail e senha",
    response_model_exclude_none=True,
    dependencies=[public("signing in")],
)
async def login(
    username: Annotated[str, Form(min_length=1, max_length=254, description="CPF ou e-mail")],
    password: Annotated[str, Form(min_length=1, max_length=1000, json_schema_extra={"format": "password"})],
    identity: IdentityDep,
    client: ClientDep,
    response: Response,
) -> TokensOut | ChallengeOut:
    """Formulário de senha do OAuth2. Com autenticador ativado, responde `mfa_required` e um `mfa_token`."""
    answer = await service.sign_in(identity, username, password, client)
    if isinstance(answer, service.Challenge):
        return ChallengeOut(mfa_token=answer.mfa_token)
    return answer_tokens(identity, response, answer)


@router.post(
    "/auth/mfa",
    summary="Entrar com o segundo fator",
    response_model_exclude_none=True,
    dependencies=[public("the holder of an mfa_token")],
)
async def mfa(body: MfaIn, identity: IdentityDep, client: ClientDep, response: Response) -> TokensOut:
    """Aceita o código do autenticador ou um código de recuperação; nenhum vale duas vezes."""
    tokens = await service.finish_sign_in(identity, body.mfa_token, body.code, client)
    return answer_tokens(identity, response, tokens)


@router.post("/auth/step-up", summary="Confirmar que é você")
async def step_up(body: StepUpIn, who: Who, identity: IdentityDep, site: SiteDep) -> SessionOut:
    """Renova a entrada desta sessão, para o que pede uma entrada recente ou um segundo fator.

    Com autenticador ativado, `code` (dele ou de recuperação); sem, `password`; com chave de acesso, `credential`, em
    resposta a `POST /auth/passkeys/login/options`.
    """
    if body.code is not None:
        session = await steps.by_code(identity, who, body.code)
    elif body.password is not None:
        session = await steps.by_password(identity, who, body.password)
    else:
        session = await steps.by_passkey(identity, site, who, body.credential or {})
    return SessionOut.of(session, current=True)


@router.post("/auth/totp", operation_id="enrol_totp", summary="Começar a ativar o autenticador")
async def enrol(tx: TxDep, who: Who, identity: IdentityDep) -> EnrolmentOut:
    """Dá o segredo e o código QR; vale depois de confirmado com um código. Pede uma entrada recente."""
    who.require_recent_sign_in()
    return EnrolmentOut.model_validate(await totp.enrol(tx, identity.sealer, who.user_id))


@router.post("/auth/totp/confirm", operation_id="confirm_totp", summary="Ativar o autenticador")
async def confirm(body: CodeIn, tx: TxDep, who: Who, identity: IdentityDep) -> RecoveryCodesOut:
    """Ativa o autenticador e mostra, uma única vez, os códigos de recuperação. Pede uma entrada recente."""
    who.require_recent_sign_in()
    return RecoveryCodesOut(recovery_codes=await totp.confirm(tx, identity, who.user_id, who.session_id, body.code))


@router.delete("/auth/totp", status_code=204, summary="Desativar o autenticador")
async def disable(tx: TxDep, who: Who, identity: IdentityDep) -> None:
    """Desativa o autenticador e apaga os códigos de recuperação. Pede uma entrada recente."""
    who.require_recent_sign_in()
    await totp.disable(tx, identity.access, who.user_id)
