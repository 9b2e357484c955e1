"""Sign-in, sessions, the second factor and password recovery over HTTP."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Form, Response

from carteira.identity import recovery, sessions, signin, totp
from carteira.identity.client import ClientDep, answer_tokens
from carteira.identity.runtime import IdentityDep
from carteira.identity.schemas import (
    ChallengeOut,
    CodeIn,
    EnrolmentOut,
    MfaIn,
    RecoveryCodesOut,
    RecoveryIn,
    RecoveryVerifyIn,
    RefreshIn,
    ResetIn,
    ResetTokenOut,
    SessionOut,
    TokensOut,
)
from carteira.kit.web.access import Who, public
from carteira.kit.web.pagination import Cursor, Limit, Page, decode_cursor, page
from carteira.kit.web.transaction import TxDep

router = APIRouter(tags=["identity"])


@router.get("/.well-known/jwks.json", summary="Chaves públicas", dependencies=[public("keys to verify with")])
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
    answer = await signin.sign_in(identity, username, password, client)
    if isinstance(answer, signin.Challenge):
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
    tokens = await signin.finish_sign_in(identity, body.mfa_token, body.code, client)
    return answer_tokens(identity, response, tokens)


@router.post(
    "/auth/refresh",
    summary="Renovar os tokens",
    response_model_exclude_none=True,
    dependencies=[public("the holder of a refresh_token")],
)
async def refresh(body: RefreshIn, identity: IdentityDep, response: Response) -> TokensOut:
    """Troca o refresh_token por um novo par. Um token já usado encerra a sessão inteira."""
    return answer_tokens(identity, response, await sessions.refresh(identity, body.refresh_token))


@router.post("/auth/logout", status_code=204, summary="Sair", dependencies=[public("the holder of a refresh_token")])
async def logout(body: RefreshIn, tx: TxDep, identity: IdentityDep) -> None:
    """Encerra a sessão do refresh_token."""
    await sessions.sign_out(tx, identity.access, body.refresh_token)


@router.get("/auth/sessions", summary="Minhas sessões")
async def get_sessions(tx: TxDep, who: Who, limit: Limit = 20, cursor: Cursor = None) -> Page[SessionOut]:
    """Lista as sessões abertas, da mais nova à mais antiga."""
    parts = decode_cursor(cursor, UUID)
    before: UUID | None = parts[0] if parts else None  # type: ignore[assignment] # as decoded
    rows = await sessions.list_sessions(tx, who.user_id, limit=limit + 1, before=before)
    items, next_cursor = page(rows, limit, lambda row: (row.id,))
    shown = [
        SessionOut(
            id=item.id,
            device=item.device,
            network=item.network,
            methods=item.methods,
            created_at=item.created_at,
            seen_at=item.seen_at,
            expires_at=item.expires_at,
            current=item.id == who.session_id,
        )
        for item in items
    ]
    return Page(items=shown, next_cursor=next_cursor)


@router.delete("/auth/sessions", status_code=204, summary="Sair de todos os aparelhos")
async def delete_sessions(tx: TxDep, who: Who, identity: IdentityDep) -> None:
    """Encerra todas as sessões, inclusive esta."""
    await sessions.sign_out_everywhere(tx, identity.access, who.user_id, actor=who.user_id)


@router.delete("/auth/sessions/{session_id}", status_code=204, summary="Encerrar uma sessão")
async def delete_session(session_id: UUID, tx: TxDep, who: Who, identity: IdentityDep) -> None:
    """Encerra uma das próprias sessões."""
    await sessions.revoke_session(tx, identity.access, who.user_id, session_id)


@router.post("/auth/totp", summary="Começar a ativar o autenticador")
async def enrol(tx: TxDep, who: Who, identity: IdentityDep) -> EnrolmentOut:
    """Dá o segredo e o código QR; vale depois de confirmado com um código. Pede uma entrada recente."""
    sessions.require_recent_sign_in(who)
    return EnrolmentOut.model_validate(await totp.enrol(tx, identity.sealer, who.user_id))


@router.post("/auth/totp/confirm", summary="Ativar o autenticador")
async def confirm(body: CodeIn, tx: TxDep, who: Who, identity: IdentityDep) -> RecoveryCodesOut:
    """Ativa o autenticador e mostra, uma única vez, os códigos de recuperação."""
    return RecoveryCodesOut(recovery_codes=await totp.confirm(tx, identity.sealer, who.user_id, body.code))


@router.delete("/auth/totp", status_code=204, summary="Desativar o autenticador")
async def disable(tx: TxDep, who: Who) -> None:
    """Desativa o autenticador e apaga os códigos de recuperação. Pede uma entrada recente."""
    sessions.require_recent_sign_in(who)
    await totp.disable(tx, who.user_id)


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
