"""Roles and claims: a role is a label and the claims that it grants when it is given; routes check claims only.

Locks are taken in one order: a role, a person, then the lock for removals of administrators.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, exists, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from carteira.identity.errors import (
    ClaimIsFixed,
    ClaimNotFound,
    ClaimReserved,
    DescriptionTaken,
    RoleInUse,
    RoleIsFixed,
    RoleNotFound,
    UserNotFound,
)
from carteira.identity.models import Claim, Role, RoleClaim, User, UserClaim
from carteira.identity.roles.grants import (
    GRANTING,
    claims_of_role,
    keep_an_administrator,
    require_may_grant,
    require_not_above,
)
from carteira.identity.roles.shipped import ADMINISTRATOR, FIXED
from carteira.identity.sessions.standing import SELF_SERVICE, SessionStandings
from carteira.kit.db.session import Tx, locked
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.web.access import EVERY_CLAIM, Principal
from carteira.kit.web.pagination import CursorOf, Integer
from carteira.kit.web.preconditions import UNCONDITIONAL, Precondition, version_of


class NumberKey(NamedTuple):
    """The sort key of roles and claims."""

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
    built_in: bool


@dataclass(frozen=True, slots=True)
class WholeRoleView:
    """A role with the claims that it grants."""

    id: int
    description: str
    built_in: bool
    claims: list[ClaimView]

    @property
    def version(self) -> str:
        """The version of its name and its claims."""
        return version_of(self.description, sorted(claim.id for claim in self.claims))


async def id_of(tx: Tx, description: str) -> int:
    """Return a role's id by its description.

    Raises:
        RoleNotFound: there is no such role.
    """
    role_id = await tx.scalar(select(Role.id).where(Role.description == description))
    if role_id is None:
        raise RoleNotFound
    return role_id


async def require(tx: Tx, role_id: int) -> RoleView:
    """Return a role.

    Raises:
        RoleNotFound: there is no such role.
    """
    role = await tx.get(Role, role_id)
    if role is None:
        raise RoleNotFound
    return RoleView(role.id, role.description)


async def role_with_claims(tx: Tx, role_id: int) -> WholeRoleView:
    """Return a role with its claims.

    Raises:
        RoleNotFound: there is no such role.
    """
    role = await tx.get(Role, role_id)
    if role is None:
        raise RoleNotFound
    return (await _with_claims(tx, [role]))[0]


async def list_roles(tx: Tx, *, limit: int, after: NumberKey | None = None) -> list[WholeRoleView]:
    """Return the roles with their claims, by id."""
    rows = await tx.scalars(select(Role).where(Role.id > (after or _FIRST).id).order_by(Role.id).limit(limit))
    return await _with_claims(tx, rows.all())


async def _with_claims(tx: Tx, roles: Sequence[Role]) -> list[WholeRoleView]:
    rows = await tx.execute(
        select(RoleClaim.role_id, Claim)
        .join(Claim, Claim.id == RoleClaim.claim_id)
        .where(RoleClaim.role_id.in_([role.id for role in roles]))
        .order_by(Claim.id)
    )
    brought: dict[int, list[ClaimView]] = {role.id: [] for role in roles}
    for role_id, claim in rows:
        brought[role_id].append(_view(claim))
    return [WholeRoleView(role.id, role.description, role.built_in, brought[role.id]) for role in roles]


async def add_role(tx: Tx, who: Principal, description: str, claim_ids: Sequence[int]) -> WholeRoleView:
    """Add a role that grants some claims, all of which the caller holds.

    Raises:
        DescriptionTaken, ClaimNotFound, ClaimReserved, ClaimsBeyondYours.
    """
    require_may_grant(who, (await _named(tx, claim_ids)).values())
    role = Role(description=description)
    tx.add(role)
    await _flush(tx)
    await _insert_claims(tx, role.id, set(claim_ids))
    await audit.record(tx, "role_added", actor=who.id, role_id=role.id, claim_ids=sorted(set(claim_ids)))
    return await role_with_claims(tx, role.id)


async def rename_role(
    tx: Tx, who: Principal, role_id: int, description: str, seen: Precondition = UNCONDITIONAL
) -> WholeRoleView:
    """Rename a role.

    Raises:
        RoleNotFound, DescriptionTaken.
        RoleIsFixed: the product uses its name.
        RecordChanged: the role is no longer what was seen.
    """
    role = await _lock_role(tx, role_id)
    if seen.is_named:
        seen.hold((await role_with_claims(tx, role_id)).version)
    if role.description in FIXED and description != role.description:
        raise RoleIsFixed
    role.description = description
    await _flush(tx)
    await audit.record(tx, "role_renamed", actor=who.id, role_id=role_id)
    return await role_with_claims(tx, role_id)


async def set_claims_of_role(  # noqa: PLR0913, PLR0917 - the claims, their actor and the version that they saw
    tx: Tx,
    access: SessionStandings,
    who: Principal,
    role_id: int,
    claim_ids: Sequence[int],
    seen: Precondition = UNCONDITIONAL,
) -> WholeRoleView:
    """Set a role's claims, with immediate effect for all who have it; claims given to them directly stay.

    Raises:
        RoleNotFound, ClaimNotFound, ClaimReserved.
        ClaimsBeyondYours: the change adds or removes a claim that the caller does not hold.
        RoleIsFixed: the administrator's role would lose a claim of the product.
        RecordChanged: the role is no longer what was seen.
    """
    role = await _lock_role(tx, role_id)
    if seen.is_named:
        seen.hold((await role_with_claims(tx, role_id)).version)
    wanted = await _named(tx, claim_ids)
    now = {
        row.id: row
        for row in await tx.scalars(
            select(Claim).join(RoleClaim, RoleClaim.claim_id == Claim.id).where(RoleClaim.role_id == role_id)
        )
    }
    comes, goes = wanted.keys() - now.keys(), now.keys() - wanted.keys()
    require_may_grant(who, [wanted[claim_id] for claim_id in comes])
    require_may_grant(who, {now[claim_id].description for claim_id in goes} - {EVERY_CLAIM})
    if role.description == ADMINISTRATOR and any(now[claim_id].built_in for claim_id in goes):
        raise RoleIsFixed
    await _insert_claims(tx, role_id, comes)
    await tx.execute(delete(RoleClaim).where(RoleClaim.role_id == role_id, RoleClaim.claim_id.in_(goes)))
    having = select(User.id).where(User.role_id == role_id)
    await tx.execute(
        delete(UserClaim).where(UserClaim.from_role, UserClaim.claim_id.in_(goes), UserClaim.user_id.in_(having))
    )
    given = (
        select(User.id, Claim.id, literal(value=True))
        .join(Claim, Claim.id.in_(comes))
        .where(User.role_id == role_id, User.erased_at.is_(None))
    )
    columns = ["user_id", "claim_id", "from_role"]
    await tx.execute(insert(UserClaim).from_select(columns, given).on_conflict_do_nothing())
    access.changed_for_everyone(tx)
    await audit.record(
        tx, "role_changed", actor=who.id, role_id=role_id, claims_added=sorted(comes), claims_removed=sorted(goes)
    )
    return await role_with_claims(tx, role_id)


async def delete_role(tx: Tx, who: Principal, role_id: int) -> None:
    """Delete a role that nobody has.

    Raises:
        RoleNotFound.
        RoleIsFixed: the product uses its name.
        RoleInUse: a person has it.
    """
    role = await _lock_role(tx, role_id)
    if role.description in FIXED:
        raise RoleIsFixed
    if await tx.scalar(select(exists().where(User.role_id == role_id))):
        raise RoleInUse
    await tx.execute(delete(RoleClaim).where(RoleClaim.role_id == role_id))
    await tx.delete(role)
    await tx.flush()
    await audit.record(tx, "role_deleted", actor=who.id, role_id=role_id)


async def list_claims(tx: Tx, *, limit: int, after: NumberKey | None = None) -> list[ClaimView]:
    """Return the claims by id."""
    rows = await tx.scalars(select(Claim).where(Claim.id > (after or _FIRST).id).order_by(Claim.id).limit(limit))
    return [_view(row) for row in rows]


async def add_claim(tx: Tx, access: SessionStandings, who: Principal, description: str, *, active: bool) -> ClaimView:
    """Add a claim of the operator's own, for other systems; the caller holds it from then on, and may grant it.

    Raises:
        DescriptionTaken: there is one of this description.
        ClaimReserved: it would be called `*`.
    """
    if description == EVERY_CLAIM:
        raise ClaimReserved
    claim = Claim(description=description, active=active)
    tx.add(claim)
    await _flush(tx)
    holder = select(User.id, literal(claim.id)).where(User.id == who.id, User.erased_at.is_(None))
    await tx.execute(insert(UserClaim).from_select(["user_id", "claim_id"], holder))
    access.changed(tx, who.id)
    await audit.record(tx, "claim_added", actor=who.id, claim_id=claim.id)
    return _view(claim)


async def change_claim(  # noqa: PLR0913 - the change, its conditions and its actor
    tx: Tx,
    access: SessionStandings,
    who: Principal,
    claim_id: int,
    *,
    description: str | None,
    active: bool | None,
) -> ClaimView:
    """Rename an operator's own claim, or turn it on or off; once off, it grants nothing to anyone.

    Raises:
        ClaimNotFound, DescriptionTaken, ClaimReserved.
        ClaimIsFixed: the product uses its name, or nobody could grant anything without it.
        ClaimsBeyondYours: the caller does not hold it.
    """
    claim = await locked(tx, Claim, claim_id)
    if claim is None:
        raise ClaimNotFound
    if not await _holds(tx, who, claim):
        require_may_grant(who, [claim.description])
    if description is not None and description != claim.description:
        if claim.built_in:
            raise ClaimIsFixed
        if description == EVERY_CLAIM:
            raise ClaimReserved
        claim.description = description
    if active is not None:
        if claim.description == GRANTING and not active:
            raise ClaimIsFixed
        claim.active = active
    await _flush(tx)
    access.changed_for_everyone(tx)
    await audit.record(tx, "claim_changed", actor=who.id, claim_id=claim_id, active=claim.active)
    return _view(claim)


async def _holds(tx: Tx, who: Principal, claim: Claim) -> bool:
    """Return whether a person holds a claim, whether it is on or off."""
    if who.may(claim.description):
        return True
    held = select(exists().where(UserClaim.user_id == who.id, UserClaim.claim_id == claim.id))
    return not claim.active and bool(await tx.scalar(held))


def _view(claim: Claim) -> ClaimView:
    return ClaimView(claim.id, claim.description, claim.active, claim.built_in)


async def _flush(tx: Tx) -> None:
    try:
        await tx.flush()
    except IntegrityError as error:
        raise DescriptionTaken from error


async def _named(tx: Tx, claim_ids: Sequence[int]) -> dict[int, str]:
    """Return the names of some claims.

    Raises:
        ClaimNotFound: one of the ids is unknown.
    """
    rows = await tx.scalars(select(Claim).where(Claim.id.in_(set(claim_ids))))
    names = {row.id: row.description for row in rows}
    if names.keys() != set(claim_ids):
        raise ClaimNotFound
    return names


async def _insert_claims(tx: Tx, role_id: int, claim_ids: set[int]) -> None:
    if claim_ids:
        rows = [{"role_id": role_id, "claim_id": claim_id} for claim_id in claim_ids]
        await tx.execute(insert(RoleClaim), rows)


async def grant_of_role(tx: Tx, user_id: UUID, role_id: int) -> None:
    """Grant a person a role's claims, beside those given to them; the role is locked meanwhile."""
    await tx.execute(select(Role.id).where(Role.id == role_id).with_for_update(read=True))
    granted = select(RoleClaim.claim_id).where(RoleClaim.role_id == role_id)
    rows = [{"user_id": user_id, "claim_id": claim_id, "from_role": True} for claim_id in await tx.scalars(granted)]
    if rows:
        await tx.execute(insert(UserClaim).on_conflict_do_nothing(), rows)


