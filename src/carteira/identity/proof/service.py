"""The verbs of a CPF's proof: prove, withdraw, and what becomes of an account that the CPF leaves.

A CPF that was typed is the person's to see and to sign in by, and nothing else. A proven one opens what other modules
keep under it: they are handed `proven_cpf`. On proof the CPF goes to its person; the account that had it without proof
lives on without one, with its money, documents and sessions, and is told.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from carteira.identity.errors import (
    CpfDiffers,
    CpfDisputeNotFound,
    CpfNotProven,
    CpfProofNotFound,
    CpfTaken,
    OwnCpfProof,
    UserNotFound,
)
from carteira.identity.models import CpfDispute, SocialAccount, User
from carteira.identity.proof.metrics import cpf_proofs
from carteira.kit.db import jobs
from carteira.kit.db.session import Tx, locked
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7

ProvenBy = Literal["govbr", "operator", "demo"]
CpfFollower = Callable[[Tx, UUID, str | None], Awaitable[None]]
"""Follows a change of a person's CPF (None: they have none any more), in the transaction that changes it."""
CpfHeld = Literal["declared", "proven"]
"""How an account has a CPF."""
GOVBR: Final = "govbr"
_LOCK = 7_246_031
"""Advisory lock, with the CPF's hash: those who prove one CPF take turns."""


Outcome = Literal["proven", "moved", "disputed"]
"""What became of a proof; `moved` is proven, too."""


@dataclass(frozen=True, slots=True)
class CpfProof:
    """That a person was seen to be the one of a CPF.

    Attributes:
        cpf: Eleven digits.
        by: What tells it.
        prover: The operator who saw person and paper; None: no person did.
        paper: The kind of paper that the operator saw.
        approved_by: The second person, where one was asked.
    """

    cpf: str
    by: ProvenBy
    prover: UUID | None = None
    paper: str | None = None
    approved_by: UUID | None = None


async def proven_cpf(tx: Tx, user_id: UUID) -> str | None:
    """Return a person's CPF if it is proven to be theirs; None otherwise, or if they were erased."""
    return await tx.scalar(select(User.cpf).where(User.id == user_id, User.cpf_proven_at.is_not(None)))


async def insist_on_proof(tx: Tx, user_id: UUID) -> None:
    """Insist that a person's CPF is proven, where it has to be known for sure whose an operation is.

    Raises:
        CpfNotProven: it is not.
    """
    known = await tx.scalar(select(User.id).where(User.id == user_id))
    if known is not None and await proven_cpf(tx, user_id) is None:
        raise CpfNotProven(
            "Para aprovar o que é de um CPF, comprove o seu: entre com uma conta gov.br prata ou ouro, ou apresente um "
            "documento com foto a outro operador."
        )


async def proven_among(tx: Tx, user_ids: Collection[UUID]) -> frozenset[UUID]:
    """Return those of some people whose CPF is proven."""
    rows = await tx.scalars(select(User.id).where(User.id.in_(user_ids), User.cpf_proven_at.is_not(None)))
    return frozenset(rows)


async def held(tx: Tx, cpf: str) -> CpfHeld | None:
    """Return how the account that has a CPF has it; None: none does."""
    row = (await tx.execute(select(User.cpf_proven_at).where(User.cpf == cpf))).one_or_none()
    return None if row is None else "declared" if row.cpf_proven_at is None else "proven"


async def prove(tx: Tx, followers: Sequence[CpfFollower], user_id: UUID, proof: CpfProof) -> Outcome:
    """Write that a CPF is proven to be a person's, and take it from the account that had it without proof.

    Return `moved` where there was such an account; `disputed` where another person has proven it too: that is an
    operator's case from then on, and nobody is moved.

    Raises:
        UserNotFound: there is no such person, or they were erased.
        CpfDiffers: another CPF is proven to be theirs.
        CpfTaken: somebody registers with the CPF at this moment; ask again.
    """
    await tx.execute(select(func.pg_advisory_xact_lock(_LOCK, func.hashtext(proof.cpf))))
    query = select(User).where((User.id == user_id) | (User.cpf == proof.cpf)).order_by(User.id).with_for_update()
    rows = {row.id: row for row in await tx.scalars(query)}
    user = rows.pop(user_id, None)
    if user is None or user.erased_at is not None:
        raise UserNotFound
    if user.cpf_proven_at is not None:
        if user.cpf != proof.cpf:
            raise CpfDiffers
        audit.nothing_done()
        return "proven"
    holder = next(iter(rows.values()), None)
    if holder is not None and holder.cpf_proven_at is not None:
        await _open_case(tx, holder.id, user.id, proof)
        cpf_proofs.labels(proof.by, "disputed").inc()
        return "disputed"
    if holder is not None:
        await _leave(tx, followers, holder, to=user.id)
    before, now = user.cpf, clock.now()
    user.cpf, user.cpf_proven_at, user.cpf_proven_by = proof.cpf, now, proof.by
    user.cpf_moved_at, user.updated_at = None, now
    try:
        await tx.flush()
    except IntegrityError as error:
        raise CpfTaken from error
    if before != proof.cpf:
        await follow(tx, followers, user.id, proof.cpf)
    await _close_cases(tx, user.id)
    await _unlink_govbr(tx, user.id, but=proof.cpf)
    await audit.record(
        tx,
        "cpf_proven",
        actor=proof.prover or user.id,
        subject=user.id,
        by=proof.by,
        paper=proof.paper,
        approved_by=proof.approved_by,
        moved_from=str(holder.id) if holder else None,
    )
    if proof.by != "demo":
        await jobs.defer(tx, "identity:tell_cpf_proven", user_id=str(user.id))
    outcome: Outcome = "proven" if holder is None else "moved"
    cpf_proofs.labels(proof.by, outcome).inc()
    return outcome


