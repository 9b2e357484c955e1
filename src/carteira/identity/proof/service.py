"""The verbs of a CPF's proof: prove, withdraw, and move a CPF between accounts.

With a declared CPF the person can only see it and sign in by it. A proven one gives access to what other modules keep
under it: they call `proven_cpf`. A proof moves the CPF to its person; an account that had only declared it goes on
without one, with its money, documents and sessions, and its person is notified.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
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
from carteira.kit.db.session import Tx, locked, locked_one
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.web.preconditions import UNCONDITIONAL, Precondition, version_of

ProvenBy = Literal["govbr", "operator", "demo"]
CpfFollower = Callable[[Tx, UUID, str | None], Awaitable[None]]
"""Called with a person's changed CPF (None: they have none any more), in the transaction that changes it."""
CpfHeld = Literal["declared", "proven"]
"""The account that has a CPF, and whether it is proven there."""
GOVBR: Final = "govbr"
_LOCK = 7_246_031
"""Advisory lock, with the CPF's hash: proofs of one CPF run one after the other."""


Outcome = Literal["proven", "moved", "disputed"]
"""The outcome of a proof; `moved` is proven too."""


@dataclass(frozen=True, slots=True)
class CpfProof:
    """The proof that a CPF is a person's.

    Attributes:
        cpf: Eleven digits.
        by: The kind of proof.
        prover: The operator who saw person and paper; None: there was none.
        paper: The kind of paper that the operator saw.
        approved_by: The second person, if there was one.
    """

    cpf: str
    by: ProvenBy
    prover: UUID | None = None
    paper: str | None = None
    approved_by: UUID | None = None


async def proven_cpf(tx: Tx, user_id: UUID) -> str | None:
    """Return a person's CPF if it is proven to be theirs; None otherwise, or if they were erased."""
    return await tx.scalar(select(User.cpf).where(User.id == user_id, User.cpf_proven_at.is_not(None)))


async def require_proof(tx: Tx, user_id: UUID) -> None:
    """Require that a person's CPF is proven, where an operation must be certain who acts.

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
    """Return the people among some whose CPF is proven."""
    rows = await tx.scalars(select(User.id).where(User.id.in_(user_ids), User.cpf_proven_at.is_not(None)))
    return frozenset(rows)


async def held(tx: Tx, cpf: str) -> CpfHeld | None:
    """Return the account that has a CPF, and whether it is proven there; None: there is none."""
    row = (await tx.execute(select(User.cpf_proven_at).where(User.cpf == cpf))).one_or_none()
    return None if row is None else "declared" if row.cpf_proven_at is None else "proven"


async def prove(tx: Tx, followers: Sequence[CpfFollower], user_id: UUID, proof: CpfProof) -> Outcome:
    """Record that a CPF is proven to be a person's, and take it from an account that only declared it.

    Returns `moved` if there was such an account; `disputed` if another person has proven it too: then it becomes a case
    for an operator and the CPF is not moved.

    Raises:
        UserNotFound: there is no such person, or they were erased.
        CpfDiffers: another CPF is proven to be theirs.
        CpfTaken: somebody is registering with the CPF at this moment; try again.
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
        await _remove_cpf(tx, followers, holder, to=user.id)
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
    """Pass a person's new CPF to the modules that store it beside their own rows."""
    for follower in followers:
        await follower(tx, user_id, cpf)


async def _remove_cpf(tx: Tx, followers: Sequence[CpfFollower], holder: User, *, to: UUID) -> None:
    """Remove a CPF from the account that only declared it, and notify its person."""
    holder.cpf, holder.cpf_moved_at, holder.updated_at = None, clock.now(), clock.now()
    await tx.flush()
    await follow(tx, followers, holder.id, None)
    await audit.record(tx, "cpf_moved", actor=None, subject=holder.id, moved_to=str(to))
    await jobs.defer(tx, "identity:tell_cpf_moved", user_id=str(holder.id))