async def _lock_role(tx: Tx, role_id: int) -> Role:
    role = await locked(tx, Role, role_id)
    if role is None:
        raise RoleNotFound
    return role


async def _lock_user(tx: Tx, user_id: UUID) -> User:
    user = await locked(tx, User, user_id)
    if user is None or user.erased_at is not None:
        raise UserNotFound
    return user


async def role_of(tx: Tx, user_id: UUID) -> RoleView:
    """Return a person's role.

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


async def give_role(  # noqa: PLR0913, PLR0917 - the role, the person, the actor and the version that they saw
    tx: Tx,
    access: SessionStandings,
    who: Principal,
    user_id: UUID,
    role_id: int,
    seen: Precondition = UNCONDITIONAL,
) -> RoleView:
    """Give a person a role, with immediate effect: the former role's claims are removed, this one's are granted.

    Raises:
        UserNotFound, RoleNotFound, ClaimReserved.
        ClaimsBeyondYours: the role grants, or the person holds, claims that the caller does not hold.
        LastAdministrator: the person is the last administrator, and would stop being one.
        RecordChanged: the person no longer has the role that was seen.
    """
    role = await require(tx, role_id)
    await tx.execute(select(Role.id).where(Role.id == role_id).with_for_update(read=True))
    user = await _lock_user(tx, user_id)
    seen.hold(str(user.role_id))
    await require_not_above(tx, who, user_id)
    require_may_grant(who, await claims_of_role(tx, role_id))
    if role.description != ADMINISTRATOR:
        await keep_an_administrator(tx, access, user_id)
    former = user.role_id
    await change_role(tx, user, role_id)
    access.changed(tx, user_id)
    await audit.record(tx, "role_given", actor=who.id, subject=user_id, role_id=role_id, former_role_id=former)
    return role


async def change_role(tx: Tx, user: User, role_id: int) -> None:
    """Replace a person's role and its claims."""
    user.role_id, user.updated_at = role_id, clock.now()
    await tx.flush()
    await tx.execute(delete(UserClaim).where(UserClaim.user_id == user.id, UserClaim.from_role))
    await grant_of_role(tx, user.id, role_id)


