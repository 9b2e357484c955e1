"""A CPF's proof over HTTP, by operators who saw person and paper."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from carteira.identity.proof import by_operator
from carteira.identity.proof import service as proofs
from carteira.identity.proof.schemas import CpfDisputeOut, CpfProofIn, CpfProofOut
from carteira.identity.runtime import IdentityDep
from carteira.kit.security import audit
from carteira.kit.web.access import Principal, acts, claims, looks, step_up
from carteira.kit.web.approvals import MAY_WAIT, DeskDep
from carteira.kit.web.idempotency import idempotent
from carteira.kit.web.json_route import JsonRoute
from carteira.kit.web.pagination import BY_ID, Page, PageRequest, page_of
from carteira.kit.web.transaction import ReadTxDep, TxDep

router = APIRouter(route_class=JsonRoute, prefix="/users", tags=["identity"])

Prover = Annotated[Principal, claims("identity:prove")]


@router.get("/cpf-disputes", summary="CPFs que duas pessoas comprovaram", dependencies=[looks("cpf_disputes_listed")])
async def list_disputes(
    tx: ReadTxDep, _who: Prover, asked: PageRequest[UUID] = page_of(BY_ID, oldest_first=True)
) -> Page[CpfDisputeOut]:
    """Lista os casos abertos, do mais antigo ao mais novo. Ninguém é movido enquanto um operador não decide."""
    rows = await proofs.cases(tx, limit=asked.limit + 1, after=asked.after)
    page = asked.page(rows, lambda row: row.id)
    people = [person for row in page.items for person in (row.holder_id, row.claimant_id)]
    await audit.record_looks(tx, "cpf_disputes_listed", people)
    return page.map(CpfDisputeOut.model_validate)


@router.post(
    "/cpf-disputes/{dispute_id}/close",
    status_code=204,
    summary="Encerrar um caso de CPF",
    dependencies=[step_up(), acts("cpf_dispute_closed")],
)
async def close_dispute(dispute_id: UUID, tx: TxDep, who: Prover) -> None:
    """Encerra o caso: o CPF fica com quem está. Para movê-lo, retire a comprovação de um e comprove o outro."""
    await proofs.close_case(tx, dispute_id, actor=who.user_id)


@router.post(
    "/{user_id}/cpf-proof",
    summary="Comprovar o CPF de uma pessoa",
    response_model=CpfProofOut,
    responses=MAY_WAIT,
    dependencies=[step_up(), acts("cpf_proven", "cpf_disputed")],
)
@idempotent()
async def prove_cpf(
    user_id: UUID, body: CpfProofIn, tx: TxDep, who: Prover, identity: IdentityDep, desk: DeskDep
) -> object:
    """Registra que a pessoa e o documento foram vistos. Se outra conta só digitou este CPF, ele sai dela.

    Nesse caso, em produção, uma segunda pessoa confirma (202). Pede uma entrada recente.
    """
    what = by_operator.operation(identity.cpf_followers, two_to_move=not identity.config.development)
    order = by_operator.CpfProofOrder(user_id=user_id, cpf=body.cpf, paper=body.paper)
    return await by_operator.carry_out(tx, desk, what, order, who)


@router.delete(
    "/{user_id}/cpf-proof",
    status_code=204,
    summary="Retirar a comprovação de um CPF",
    dependencies=[step_up(), acts("cpf_proof_withdrawn")],
)
async def withdraw_proof(user_id: UUID, tx: TxDep, who: Prover) -> None:
    """Desfaz uma comprovação errada: o CPF continua na conta, como um que só foi digitado."""
    await proofs.withdraw(tx, user_id, actor=who.user_id)
