"""Roles and claims: a role is a label and the claims that it grants when it is given; endpoints check claims only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from carteira.identity.errors import ClaimNotFound, DescriptionTaken, RoleNotFound, UserNotFound
from carteira.identity.models import Claim, Role, RoleClaim, User, UserClaim
from carteira.identity.sessions.standing import SessionStandings
from carteira.kit.db.session import Tx, locked
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.web.pagination import CursorOf, Integer


class NumberKey(NamedTuple):
    """What roles and claims are sorted by."""

    id: Integer


BY_NUMBER = CursorOf(NumberKey)
_FIRST = NumberKey(0)


@dataclass(frozen=True, slots=True)
class RoleView:
    """A role."""

    id: int
    description: str


@dataclass(frozen=True, slots=True)
class ClaimView:
    """A claim."""

    id: int
    description: str
    active: bool


async def id_of(tx: Tx, description: str) -> int:
    """Give a role's id by its description.

    Raises:
        RoleNotFound: there is no such role.
    """
    role_id = await tx.scalar(select(Role.id).where(Role.description == description))
    if role_id is None:
        raise RoleNotFound
    return role_id


async def require(tx: Tx, role_id: int) -> RoleView:
    """Give a role.

    Raises:
        RoleNotFound: there is no such role.
    """
    role = await tx.get(Role, role_id)
    if role is None:
        raise RoleNotFound
    return RoleView(role.id, role.description)


async def list_roles(tx: Tx, *, limit: int, after: NumberKey | None = None) -> list[RoleView]:
    """Give the roles by id."""
    rows = await tx.scalars(select(Role).where(Role.id > (after or _FIRST).id).order_by(Role.id).limit(limit))
    return [RoleView(row.id, row.description) for row in rows]


async def add_role(tx: Tx, description: str, claim_ids: Sequence[int], *, actor: UUID) -> RoleView:
    """Add a role that grants some claims.

    Raises:
        DescriptionTaken, ClaimNotFound.
    """
    await _all_known(tx, claim_ids)
    role = Role(description=description)
    tx.add(role)
    await _flush(tx)
    if claim_ids:
        await tx.execute(insert(RoleClaim), [{"role_id": role.id, "claim_id": claim_id} for claim_id in set(claim_ids)])
    await audit.record(tx, "role_added", actor=actor, role_id=role.id, claim_ids=sorted(set(claim_ids)))
    return RoleView(role.id, role.description)


async def list_claims(tx: Tx, *, limit: int, after: NumberKey | None = None) -> list[ClaimView]:
    """Give the claims by id."""
    rows = await tx.scalars(select(Claim).where(Claim.id > (after or _FIRST).id).order_by(Claim.id).limit(limit))
    return [ClaimView(row.id, row.description, row.active) for row in rows]


async def add_claim(tx: Tx, description: str, *, active: bool, actor: UUID) -> ClaimView:
    """Add a claim.

    Raises:
        DescriptionTaken: there is one of this description.
    """
    claim = Claim(description=description, active=active)
    tx.add(claim)
    await _flush(tx)
    await audit.record(tx, "claim_added", actor=actor, claim_id=claim.id)
    return ClaimView(claim.id, claim.description, claim.active)


async def change_claim(  # noqa: PLR0913 - what may change, and who changes it
    tx: Tx, access: SessionStandings, claim_id: int, *, description: str | None, active: bool | None, actor: UUID
) -> ClaimView:
    """Rename a claim or turn it on or off; one that is off grants nothing, to anyone, at once.

    Raises:
        ClaimNotFound, DescriptionTaken.
    """
    claim = await tx.get(Claim, claim_id, with_for_update=True)
    if claim is None:
        raise ClaimNotFound
    if description is not None:
        claim.description = description
    if active is not None:
        claim.active = active
    await _flush(tx)
    access.changed_for_everyone(tx)
    await audit.record(tx, "claim_changed", actor=actor, claim_id=claim_id, active=claim.active)
    return ClaimView(claim.id, claim.description, claim.active)


async def _flush(tx: Tx) -> None:
    try:
        await tx.flush()
    except IntegrityError as error:
        raise DescriptionTaken from error


async def _all_known(tx: Tx, claim_ids: Sequence[int]) -> None:
    known = await tx.scalars(select(Claim.id).where(Claim.id.in_(set(claim_ids))))
    if set(known) != set(claim_ids):
        raise ClaimNotFound


async def grant_of_role(tx: Tx, user_id: UUID, role_id: int) -> None:
    """Give a person what a role grants, beside what was given to them."""
    granted = select(RoleClaim.claim_id).where(RoleClaim.role_id == role_id)
    rows = [{"user_id": user_id, "claim_id": claim_id, "from_role": True} for claim_id in await tx.scalars(granted)]
    if rows:
        await tx.execute(insert(UserClaim).on_conflict_do_nothing(), rows)


async def _lock_user(tx: Tx, user_id: UUID) -> User:
    user = await locked(tx, User, user_id)
    if user is None or user.erased_at is not None:
        raise UserNotFound
    return user


async def role_of(tx: Tx, user_id: UUID) -> RoleView:
    """Give a person's role.

    Raises:
        UserNotFound: there is no such person.
    """
    row = (
        await tx.execute(
            select(Role.id, Role.description)
            .join(User, User.role_id == Role.id)
            .where(User.id == user_id, User.erased_at.is_(None))
        )
    ).one_or_none()
    if row is None:
        raise UserNotFound
    return RoleView(*row)


async def give_role(tx: Tx, access: SessionStandings, user_id: UUID, role_id: int, *, actor: UUID) -> RoleView:
    """Give a person a role: what the former one granted goes, what this one grants comes, at once.

    Raises:
        UserNotFound, RoleNotFound.
    """
    user = await _lock_user(tx, user_id)
    role = await require(tx, role_id)
    former = user.role_id
    user.role_id, user.updated_at = role_id, clock.now()
    await tx.flush()
    await tx.execute(delete(UserClaim).where(UserClaim.user_id == user_id, UserClaim.from_role))
    await grant_of_role(tx, user_id, role_id)
    access.changed(tx, user_id)
    await audit.record(tx, "role_given", actor=actor, subject=user_id, role_id=role_id, former_role_id=former)
    return role


async def claims_of(tx: Tx, user_id: UUID) -> list[ClaimView]:
    """Give the claims that a person holds.

    Raises:
        UserNotFound: there is no such person.
    """
    if await tx.scalar(select(User.id).where(User.id == user_id, User.erased_at.is_(None))) is None:
        raise UserNotFound
    rows = await tx.scalars(
        select(Claim)
        .join(UserClaim, UserClaim.claim_id == Claim.id)
        .where(UserClaim.user_id == user_id)
        .order_by(Claim.id)
    )
    return [ClaimView(row.id, row.description, row.active) for row in rows]


async def give_claims(
    tx: Tx, access: SessionStandings, user_id: UUID, claim_ids: Sequence[int], *, actor: UUID
) -> None:
    """Give a person claims, beside those that they hold.

    Raises:
        UserNotFound, ClaimNotFound.
    """
    await _lock_user(tx, user_id)
    await _all_known(tx, claim_ids)
    rows = [{"user_id": user_id, "claim_id": claim_id, "from_role": False} for claim_id in set(claim_ids)]
    if rows:
        statement = insert(UserClaim)
        await tx.execute(
            statement.on_conflict_do_update(index_elements=["user_id", "claim_id"], set_={"from_role": False}), rows
        )
    access.changed(tx, user_id)
    await audit.record(tx, "claims_given", actor=actor, subject=user_id, claim_ids=sorted(set(claim_ids)))


async def grant_claim(tx: Tx, access: SessionStandings, user_id: UUID, description: str, *, actor: UUID) -> None:
    """Give a person one claim by its description, as other modules do (`reseller`).

    Raises:
        UserNotFound, ClaimNotFound.
    """
    claim_id = await tx.scalar(select(Claim.id).where(Claim.description == description))
    if claim_id is None:
        raise ClaimNotFound
    await give_claims(tx, access, user_id, [claim_id], actor=actor)


async def take_claims(
    tx: Tx, access: SessionStandings, user_id: UUID, *, actor: UUID, claim_id: int | None = None
) -> None:
    """Take one claim from a person, or all of them.

    Raises:
        UserNotFound: there is no such person.
        ClaimNotFound: they do not hold it.
    """
    await _lock_user(tx, user_id)
    query = delete(UserClaim).where(UserClaim.user_id == user_id)
    if claim_id is not None:
        query = query.where(UserClaim.claim_id == claim_id)
    gone = (await tx.scalars(query.returning(UserClaim.claim_id))).all()
    if claim_id is not None and not gone:
        raise ClaimNotFound
    access.changed(tx, user_id)
    await audit.record(tx, "claims_taken", actor=actor, subject=user_id, claim_ids=sorted(gone))