async def claims_of(tx: Tx, user_id: UUID) -> list[ClaimView]:
    """Return the claims that a person holds.

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
    return [_view(row) for row in rows]


async def grant_claims(
    tx: Tx, access: SessionStandings, who: Principal, user_id: UUID, claim_ids: Sequence[int]
) -> None:
    """Grant a person claims that the caller holds, beside those that they hold.

    Raises:
        UserNotFound, ClaimNotFound, ClaimReserved, ClaimsBeyondYours.
    """
    await _lock_user(tx, user_id)
    require_may_grant(who, (await _named(tx, claim_ids)).values())
    await _grant(tx, access, user_id, claim_ids, actor=who.id)


async def _grant(tx: Tx, access: SessionStandings, user_id: UUID, claim_ids: Sequence[int], *, actor: UUID) -> None:
    rows = [{"user_id": user_id, "claim_id": claim_id, "from_role": False} for claim_id in set(claim_ids)]
    if rows:
        statement = insert(UserClaim)
        await tx.execute(
            statement.on_conflict_do_update(index_elements=["user_id", "claim_id"], set_={"from_role": False}), rows
        )
    access.changed(tx, user_id)
    await audit.record(tx, "claims_given", actor=actor, subject=user_id, claim_ids=sorted(set(claim_ids)))


async def grant_self_service(tx: Tx, access: SessionStandings, user_id: UUID, description: str) -> None:
    """Give a person a self-service claim by its description; other modules call it (`reseller`).

    Raises:
        UserNotFound.
        ClaimNotFound: there is no such claim, or it is no self-service claim.
    """
    claim_id = await tx.scalar(select(Claim.id).where(Claim.description == description))
    if claim_id is None or description not in SELF_SERVICE:
        raise ClaimNotFound
    await _lock_user(tx, user_id)
    await _grant(tx, access, user_id, [claim_id], actor=user_id)


async def revoke_claims(
    tx: Tx, access: SessionStandings, who: Principal, user_id: UUID, *, claim_id: int | None = None
) -> None:
    """Take one claim from a person, or all of them.

    Raises:
        UserNotFound: there is no such person.
        ClaimNotFound: they do not hold it.
        ClaimsBeyondYours: they hold claims that the caller does not.
        LastAdministrator: they are the last administrator, and would stop being one.
    """
    await _lock_user(tx, user_id)
    await require_not_above(tx, who, user_id)
    granting = await tx.scalar(select(Claim.id).where(Claim.description == GRANTING))
    if claim_id in (None, granting):
        await keep_an_administrator(tx, access, user_id)
    query = delete(UserClaim).where(UserClaim.user_id == user_id)
    if claim_id is not None:
        query = query.where(UserClaim.claim_id == claim_id)
    gone = (await tx.scalars(query.returning(UserClaim.claim_id))).all()
    if claim_id is not None and not gone:
        raise ClaimNotFound
    access.changed(tx, user_id)
    await audit.record(tx, "claims_taken", actor=who.id, subject=user_id, claim_ids=sorted(gone))
