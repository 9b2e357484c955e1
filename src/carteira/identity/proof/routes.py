"""A CPF's proof over HTTP, by operators who saw person and paper."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter

from carteira.identity.proof import service as proofs
from carteira.identity.proof.schemas import CpfDisputeOut, CpfProofIn
from carteira.identity.proof.service import CpfProof
from carteira.identity.runtime import IdentityDep
from carteira.identity.users import queries
from carteira.identity.users.schemas import UserOut
from carteira.identity.users.service import may_see_cpf
from carteira.kit.security import audit
from carteira.kit.web.access import Principal, acts, claims, looks
from carteira.kit.web.pagination import BY_ID, Page, PageRequest, page_of
from carteira.kit.web.transaction import TxDep

router = APIRouter(prefix="/users", tags=["identity"])

Prover = Annotated[Principal, claims("identity:prove")]


@router.get("/cpf-disputes", summary="CPFs que duas pessoas comprovaram", dependencies=[looks("cpf_disputes_listed")])
async def list_disputes(tx: TxDep, _who: Prover, asked: PageRequest[UUID] = page_of(BY_ID)) -> Page[CpfDisputeOut]:
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
    dependencies=[acts("cpf_dispute_closed")],
)
async def close_dispute(dispute_id: UUID, tx: TxDep, who: Prover) -> None:
    """Encerra o caso: o CPF fica com quem está. Para movê-lo, retire a comprovação de um e comprove o outro."""
    await proofs.close_case(tx, dispute_id, actor=who.user_id)


@router.post(
    "/{user_id}/cpf-proof",
    summary="Comprovar o CPF de uma pessoa",
    dependencies=[acts("cpf_proven", "cpf_disputed")],
)
async def prove_cpf(user_id: UUID, body: CpfProofIn, tx: TxDep, who: Prover, identity: IdentityDep) -> UserOut:
    """Registra que a pessoa e o documento foram vistos. Se outra conta só digitou este CPF, ele sai dela."""
    proof = CpfProof(body.cpf, "operator", prover=who.user_id, paper=body.paper)
    await proofs.prove_by_operator(tx, identity.cpf_followers, user_id, proof)
    return UserOut.of(await queries.person(tx, user_id), show_cpf=may_see_cpf(who, user_id))


@router.delete(
    "/{user_id}/cpf-proof",
    status_code=204,
    summary="Retirar a comprovação de um CPF",
    dependencies=[acts("cpf_proof_withdrawn")],
)
async def withdraw_proof(user_id: UUID, tx: TxDep, who: Prover) -> None:
    """Desfaz uma comprovação errada: o CPF continua na conta, como um que só foi digitado."""
    await proofs.withdraw(tx, user_id, actor=who.user_id)