async def follow(tx: Tx, followers: Sequence[CpfFollower], user_id: UUID, cpf: str | None) -> None:
    """Tell those who keep a person's CPF beside their own rows what it is now."""
    for follower in followers:
        await follower(tx, user_id, cpf)


async def _leave(tx: Tx, followers: Sequence[CpfFollower], holder: User, *, to: UUID) -> None:
    """Take a CPF out of the account that it is not proven in, and tell its person."""
    holder.cpf, holder.cpf_moved_at, holder.updated_at = None, clock.now(), clock.now()
    await tx.flush()
    await follow(tx, followers, holder.id, None)
    await audit.record(tx, "cpf_moved", actor=None, subject=holder.id, moved_to=str(to))
    await jobs.defer(tx, "identity:tell_cpf_moved", user_id=str(holder.id))


async def withdraw(tx: Tx, user_id: UUID, *, actor: UUID) -> None:
    """Take back that a CPF is proven; it stays in the account as one that was typed.

    Raises:
        OwnCpfProof: it is one's own.
        UserNotFound: there is no such person, or they were erased.
        CpfProofNotFound: it is not proven.
    """
    if actor == user_id:
        raise OwnCpfProof
    user = await locked(tx, User, user_id)
    if user is None or user.erased_at is not None:
        raise UserNotFound
    if user.cpf_proven_at is None:
        raise CpfProofNotFound
    await unprove(tx, user)
    await audit.record(tx, "cpf_proof_withdrawn", actor=actor, subject=user_id)


async def unprove(tx: Tx, user: User) -> None:
    """Make a person's CPF one that was typed; gov.br's account, which is the CPF's, signs in here no more."""
    user.cpf_proven_at = user.cpf_proven_by = None
    user.updated_at = clock.now()
    await tx.flush()
    await _unlink_govbr(tx, user.id)


async def _unlink_govbr(tx: Tx, user_id: UUID, *, but: str = "") -> None:
    """Let gov.br's accounts of other CPFs than one sign in no more."""
    mine = (SocialAccount.user_id == user_id, SocialAccount.provider == GOVBR, SocialAccount.subject != but)
    await tx.execute(delete(SocialAccount).where(*mine))


async def _open_case(tx: Tx, holder_id: UUID, claimant_id: UUID, proof: CpfProof) -> None:
    opened = await tx.scalar(
        insert(CpfDispute)
        .values(id=uuid7(), holder_id=holder_id, claimant_id=claimant_id, proven_by=proof.by, created_at=clock.now())
        .on_conflict_do_nothing(index_elements=["holder_id", "claimant_id"])
        .returning(CpfDispute.id)
    )
    if opened is None:
        audit.nothing_done()
    else:
        await audit.record(
            tx, "cpf_disputed", actor=proof.prover or claimant_id, subject=holder_id, case=str(opened), by=proof.by
        )


async def _close_cases(tx: Tx, claimant_id: UUID) -> None:
    await tx.execute(
        update(CpfDispute)
        .where(CpfDispute.claimant_id == claimant_id, CpfDispute.closed_at.is_(None))
        .values(closed_at=clock.now(), outcome="moved")
    )


async def cases(tx: Tx, *, limit: int, after: UUID | None = None) -> Sequence[CpfDispute]:
    """List the open cases of two who both proved a CPF, oldest first."""
    query = select(CpfDispute).where(CpfDispute.closed_at.is_(None)).order_by(CpfDispute.id).limit(limit)
    if after is not None:
        query = query.where(CpfDispute.id > after)
    return (await tx.scalars(query)).all()


async def close_case(tx: Tx, case_id: UUID, *, actor: UUID) -> None:
    """Close a case where the CPF stays with whom it is; to move it, withdraw the one proof and write the other.

    Raises:
        CpfDisputeNotFound: there is none, or it is closed.
        OwnCpfProof: the operator is one of the two.
    """
    row = await locked(tx, CpfDispute, case_id)
    if row is None or row.closed_at is not None:
        raise CpfDisputeNotFound
    if actor in {row.holder_id, row.claimant_id}:
        raise OwnCpfProof
    row.closed_at, row.outcome = clock.now(), "kept"
    await tx.flush()
    await audit.record(tx, "cpf_dispute_closed", actor=actor, subject=row.claimant_id, case=str(row.id))