def version_of_proof(proven_at: datetime | None) -> str:
    """Return the version of a proof: when it was recorded."""
    return version_of(proven_at)


async def withdraw(tx: Tx, user_id: UUID, *, actor: UUID, seen: Precondition = UNCONDITIONAL) -> None:
    """Withdraw the proof of a CPF; the account keeps it as declared.

    Raises:
        OwnCpfProof: it is the operator's own.
        UserNotFound: there is no such person, or they were erased.
        RecordChanged: another proof was recorded, or this one withdrawn, since it was shown.
        CpfProofNotFound: it is not proven.
    """
    if actor == user_id:
        raise OwnCpfProof
    user = await locked(tx, User, user_id)
    if user is None or user.erased_at is not None:
        raise UserNotFound
    seen.hold(version_of_proof(user.cpf_proven_at))
    if user.cpf_proven_at is None:
        raise CpfProofNotFound
    await unprove(tx, user)
    await audit.record(tx, "cpf_proof_withdrawn", actor=actor, subject=user_id)


async def unprove(tx: Tx, user: User) -> None:
    """Make a person's CPF a declared one; the linked gov.br account, which belongs to the CPF, no longer signs in."""
    user.cpf_proven_at = user.cpf_proven_by = None
    user.updated_at = clock.now()
    await tx.flush()
    await _unlink_govbr(tx, user.id)


async def _unlink_govbr(tx: Tx, user_id: UUID, *, but: str = "") -> None:
    """Unlink gov.br accounts of other CPFs than the given one."""
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
    """List the open cases of CPFs that two people proved, oldest first."""
    query = select(CpfDispute).where(CpfDispute.closed_at.is_(None)).order_by(CpfDispute.id).limit(limit)
    if after is not None:
        query = query.where(CpfDispute.id > after)
    return (await tx.scalars(query)).all()


def version_of_case(outcome: str | None, *, is_proven: bool) -> str:
    """Return the version of a case: whether it is decided, and whether the holder's proof is valid."""
    return f"{outcome or 'open'}-{'proven' if is_proven else 'withdrawn'}"


async def lock_case(tx: Tx, case_id: UUID, *, actor: UUID, seen: Precondition = UNCONDITIONAL) -> CpfDispute:
    """Lock an open case's people and then the case, in the order of a proof, which locks them and closes the case.

    Raises:
        CpfDisputeNotFound: there is no such case, or it is closed.
        RecordChanged: it was decided, or the holder's proof changed, since it was shown.
        OwnCpfProof: the operator is one of the two.
    """
    people = (
        await tx.execute(select(CpfDispute.holder_id, CpfDispute.claimant_id).where(CpfDispute.id == case_id))
    ).one_or_none()
    if people is None:
        raise CpfDisputeNotFound
    query = select(User).where(User.id.in_(people)).order_by(User.id).with_for_update()
    users = {user.id: user for user in await tx.scalars(query, execution_options={"populate_existing": True})}
    row = await locked_one(tx, CpfDispute, case_id)
    seen.hold(version_of_case(row.outcome, is_proven=users[row.holder_id].cpf_proven_at is not None))
    if row.closed_at is not None:
        raise CpfDisputeNotFound
    if actor in people:
        raise OwnCpfProof
    return row


async def close_case(tx: Tx, case_id: UUID, *, actor: UUID, seen: Precondition = UNCONDITIONAL) -> None:
    """Close a case and leave the CPF where it is; to move it, withdraw the one proof and record the other.

    Raises:
        CpfDisputeNotFound: there is no such case, or it is closed.
        RecordChanged: it was decided, or the holder's proof changed, since it was shown.
        OwnCpfProof: the operator is one of the two.
    """
    row = await lock_case(tx, case_id, actor=actor, seen=seen)
    row.closed_at, row.outcome = clock.now(), "kept"
    await tx.flush()
    await audit.record(tx, "cpf_dispute_closed", actor=actor, subject=row.claimant_id, case=str(row.id))
