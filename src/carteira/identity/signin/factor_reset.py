"""A lost second factor is reset by two operators: authenticator, recovery codes and passkeys go, and all sessions end.

The person then signs in by password, has only their own rights, and enrols a new factor.
"""

from collections.abc import Callable
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import delete, exists, or_, select

from carteira.identity.errors import NoSecondFactor
from carteira.identity.models import MfaChallenge, Passkey, RecoveryCode, Totp
from carteira.identity.proof.schemas import Paper
from carteira.identity.roles.grants import require_maker_not_above, require_not_above
from carteira.identity.sessions import service as sessions
from carteira.identity.sessions.standing import SessionStandings
from carteira.identity.users.service import live
from carteira.kit.db import jobs
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.security.approvals import Act, Gains
from carteira.kit.web.access import Principal
from carteira.kit.web.approvals import Desk, Operation
from carteira.kit.web.idempotency import Answered

CLAIM = "users:write"
SUMMARY = "Apagar o segundo fator perdido de uma pessoa"


class FactorResetOrder(BaseModel):
    """The person whose second factor is lost, and how the operator identified them."""

    user_id: UUID
    paper: Paper | None = None
    """The photo document that was compared with the face; None in operations from before it was recorded."""


class FactorResetOut(BaseModel):
    """The person whose second factor was reset."""

    user_id: UUID


def operation(standings: Callable[[], SessionStandings]) -> Operation[FactorResetOrder]:
    """Make the operation, which always needs two people; the standings are the carrying-out server's."""

    async def run(tx: Tx, order: FactorResetOrder, act: Act) -> FactorResetOut:
        """Delete a person's second factors and end their sessions, as two operators decided.

        Raises:
            UserNotFound: the person no longer exists.
            ClaimsBeyondYours: they hold more by now than the maker.
            OwnOperation: it is the checker's own.
        """
        user = await live(tx, order.user_id)
        await require_maker_not_above(tx, act.actor, user.id)
        await act.weigh(tx, amount=0, summary=SUMMARY, gains=Gains.of(user.id, user.cpf))
        for table in (Totp, RecoveryCode, Passkey, MfaChallenge):
            await tx.execute(delete(table).where(table.user_id == user.id))
        ended = await sessions.revoke_all(tx, standings(), user.id)
        await audit.record(
            tx,
            "second_factor_reset",
            actor=act.actor,
            subject=user.id,
            approved_by=act.approved_by,
            sessions=ended,
            paper=order.paper,
        )
        await jobs.defer(tx, "identity:tell_factor_reset", user_id=str(user.id))
        return FactorResetOut(user_id=user.id)

    return Operation("identity.factor_reset", FactorResetOrder, run, CLAIM, claim=CLAIM, check=_check)


async def _check(tx: Tx, order: FactorResetOrder, who: Principal) -> None:
    """Refuse a checker who holds less than the person concerned.

    Raises:
        ClaimsBeyondYours: the person holds more.
    """
    await require_not_above(tx, who, order.user_id)


async def propose(  # noqa: PLR0913, PLR0917 - the route's parameters
    tx: Tx, desk: Desk, standings: SessionStandings, who: Principal, user_id: UUID, paper: Paper
) -> Answered:
    """Propose to reset the factors of a person whom the operator saw; a second operator, not the person, approves.

    While one is pending it is returned again: a second approval, days later, would delete the factor enrolled in
    between.

    Raises:
        UserNotFound, ClaimsBeyondYours.
        NoSecondFactor: they have none.
    """
    user = await live(tx, user_id)
    await require_not_above(tx, who, user_id)
    has = select(or_(exists().where(Totp.user_id == user_id), exists().where(Passkey.user_id == user_id)))
    if not await tx.scalar(has):
        raise NoSecondFactor
    reset = operation(lambda: standings)
    if (waits := await desk.waiting_for(tx, reset, user_id)) is not None:
        return waits
    order = FactorResetOrder(user_id=user_id, paper=paper)
    gains = Gains.of(user_id, user.cpf)
    return await desk.propose(tx, reset, order, who.actor, summary=SUMMARY, gains=gains)
