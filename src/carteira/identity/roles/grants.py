"""Rules of granting: nobody grants what they do not hold, nor acts on people who hold more; one administrator stays.

Self-service claims are exempt: anybody may take them on. `*`, which stands for every claim, is never granted: only a
developer's token carries it.
"""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, or_, select

from carteira.identity.errors import ClaimReserved, ClaimsBeyondYours, LastAdministrator
from carteira.identity.models import Claim, Passkey, Role, RoleClaim, SocialAccount, User, UserClaim
from carteira.identity.roles.holding import held
from carteira.identity.roles.shipped import ADMINISTRATOR
from carteira.identity.sessions.standing import SELF_SERVICE, SessionStandings
from carteira.kit.db.session import Tx
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.web.access import EVERY_CLAIM, Principal

GRANTING = "users:write"
"""The claim for granting: a person with the administrator's role and this claim is an administrator."""
_TURN = 7_120_001
"""The advisory lock that serialises removals of administrators."""


def require_may_grant(who: Principal, claims: Collection[str]) -> None:
    """Require that a caller holds every claim that they are about to grant.

    Raises:
        ClaimReserved: one of them is `*`.
        ClaimsBeyondYours: the caller lacks some of the claims; the error names these.
        SecondFactorRequired: the caller holds all claims, but the session lacks a second factor.
    """
    if EVERY_CLAIM in claims:
        raise ClaimReserved
    lacking = sorted(claim for claim in set(claims) - SELF_SERVICE if not who.may(claim))
    for claim in lacking:
        if claim in who.withheld:
            who.require(claim)
    if lacking:
        raise ClaimsBeyondYours(lacking)


async def require_may_grant_role(tx: Tx, who: Principal, role_id: int) -> None:
    """Require that a caller holds every claim of a role, and has a recent sign-in if it has any.

    Raises:
        ClaimReserved, ClaimsBeyondYours, SecondFactorRequired, RecentSignInRequired.
    """
    brought = await claims_of_role(tx, role_id)
    require_may_grant(who, brought)
    if brought:
        who.require_step_up()


async def claims_of_role(tx: Tx, role_id: int) -> set[str]:
    """Return the claims that a role grants."""
    rows = await tx.scalars(
        select(Claim.description).join(RoleClaim, RoleClaim.claim_id == Claim.id).where(RoleClaim.role_id == role_id)
    )
    return set(rows)


async def require_not_above(tx: Tx, who: Principal, user_id: UUID) -> None:
    """Require that a person holds no claim of the product that the caller lacks; a caller may always act on themself.

    Raises:
        ClaimsBeyondYours: the person holds such a claim.
    """
    if who.id == user_id:
        return
    theirs = await tx.scalars(
        select(Claim.description)
        .join(UserClaim, UserClaim.claim_id == Claim.id)
        .where(UserClaim.user_id == user_id, Claim.active, or_(Claim.built_in, Claim.description == EVERY_CLAIM))
    )
    lacking = sorted(claim for claim in set(theirs) - SELF_SERVICE if not who.may(claim))
    if lacking:
        raise ClaimsBeyondYours(lacking)


async def require_maker_not_above(tx: Tx, maker: Actor, user_id: UUID) -> None:
    """Require `require_not_above` of an operation's maker when the operation is carried out.

    The claims count that the maker and the person hold at that moment.

    Raises:
        ClaimsBeyondYours: the person holds more than the maker.
    """
    has = await held(tx, maker)
    if has is not None and maker.id != str(user_id):
        await require_not_above(tx, Principal(UUID(maker.id), has), user_id)


def _administrates() -> ColumnElement[bool]:
    """Return the condition on `User` for administrators who can sign in."""
    holds = (
        exists()
        .where(UserClaim.user_id == User.id, UserClaim.claim_id == Claim.id)
        .where(Claim.description == GRANTING)
        .correlate(User)
    )
    password = User.password_hash.is_not(None) & or_(
        User.password_expires_at.is_(None), User.password_expires_at > clock.now()
    )
    key = exists().where(Passkey.user_id == User.id).correlate(User)
    account = exists().where(SocialAccount.user_id == User.id).correlate(User)
    role = exists().where(Role.id == User.role_id, Role.description == ADMINISTRATOR).correlate(User)
    return User.erased_at.is_(None) & User.suspended_at.is_(None) & role & holds & or_(password, key, account)


async def keep_an_administrator(tx: Tx, access: SessionStandings, user_id: UUID) -> None:
    """Require that another administrator is left before this person stops being one. Their row is locked.

    People who are bound to an employer do not count. Concurrent removals of two administrators are serialised here, so
    that the second sees the first.

    Raises:
        LastAdministrator: none is left.
    """
    if await tx.scalar(select(User.id).where(User.id == user_id, _administrates())) is None:
        return
    await tx.execute(select(func.pg_advisory_xact_lock(_TURN)))
    others = await tx.scalars(select(User.id).where(User.id != user_id, _administrates()).order_by(User.id))
    for other in others.all():
        if not await access.is_bound(tx, other):
            return
    raise LastAdministrator
