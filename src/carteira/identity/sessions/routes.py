"""Sessions over HTTP: refreshed, listed, revoked."""

from uuid import UUID

from fastapi import APIRouter, Response

from carteira.identity.runtime import IdentityDep
from carteira.identity.sessions import service as sessions
from carteira.identity.sessions.client import answer_tokens
from carteira.identity.sessions.schemas import RefreshIn, SessionOut, TokensOut
from carteira.kit.web.access import Who, public
from carteira.kit.web.json_route import JsonRoute
from carteira.kit.web.pagination import BY_ID, Page, PageRequest, page_of
from carteira.kit.web.transaction import ReadTxDep, TxDep

router = APIRouter(route_class=JsonRoute, tags=["identity"])


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
async def get_sessions(tx: ReadTxDep, who: Who, asked: PageRequest[UUID] = page_of(BY_ID)) -> Page[SessionOut]:
    """Lista as sessões abertas, da mais nova à mais antiga."""
    rows = await sessions.list_sessions(tx, who.user_id, limit=asked.limit + 1, before=asked.after)
    return asked.page(rows, lambda row: row.id).map(lambda item: SessionOut.of(item, current=item.id == who.session_id))


@router.delete("/auth/sessions", status_code=204, summary="Sair de todos os aparelhos")
async def delete_sessions(tx: TxDep, who: Who, identity: IdentityDep) -> None:
    """Encerra todas as sessões, inclusive esta. Pede uma entrada recente; para sair só daqui, POST /auth/logout."""
    who.require_step_up()
    await sessions.sign_out_everywhere(tx, identity.access, who.user_id, actor=who.user_id)


@router.delete("/auth/sessions/{session_id}", status_code=204, summary="Encerrar uma sessão")
async def delete_session(session_id: UUID, tx: TxDep, who: Who, identity: IdentityDep) -> None:
    """Encerra uma das próprias sessões. Outra que não esta pede uma entrada recente."""
    if session_id != who.session_id:
        who.require_step_up()
    await sessions.revoke_session(tx, identity.access, who.user_id, session_id)
