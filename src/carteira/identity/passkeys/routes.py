"""Passkeys over HTTP."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from carteira.identity.passkeys import service as passkeys
from carteira.identity.passkeys.schemas import PasskeyLoginIn, PasskeyOut, PasskeyPatch, PasskeyRegisterIn
from carteira.identity.public_address import SiteDep
from carteira.identity.runtime import IdentityDep
from carteira.identity.sessions.client import ClientDep, answer_tokens
from carteira.identity.sessions.schemas import TokensOut
from carteira.kit.web.access import Who, public
from carteira.kit.web.json_route import JsonRoute
from carteira.kit.web.pagination import Page
from carteira.kit.web.transaction import ReadTxDep, TxDep

router = APIRouter(route_class=JsonRoute, prefix="/auth/passkeys", tags=["identity"])


@router.post("/register/options", summary="Começar a guardar uma chave de acesso")
async def registration_options(who: Who, identity: IdentityDep, site: SiteDep) -> dict[str, Any]:
    """O que `navigator.credentials.create` precisa. Pede uma entrada recente; vale por cinco minutos."""
    return await passkeys.registration_options(identity, site, who)


@router.post(
    "/register/verify", status_code=201, operation_id="register_passkey", summary="Guardar uma chave de acesso"
)
async def register(body: PasskeyRegisterIn, who: Who, identity: IdentityDep, site: SiteDep) -> PasskeyOut:
    """Guarda a chave que o navegador criou e avisa a pessoa por e-mail."""
    return PasskeyOut.model_validate(await passkeys.register(identity, site, who, body.credential, body.name))


@router.post("/login/options", summary="Começar a entrar com chave de acesso", dependencies=[public("signing in")])
async def login_options(identity: IdentityDep, site: SiteDep, client: ClientDep) -> dict[str, Any]:
    """O que `navigator.credentials.get` precisa; ninguém diz quem é. Vale por cinco minutos, uma vez."""
    return await passkeys.login_options(identity, site, client)


@router.post(
    "/login/verify",
    operation_id="login_with_passkey",
    summary="Entrar com chave de acesso",
    response_model_exclude_none=True,
    dependencies=[public("signing in")],
)
async def login(
    body: PasskeyLoginIn, identity: IdentityDep, site: SiteDep, client: ClientDep, response: Response
) -> TokensOut:
    """A chave confere a pessoa no aparelho, por isso não se pede outro fator."""
    tokens = await passkeys.sign_in(identity, site, body.credential, client)
    return answer_tokens(identity, response, tokens)


@router.get("", summary="Minhas chaves de acesso")
async def get_passkeys(tx: ReadTxDep, who: Who) -> Page[PasskeyOut]:
    """Lista as próprias chaves, da mais antiga à mais nova; são no máximo vinte."""
    items = [PasskeyOut.model_validate(item) for item in await passkeys.list_passkeys(tx, who.user_id)]
    return Page(items=items, next_cursor=None)


@router.patch("/{passkey_id}", summary="Dar outro nome a uma chave de acesso")
async def rename(passkey_id: UUID, body: PasskeyPatch, tx: TxDep, who: Who) -> PasskeyOut:
    """Muda o nome de uma das próprias chaves."""
    return PasskeyOut.model_validate(await passkeys.rename(tx, who.user_id, passkey_id, body.name))


@router.delete("/{passkey_id}", status_code=204, summary="Apagar uma chave de acesso")
async def remove(passkey_id: UUID, tx: TxDep, who: Who) -> None:
    """Apaga uma das próprias chaves. Pede uma entrada recente."""
    await passkeys.remove(tx, who, passkey_id)
