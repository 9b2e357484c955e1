"""An operator's proof of a CPF; if the CPF leaves another account, a second person confirms it."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from pydantic import BaseModel

from carteira.identity.errors import CpfDisputed, OwnCpfProof
from carteira.identity.proof.schemas import CpfProofOut, Paper
from carteira.identity.proof.service import CpfFollower, CpfProof, prove
from carteira.identity.users.queries import person
from carteira.kit.db.errors import CommitThenRaise
from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import Act, Gains, MustWait
from carteira.kit.values.cpf import mask_cpf
from carteira.kit.web.access import Principal
from carteira.kit.web.approvals import Desk, Operation, OrderChange

CLAIM: Literal["identity:prove"] = "identity:prove"


class CpfProofOrder(BaseModel):
    """An operator's statement that they saw a person with a paper that shows a CPF."""

    user_id: UUID
    cpf: str
    paper: Paper


def operation(followers: Sequence[CpfFollower], *, two_to_move: bool) -> Operation[CpfProofOrder]:
    """Make the operation; with `two_to_move` a proof that moves a CPF from another account needs a second person."""

    async def run(tx: Tx, order: CpfProofOrder, act: Act) -> CpfProofOut:
        """Record an operator's proof.

        Raises:
            OwnCpfProof: the operator is the person.
            MustWait: the CPF leaves another account, and a second person must confirm that.
            CpfDisputed: another person has proven the CPF; the case is recorded.
            UserNotFound, CpfDiffers, CpfTaken: as `prove`.
        """
        prover, gains = act.actor.user_id, Gains.of(order.user_id, order.cpf)
        if prover is None or prover == order.user_id:
            raise OwnCpfProof
        if act.approved_by is not None:
            await act.weigh(tx, amount=0, summary="", gains=gains)
        proof = CpfProof(order.cpf, "operator", prover, order.paper, act.approved_by)
        outcome = await prove(tx, followers, order.user_id, proof)
        if outcome == "disputed":
            raise CpfDisputed if act.approved_by is not None else CommitThenRaise(CpfDisputed())
        if outcome == "moved" and two_to_move and act.approved_by is None:
            summary = f"Comprovar o CPF da pessoa {order.user_id}, que hoje está em outra conta"
            raise MustWait(0, summary, gains, None)
        return CpfProofOut.of(await person(tx, order.user_id))

    return Operation("identity.cpf_proof", CpfProofOrder, run, CLAIM, claim=CLAIM, changes=_changes)


async def _changes(tx: Tx, order: CpfProofOrder) -> list[OrderChange]:
    now = await person(tx, order.user_id)
    return [
        OrderChange("cpf", now.cpf and mask_cpf(now.cpf), mask_cpf(order.cpf)),
        OrderChange("cpf_state", now.cpf_state, "proven"),
    ]


async def carry_out(tx: Tx, desk: Desk, what: Operation[CpfProofOrder], order: CpfProofOrder, who: Principal) -> object:
    """Carry the operation out, or roll it back and store it as pending."""
    savepoint = await tx.begin_nested()
    try:
        return await desk.carry_out(tx, what, order, who)
    except MustWait as wait:
        await savepoint.rollback()
        return await desk.propose(tx, what, order, who.actor, summary=wait.summary, gains=wait.gains)
