"""Suspension: an operator disables a person's sign-in and ends their sessions.

Their money stays, and cards go on working.
"""

from typing import Literal
from uuid import UUID

from sqlalchemy import delete

from carteira.identity.errors import SuspendsThemself
from carteira.identity.models import MfaChallenge
from carteira.identity.roles.grants import keep_an_administrator, require_not_above
from carteira.identity.sessions import service as sessions
from carteira.identity.sessions.standing import SessionStandings
from carteira.identity.users.service import live
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.values.clock import clock
from carteira.kit.web.access import Principal

Reason = Literal["person_asked", "suspected_fraud", "misuse", "left_company", "court_order", "other"]


async def suspend(tx: Tx, access: SessionStandings, who: Principal, user_id: UUID, reason: Reason) -> None:
    """Disable a person's sign-in and end their sessions, at once and everywhere; a repetition only adds to the audit.

    Raises:
        UserNotFound, ClaimsBeyondYours.
        SuspendsThemself: nobody could undo it.
        LastAdministrator: they are the last one.
    """
    if who.id == user_id:
        raise SuspendsThemself
    user = await live(tx, user_id)
    await require_not_above(tx, who, user_id)
    await keep_an_administrator(tx, access, user_id)
    user.suspended_at = user.suspended_at or clock.now()
    await tx.flush()
    ended = await sessions.revoke_all(tx, access, user_id)
    await tx.execute(delete(MfaChallenge).where(MfaChallenge.user_id == user_id))
    await audit.record(tx, "user_suspended", actor=who.id, subject=user_id, reason=reason, sessions=ended)


async def unsuspend(tx: Tx, access: SessionStandings, who: Principal, user_id: UUID) -> None:
    """Let a person sign in again; ended sessions stay ended.

    Raises:
        UserNotFound, ClaimsBeyondYours.
    """
    user = await live(tx, user_id)
    await require_not_above(tx, who, user_id)
    user.suspended_at = None
    await tx.flush()
    await sessions.revoke_all(tx, access, user_id)
    await audit.record(tx, "user_unsuspended", actor=who.id, subject=user_id)
