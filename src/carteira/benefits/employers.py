"""Employers: each benefit account belongs to one; bound operators and clients see only their employers' things.

Being bound is permanent: without an employer left they see nothing, until they are bound again or released by an
administrator. People who were never bound (an administrator, a person with their own account) are not limited.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import delete, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from carteira import identity
from carteira.benefits.errors import (
    CnpjTaken,
    EmployerNotFound,
    EmployerRequired,
    MemberNotFound,
    OwnBinding,
)
from carteira.benefits.models import FIRST_EMPLOYER, Employer, EmployerMember
from carteira.kit.db.keyset import keyset
from carteira.kit.db.session import Tx, locked
from carteira.kit.security import audit
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.web.access import Bindings, Principal
from carteira.kit.web.preconditions import UNCONDITIONAL, Precondition, version_of

CLAIMS = frozenset(
    {
        "benefits:fund",
        "benefits:read",
        "benefits:write",
        "lists:export",
        "money:approve",
        "webhooks:read",
        "webhooks:write",
    }
)
"""The claims that take effect for bound people and clients; others do not while they are bound."""


class Reach(NamedTuple):
    """The employers whose accounts a caller reaches by claim."""

    employers: frozenset[UUID] | None
    """None: all employers."""

    def includes(self, employer_id: UUID) -> bool:
        """Return whether an employer is within reach."""
        return self.employers is None or employer_id in self.employers


EVERYBODYS = Reach(None)


@dataclass(frozen=True, slots=True)
class EmployerView:
    """An employer."""

    id: UUID
    cnpj: str | None
    name: str
    prefunded: bool
    created_at: datetime

    @property
    def version(self) -> str:
        """The version of what may change of it."""
        return version_of(self.cnpj, self.name, self.prefunded)


@dataclass(frozen=True, slots=True)
class MemberView:
    """An operator or a client that is bound to an employer."""

    id: UUID
    kind: Literal["person", "client"]
    bound_at: datetime


def _view(row: Employer) -> EmployerView:
    return EmployerView(row.id, row.cnpj, row.name, row.prefunded, row.created_at)


async def bound_to(tx: Tx, member_id: UUID) -> frozenset[UUID] | None:
    """Return the employers that a person or client is bound to; None if they never were."""
    rows = (
        await tx.execute(
            select(EmployerMember.employer_id, EmployerMember.ended_at).where(EmployerMember.member_id == member_id)
        )
    ).all()
    return frozenset(row.employer_id for row in rows if row.ended_at is None) if rows else None


BINDINGS = Bindings(bound_to, CLAIMS)


async def reach_of(tx: Tx, actor: Actor) -> Reach:
    """Return the employers whose accounts an actor reaches by claim; for jobs, commands and the processor all."""
    if actor.kind not in {"person", "client"}:
        return EVERYBODYS
    return Reach(await bound_to(tx, UUID(actor.id)))


async def reads(tx: Tx, who: Principal, employer_id: UUID) -> bool:
    """Return whether a caller may read the benefits of an employer's accounts."""
    return who.may("benefits:read") and (await reach_of(tx, who.actor)).includes(employer_id)


async def chosen_for_opening(tx: Tx, actor: Actor, asked: UUID | None) -> UUID:
    """Lock and return the employer that an account is opened for.

    Raises:
        EmployerNotFound: there is none, or it is not the actor's.
        EmployerRequired: the actor is bound to several, and none was named.
    """
    reach = await reach_of(tx, actor)
    if asked is None:
        if reach.employers is None:
            return FIRST_EMPLOYER
        if len(reach.employers) > 1:
            raise EmployerRequired
        [asked] = reach.employers or [None]
    if asked is None or not reach.includes(asked) or await tx.get(Employer, asked) is None:
        raise EmployerNotFound
    return asked


async def listed(  # noqa: PLR0913 - filters and the place in the list
    tx: Tx,
    who: Principal,
    *,
    limit: int,
    after: UUID | None = None,
    turned: bool = False,
    named: str | None = None,
) -> list[EmployerView]:
    """Return the employers that a caller may see, oldest first; `named` is a part of the name, or the CNPJ."""
    reach = await reach_of(tx, who.actor)
    query = select(Employer)
    if named is not None:
        cnpj = re.sub(r"[^0-9A-Z]", "", named.upper())
        query = query.where(or_(Employer.name.icontains(named, autoescape=True), Employer.cnpj == cnpj))
    if reach.employers is not None:
        query = query.where(Employer.id.in_(reach.employers))
    query = keyset(query, Employer.id, after=after, limit=limit, turned=turned)
    return [_view(row) for row in await tx.scalars(query)]


async def find(tx: Tx, who: Principal, employer_id: UUID) -> EmployerView:
    """Return an employer.

    Raises:
        EmployerNotFound: there is none, or it is not theirs.
    """
    row = await tx.get(Employer, employer_id)
    if row is None or not (await reach_of(tx, who.actor)).includes(employer_id):
        raise EmployerNotFound
    return _view(row)


async def add(tx: Tx, *, cnpj: str, name: str, prefunded: bool, employer_id: UUID | None = None) -> EmployerView:
    """Add an employer.

    Raises:
        CnpjTaken: there is one of this CNPJ.
    """
    row = Employer(id=employer_id or uuid7(), cnpj=cnpj, name=name, prefunded=prefunded, created_at=clock.now())
    tx.add(row)
    await _flush(tx)
    await audit.record(tx, "employer_added", subject=row.id)
    return _view(row)


