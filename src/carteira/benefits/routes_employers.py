"""Employers over HTTP: their data, and their bound operators and clients."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request

from carteira.benefits import employers, funding
from carteira.benefits.schemas import EmployerFundOut, EmployerIn, EmployerOut, EmployerPatch, MemberOut
from carteira.identity import IdentityDep
from carteira.kit.web.access import Principal, acts, claims, reads, step_up
from carteira.kit.web.json_route import JsonRoute, polled, send_version, versioned
from carteira.kit.web.pagination import BY_ID, Page, PageRequest, page_of
from carteira.kit.web.preconditions import PreconditionDep
from carteira.kit.web.transaction import ReadTxDep, TxDep

router = APIRouter(route_class=JsonRoute, prefix="/benefits/employers", tags=["benefits"])

Reader = Annotated[Principal, claims("benefits:read")]
Writer = Annotated[Principal, claims("employers:write")]
_release = Query(description="Esquece o vínculo: sem outro, volta a ver as contas de todas as empresas")
_companies = reads("companies are no people")


@router.get("", summary="Empresas", dependencies=[_companies])
async def get_employers(
    tx: ReadTxDep, who: Reader, asked: PageRequest[UUID] = page_of(BY_ID, oldest_first=True)
) -> Page[EmployerOut]:
    """Lista as empresas; para quem está vinculado, só as suas."""
    rows = await employers.listed(tx, who, limit=asked.limit + 1, after=asked.after)
    return asked.page(rows, lambda row: row.id).map(EmployerOut.model_validate)


@router.post("", status_code=201, summary="Cadastrar uma empresa", dependencies=[acts("employer_added")])
async def add_employer(body: EmployerIn, tx: TxDep, _who: Writer) -> EmployerOut:
    """Cadastra uma empresa pelo CNPJ, numérico ou alfanumérico."""
    return EmployerOut.model_validate(await employers.add(tx, cnpj=body.cnpj, name=body.name, prefunded=body.prefunded))


@router.get("/{employer_id}", summary="Uma empresa", dependencies=[versioned(), _companies])
async def get_employer(request: Request, employer_id: UUID, tx: ReadTxDep, who: Reader) -> EmployerOut:
    """Mostra uma empresa."""
    found = await employers.find(tx, who, employer_id)
    send_version(request, found.version)
    return EmployerOut.model_validate(found)


@router.patch("/{employer_id}", summary="Alterar uma empresa", dependencies=[acts("employer_changed")])
async def patch_employer(
    employer_id: UUID, body: EmployerPatch, tx: TxDep, _who: Writer, seen: PreconditionDep
) -> EmployerOut:
    """Muda o CNPJ, o nome, ou se a empresa é pré-paga.

    Com `If-Match`, só muda se a empresa ainda está na versão lida.
    """
    changes = body.model_dump(exclude_none=True)
    return EmployerOut.model_validate(await employers.change(tx, employer_id, changes, seen))


@router.get(
    "/{employer_id}/fund",
    operation_id="get_employer_fund",
    summary="O fundo de uma empresa",
    dependencies=[polled(), _companies],
)
async def get_fund(
    employer_id: UUID, tx: ReadTxDep, who: Annotated[Principal, claims("benefits:write")]
) -> EmployerFundOut:
    """Mostra o que a empresa depositou e ainda não creditou; os créditos de uma empresa pré-paga saem daqui."""
    return await funding.fund_of(tx, who, employer_id)


@router.get(
    "/{employer_id}/members",
    summary="Quem está vinculado a uma empresa",
    dependencies=[claims("employers:write"), reads("ids of operators and clients, nothing of theirs")],
)
async def get_members(
    employer_id: UUID, tx: ReadTxDep, asked: PageRequest[UUID] = page_of(BY_ID, dated=False)
) -> Page[MemberOut]:
    """Lista operadores e clientes (máquinas) vinculados à empresa."""
    rows = await employers.members(tx, employer_id, limit=asked.limit + 1, after=asked.after)
    return asked.page(rows, lambda row: row.id).map(MemberOut.model_validate)


@router.put(
    "/{employer_id}/members/{member_id}",
    summary="Vincular um operador ou um cliente",
    dependencies=[step_up(), acts("employer_member_bound")],
)
async def put_member(employer_id: UUID, member_id: UUID, tx: TxDep, who: Writer, identity: IdentityDep) -> MemberOut:
    """Vincula uma pessoa ou um cliente à empresa. Vinculado, só vê e muda o que é das suas empresas; vale na hora.

    Ninguém vincula a si, quem tem permissões que não tem, nem o último administrador. Pede uma entrada recente.
    """
    return MemberOut.model_validate(await employers.bind(tx, identity.access, who, employer_id, member_id))


@router.delete(
    "/{employer_id}/members/{member_id}",
    status_code=204,
    summary="Desvincular um operador ou um cliente",
    dependencies=[step_up(), acts("employer_member_unbound")],
)
async def delete_member(
    employer_id: UUID,
    member_id: UUID,
    tx: TxDep,
    who: Writer,
    identity: IdentityDep,
    release: Annotated[bool, _release] = False,
) -> None:
    """Encerra o vínculo, na hora. Quem fica sem empresa não vê nenhuma, até ser vinculado de novo ou liberado.

    Ninguém encerra o próprio vínculo, nem o de quem tem permissões que não tem. Pede uma entrada recente.
    """
    await employers.unbind(tx, identity.access, who, employer_id, member_id, release=release)
