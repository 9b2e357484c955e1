"""What an operator changes of a person where a second one has to confirm it: their e-mail address or phone."""

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from uuid import UUID

from pydantic import BaseModel

from carteira.identity.config import IdentityConfig
from carteira.identity.proof.service import CpfFollower
from carteira.identity.roles.grants import require_maker_not_above, require_not_above
from carteira.identity.runtime import Changing
from carteira.identity.users import service as people
from carteira.identity.users.schemas import UserPatch
from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import Act, Gains
from carteira.kit.web.access import Principal
from carteira.kit.web.approvals import Operation

CLAIM = "users:write"


class PersonChangeOrder(BaseModel):
    """The body of a change, as it was sent."""

    user_id: UUID
    changes: dict[str, str | None]


class PersonChangedOut(BaseModel):
    """Whose data was changed."""

    user_id: UUID


def operation(config: IdentityConfig, followers: Sequence[CpfFollower]) -> Operation[PersonChangeOrder]:
    """Make the operation, which is only ever proposed; its key is read when it is carried out."""

    @cache
    def changing() -> Changing:
        return Changing(config.sealing_ring(), timedelta(hours=config.contact_change_hours), followers)

    async def run(tx: Tx, order: PersonChangeOrder, act: Act) -> PersonChangedOut:
        """Change a person's data, contact points among them, as two operators ask.

        Raises:
            UserNotFound, EmailTaken, CpfTaken.
            ClaimsBeyondYours: the person holds more by now than who asked for it.
            OwnOperation: it is the checker's own data.
        """
        user = await people.live(tx, order.user_id)
        await require_maker_not_above(tx, act.actor, user.id)
        await act.weigh(tx, amount=0, summary="", gains=Gains.of(order.user_id, user.cpf))
        changes = UserPatch.model_validate(order.changes).model_dump(exclude_unset=True)
        await people.write_changes(tx, changing(), user, changes, actor=act.actor.user_id, approved_by=act.approved_by)
        return PersonChangedOut(user_id=order.user_id)

    return Operation("identity.person_change", PersonChangeOrder, run, CLAIM, claim=CLAIM, check=_check)


async def _check(tx: Tx, order: PersonChangeOrder, who: Principal) -> None:
    """Let nobody approve a change of a person who holds more than they do.

    Raises:
        ClaimsBeyondYours: the person does.
    """
    await require_not_above(tx, who, order.user_id)