async def seed(tx: Tx, employer_id: UUID, *, cnpj: str, name: str) -> UUID:
    """Add a demo employer, or name the first one, and return its id; existing CNPJs are kept."""
    there = await tx.scalar(select(Employer.id).where(Employer.cnpj == cnpj))
    if there is not None:
        return there
    row = await tx.get(Employer, employer_id)
    if row is None:
        await add(tx, cnpj=cnpj, name=name, prefunded=False, employer_id=employer_id)
    elif row.cnpj is None:
        await change(tx, employer_id, {"cnpj": cnpj, "name": name})
    return employer_id


async def seed_member(tx: Tx, employer_id: UUID, person_id: UUID, *, bound_by: UUID) -> None:
    """Bind a demo person to an employer, unless they were bound before or erased."""
    if await identity.kind_of(tx, person_id) is None or await bound_to(tx, person_id) is not None:
        return
    row = EmployerMember(
        employer_id=employer_id, member_id=person_id, member_kind="person", bound_at=clock.now(), bound_by=bound_by
    )
    tx.add(row)
    await tx.flush()
    await audit.record(
        tx, "employer_member_bound", actor=Actor("command", "seed"), subject=person_id, employer=str(employer_id)
    )


async def change(
    tx: Tx, employer_id: UUID, changes: Mapping[str, Any], seen: Precondition = UNCONDITIONAL
) -> EmployerView:
    """Change an employer's CNPJ, its name, and whether it is pre-funded.

    Raises:
        EmployerNotFound, CnpjTaken.
        RecordChanged: the employer is no longer what was seen.
    """
    row = await locked(tx, Employer, employer_id)
    if row is None:
        raise EmployerNotFound
    seen.hold(_view(row).version)
    for name, value in changes.items():
        setattr(row, name, value)
    await _flush(tx)
    await audit.record(tx, "employer_changed", subject=employer_id, fields=sorted(changes))
    return _view(row)


async def _flush(tx: Tx) -> None:
    try:
        await tx.flush()
    except IntegrityError as error:
        raise CnpjTaken from error


async def members(tx: Tx, employer_id: UUID, *, limit: int, after: UUID | None = None) -> list[MemberView]:
    """Return the members of an employer, by id.

    Raises:
        EmployerNotFound: there is no such employer.
    """
    if await tx.get(Employer, employer_id) is None:
        raise EmployerNotFound
    query = (
        select(EmployerMember)
        .where(EmployerMember.employer_id == employer_id, EmployerMember.ended_at.is_(None))
        .order_by(EmployerMember.member_id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(EmployerMember.member_id > after)
    return [MemberView(row.member_id, row.member_kind, row.bound_at) for row in await tx.scalars(query)]


async def bind(
    tx: Tx, access: identity.SessionStandings, who: Principal, employer_id: UUID, member_id: UUID
) -> MemberView:
    """Bind an operator or a client to an employer, with immediate effect on their sessions and tokens.

    Raises:
        EmployerNotFound, MemberNotFound.
        OwnBinding: nobody binds themselves, nor through a client.
        ClaimsBeyondYours: the member holds more than the caller, and would lose it.
        LastAdministrator: no administrator would be left.
    """
    if await identity.is_own(tx, who, member_id):
        raise OwnBinding
    if await locked(tx, Employer, employer_id) is None:
        raise EmployerNotFound
    kind = await identity.kind_of(tx, member_id)
    if kind is None:
        raise MemberNotFound
    await _require_not_above(tx, who, kind, member_id)
    if kind == "person":
        await identity.keep_an_administrator(tx, access, member_id)
    fresh = {"member_kind": kind, "bound_at": clock.now(), "bound_by": who.id, "ended_at": None}
    await tx.execute(
        insert(EmployerMember)
        .values(employer_id=employer_id, member_id=member_id, **fresh)
        .on_conflict_do_update(
            index_elements=["employer_id", "member_id"], set_=fresh, where=EmployerMember.ended_at.is_not(None)
        )
    )
    access.changed(tx, member_id)
    await audit.record(tx, "employer_member_bound", subject=member_id, employer=str(employer_id))
    row = await tx.get_one(EmployerMember, (employer_id, member_id), populate_existing=True)
    return MemberView(row.member_id, row.member_kind, row.bound_at)


async def _require_not_above(tx: Tx, who: Principal, kind: Literal["person", "client"], member_id: UUID) -> None:
    """Require that a member holds no claim that the caller lacks: a binding suspends it, and a release restores it.

    Raises:
        ClaimsBeyondYours, SecondFactorRequired.
    """
    if kind == "person":
        await identity.require_not_above(tx, who, member_id)
    else:
        await identity.require_client_not_above(tx, who, member_id)


async def unbind(  # noqa: PLR0913 - a binding, its actor and the way it ends
    tx: Tx,
    access: identity.SessionStandings,
    who: Principal,
    employer_id: UUID,
    member_id: UUID,
    *,
    release: bool,
) -> None:
    """End a binding, at once. `release` deletes it: after the last one its member is no longer bound.

    Raises:
        MemberNotFound: the id is not bound to such an employer, or, to release, never was.
        OwnBinding: nobody ends their own, nor through a client.
        ClaimsBeyondYours: the member holds more than the caller.
    """
    row = await locked(tx, EmployerMember, (employer_id, member_id))
    if row is None or (row.ended_at is not None and not release):
        raise MemberNotFound
    if await identity.is_own(tx, who, member_id):
        raise OwnBinding
    await _require_not_above(tx, who, row.member_kind, member_id)
    if release:
        await tx.delete(row)
    else:
        row.ended_at = clock.now()
    await tx.flush()
    access.changed(tx, member_id)
    await audit.record(tx, "employer_member_unbound", subject=member_id, employer=str(employer_id), released=release)


async def forget_member(tx: Tx, user_id: UUID) -> None:
    """Delete the bindings of a person who is erased."""
    await tx.execute(delete(EmployerMember).where(EmployerMember.member_id == user_id))
