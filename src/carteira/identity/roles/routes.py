"""Roles and claims over HTTP, for callers who may change users."""

from typing import Annotated

from fastapi import APIRouter, Path, Request

from carteira.identity.roles import service as roles
from carteira.identity.roles.schemas import ClaimIn, ClaimOut, ClaimPatch, RoleClaimsIn, RoleIn, RolePatch, WholeRoleOut
from carteira.identity.runtime import IdentityDep
from carteira.kit.web.access import Principal, acts, claims, reads, step_up
from carteira.kit.web.json_route import JsonRoute, send_version, versioned
from carteira.kit.web.pagination import Page, PageRequest, page_of
from carteira.kit.web.preconditions import PreconditionDep
from carteira.kit.web.transaction import ReadTxDep, TxDep

router = APIRouter(route_class=JsonRoute, tags=["identity"])

Writer = Annotated[Principal, claims("users:write")]
RoleId = Annotated[int, Path(ge=1, le=2**31 - 1)]
ClaimId = Annotated[int, Path(ge=1, le=2**31 - 1)]
_nobodys = reads("roles and claims as such; who holds them is not shown")


@router.get("/roles", summary="Papéis", dependencies=[claims("users:write"), _nobodys])
async def get_roles(
    tx: ReadTxDep, asked: PageRequest[roles.NumberKey] = page_of(roles.BY_NUMBER)
) -> Page[WholeRoleOut]:
    """Lista os papéis e as permissões que cada um dá."""
    rows = await roles.list_roles(tx, limit=asked.limit + 1, after=asked.after)
    return asked.page(rows, lambda row: roles.NumberKey(row.id)).map(WholeRoleOut.model_validate)


@router.get("/roles/{role_id}", summary="Um papel", dependencies=[versioned(), claims("users:write"), _nobodys])
async def get_role(request: Request, role_id: RoleId, tx: ReadTxDep) -> WholeRoleOut:
    """Mostra um papel e as permissões que ele dá."""
    role = await roles.role_with_claims(tx, role_id)
    send_version(request, role.version)
    return WholeRoleOut.model_validate(role)


@router.post("/roles", status_code=201, summary="Criar um papel", dependencies=[step_up(), acts("role_added")])
async def add_role(body: RoleIn, tx: TxDep, who: Writer) -> WholeRoleOut:
    """Cria um papel e diz quais permissões ele dá: só as que quem cria tem. Pede uma entrada recente."""
    return WholeRoleOut.model_validate(await roles.add_role(tx, who, body.description.strip(), body.claim_ids))


@router.patch("/roles/{role_id}", summary="Dar outro nome a um papel", dependencies=[step_up(), acts("role_renamed")])
async def patch_role(role_id: RoleId, body: RolePatch, tx: TxDep, who: Writer, seen: PreconditionDep) -> WholeRoleOut:
    """Troca a descrição; a dos papéis `cidadão` e `administrador` não muda. Pede uma entrada recente.

    Com `If-Match`, só muda se o papel ainda está na versão lida.
    """
    return WholeRoleOut.model_validate(await roles.rename_role(tx, who, role_id, body.description.strip(), seen))


@router.put(
    "/roles/{role_id}/claims", summary="Dizer o que um papel dá", dependencies=[step_up(), acts("role_changed")]
)
async def put_role_claims(
    role_id: RoleId, body: RoleClaimsIn, tx: TxDep, who: Writer, identity: IdentityDep, seen: PreconditionDep
) -> WholeRoleOut:
    """Troca as permissões do papel, na hora, para todos os que o têm: só entram e saem as que quem troca tem.

    Com `If-Match`, só muda se o papel ainda está na versão lida.
    """
    changed = await roles.set_claims_of_role(tx, identity.access, who, role_id, body.claim_ids, seen)
    return WholeRoleOut.model_validate(changed)


@router.delete(
    "/roles/{role_id}", status_code=204, summary="Apagar um papel", dependencies=[step_up(), acts("role_deleted")]
)
async def delete_role(role_id: RoleId, tx: TxDep, who: Writer) -> None:
    """Apaga um papel que ninguém tem; 409 se houver pessoas com ele. Pede uma entrada recente."""
    await roles.delete_role(tx, who, role_id)


@router.get("/claims", summary="Permissões", dependencies=[claims("users:write"), _nobodys])
async def get_claims(tx: ReadTxDep, asked: PageRequest[roles.NumberKey] = page_of(roles.BY_NUMBER)) -> Page[ClaimOut]:
    """Lista as permissões."""
    rows = await roles.list_claims(tx, limit=asked.limit + 1, after=asked.after)
    return asked.page(rows, lambda row: roles.NumberKey(row.id)).map(ClaimOut.model_validate)


@router.post("/claims", status_code=201, summary="Criar uma permissão", dependencies=[step_up(), acts("claim_added")])
async def add_claim(body: ClaimIn, tx: TxDep, who: Writer, identity: IdentityDep) -> ClaimOut:
    """Cria uma permissão própria, para outros sistemas; quem cria passa a tê-la. Pede uma entrada recente."""
    added = await roles.add_claim(tx, identity.access, who, body.description.strip(), active=body.active)
    return ClaimOut.model_validate(added)


@router.patch("/claims/{claim_id}", summary="Alterar uma permissão", dependencies=[step_up(), acts("claim_changed")])
async def patch_claim(claim_id: ClaimId, body: ClaimPatch, tx: TxDep, who: Writer, identity: IdentityDep) -> ClaimOut:
    """Liga ou desliga para todos, na hora, ou troca o nome de uma permissão própria. Pede uma entrada recente."""
    return ClaimOut.model_validate(
        await roles.change_claim(
            tx,
            identity.access,
            who,
            claim_id,
            description=body.description.strip() if body.description else None,
            active=body.active,
        )
    )
