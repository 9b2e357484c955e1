"""CPFs that two people proved, for the console: cases with their people, and the two ways to decide one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import aliased

from carteira.identity.errors import CpfDisputeNotFound
from carteira.identity.models import CpfDispute, User
from carteira.identity.proof.service import close_case, lock_case, version_of_case, withdraw
from carteira.kit.db.keyset import keyset
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.cpf import mask_cpf
from carteira.kit.values.ids import first_uuid7
from carteira.kit.web.access import Principal
from carteira.kit.web.pagination import Page, PageRequest
from carteira.kit.web.preconditions import UNCONDITIONAL, Precondition

_Holder, _Claimant = aliased(User), aliased(User)
_LOOK = "cpf_disputes_listed"
_ERASED = "conta apagada"
"""Stands for the name of an erased person, whose case stays until it is decided."""


@dataclass(frozen=True, slots=True)
class CpfDisputeView:
    """A case: who has the CPF (masked), who proved it too, and how it ended."""

    id: UUID
    holder_id: UUID
    holder: str
    claimant_id: UUID
    claimant: str
    cpf: str
    is_proven: bool
    """Whether the CPF is still proven to be its holder's."""
    proven_by: str
    created_at: datetime
    closed_at: datetime | None
    outcome: str | None

    @property
    def version(self) -> str:
        """Its version, which an operator must have seen to decide it."""
        return version_of_case(self.outcome, is_proven=self.is_proven)


@dataclass(frozen=True, slots=True)
class DisputeFilter:
    """Filters of cases; None: any."""

    is_open: bool | None = True
    proven_by: Literal["govbr", "operator"] | None = None
    since: datetime | None = None
    until: datetime | None = None


def _cases() -> Select[CpfDispute, str | None, str | None, datetime | None, str | None]:
    return (
        select(CpfDispute, _Holder.full_name, _Holder.cpf, _Holder.cpf_proven_at, _Claimant.full_name)
        .join(_Holder, _Holder.id == CpfDispute.holder_id)
        .join(_Claimant, _Claimant.id == CpfDispute.claimant_id)
    )


def _view(
    case: CpfDispute, holder: str | None, cpf: str | None, proven: datetime | None, claimant: str | None
) -> CpfDisputeView:
    return CpfDisputeView(
        case.id,
        case.holder_id,
        holder or _ERASED,
        case.claimant_id,
        claimant or _ERASED,
        mask_cpf(cpf) if cpf else "",
        proven is not None,
        case.proven_by,
        case.created_at,
        case.closed_at,
        case.outcome,
    )


async def disputes(tx: Tx, wanted: DisputeFilter, asked: PageRequest[UUID]) -> Page[CpfDisputeView]:
    """List cases, the oldest first or the other way round; looks at both people of each are recorded."""
    query = _cases()
    if wanted.is_open is not None:
        query = query.where(CpfDispute.closed_at.is_(None) if wanted.is_open else CpfDispute.closed_at.is_not(None))
    if wanted.proven_by is not None:
        query = query.where(CpfDispute.proven_by == wanted.proven_by)
    if wanted.since is not None:
        query = query.where(CpfDispute.id >= first_uuid7(wanted.since.timestamp()))
    if wanted.until is not None:
        query = query.where(CpfDispute.id < first_uuid7(wanted.until.timestamp()))
    query = keyset(query, CpfDispute.id, after=asked.after, limit=asked.limit + 1, turned=asked.turned)
    rows = [_view(*row) for row in await tx.execute(query)]
    page = asked.page(rows, lambda row: row.id)
    await audit.record_looks(tx, _LOOK, [person for row in page.items for person in (row.holder_id, row.claimant_id)])
    return page


async def dispute(tx: Tx, dispute_id: UUID) -> CpfDisputeView:
    """Return a case; the looks at both people are recorded.

    Raises:
        CpfDisputeNotFound: there is none.
    """
    row = (await tx.execute(_cases().where(CpfDispute.id == dispute_id))).one_or_none()
    if row is None:
        raise CpfDisputeNotFound
    found = _view(*row)
    await audit.record_looks(tx, _LOOK, [found.holder_id, found.claimant_id])
    return found


def count_disputes(operator: UUID) -> Select[int]:
    """Return the query that counts the open cases that an operator may decide: those that they are not in."""
    return select(func.count()).where(
        CpfDispute.closed_at.is_(None), CpfDispute.holder_id != operator, CpfDispute.claimant_id != operator
    )


async def keep(tx: Tx, who: Principal, dispute_id: UUID, seen: Precondition = UNCONDITIONAL) -> None:
    """Close a case and leave the CPF with its holder.

    Raises:
        CpfDisputeNotFound: there is no such case, or it is closed.
        RecordChanged: it is no longer what was seen.
        OwnCpfProof: the operator is one of the two.
    """
    await close_case(tx, dispute_id, actor=who.user_id, seen=seen)


async def withdraw_holders(tx: Tx, who: Principal, dispute_id: UUID, seen: Precondition = UNCONDITIONAL) -> None:
    """Withdraw the holder's proof, so that a new proof of the claimant moves the CPF, which closes the case.

    Raises:
        CpfDisputeNotFound: there is no such case, or it is closed.
        RecordChanged: it is no longer what was seen.
        CpfProofNotFound: the CPF is no longer proven to be the holder's.
        OwnCpfProof: the operator is one of the two.
    """
    row = await lock_case(tx, dispute_id, actor=who.user_id, seen=seen)
    await withdraw(tx, row.holder_id, actor=who.user_id)
