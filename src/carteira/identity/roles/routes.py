"""Roles and claims over HTTP, for who may change users."""

from typing import Annotated

from fastapi import APIRouter, Path

from carteira.identity.roles import service as roles
from carteira.identity.roles.schemas import ClaimIn, ClaimOut, ClaimPatch, RoleIn, RoleOut
from carteira.identity.runtime import IdentityDep
from carteira.kit.web.access import Principal, acts, claims, reads
from carteira.kit.web.pagination import Page, PageRequest, page_of
from carteira.kit.web.transaction import TxDep

router = APIRouter(tags=["identity"])

Writer = Annotated[Principal, claims("users:write")]
_INT32 = 2**31
_nobodys = reads("roles and claims as such; who holds them is not shown")


@router.get("/roles", summary="Papéis", dependencies=[claims("users:write"), _nobodys])
async def get_roles(tx: TxDep, asked: PageRequest[roles.NumberKey] = page_of(roles.BY_NUMBER)) -> Page[RoleOut]:
    """Lista os papéis."""
    rows = await roles.list_roles(tx, limit=asked.limit + 1, after=asked.after)
    return asked.page(rows, lambda row: roles.NumberKey(row.id)).map(RoleOut.model_validate)


@router.post("/roles", status_code=201, summary="Criar um papel", dependencies=[acts("role_added")])
async def add_role(body: RoleIn, tx: TxDep, who: Writer) -> RoleOut:
    """Cria um papel e diz quais permissões ele dá a quem o recebe."""
    return RoleOut.model_validate(await roles.add_role(tx, body.description.strip(), body.claim_ids, actor=who.id))


@router.get("/claims", summary="Permissões", dependencies=[claims("users:write"), _nobodys])
async def get_claims(tx: TxDep, asked: PageRequest[roles.NumberKey] = page_of(roles.BY_NUMBER)) -> Page[ClaimOut]:
    """Lista as permissões."""
    rows = await roles.list_claims(tx, limit=asked.limit + 1, after=asked.after)
    return asked.page(rows, lambda row: roles.NumberKey(row.id)).map(ClaimOut.model_validate)


@router.post("/claims", status_code=201, summary="Criar uma permissão", dependencies=[acts("claim_added")])
async def add_claim(body: ClaimIn, tx: TxDep, who: Writer) -> ClaimOut:
    """Cria uma permissão."""
    return ClaimOut.model_validate(
        await roles.add_claim(tx, body.description.strip(), active=body.active, actor=who.id)
    )


@router.patch("/claims/{claim_id}", summary="Alterar uma permissão", dependencies=[acts("claim_changed")])
async def patch_claim(
    claim_id: Annotated[int, Path(ge=1, lt=_INT32)], body: ClaimPatch, tx: TxDep, who: Writer, identity: IdentityDep
) -> ClaimOut:
    """Troca a descrição, ou liga e desliga a permissão para todos, na hora."""
    return ClaimOut.model_validate(
        await roles.change_claim(
            tx,
            identity.access,
            claim_id,
            description=body.description.strip() if body.description else None,
            active=body.active,
            actor=who.id,
        )
    )
