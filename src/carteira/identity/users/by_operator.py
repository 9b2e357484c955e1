"""Operators' acts on people: add them, and change their contacts, which a second operator confirms."""

from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from uuid import UUID

from pydantic import BaseModel

from carteira.identity.config import IdentityConfig
from carteira.identity.proof.service import CpfFollower
from carteira.identity.roles.grants import require_maker_not_above, require_may_grant_role, require_not_above
from carteira.identity.runtime import Changing, Runtime
from carteira.identity.users import passwords
from carteira.identity.users import service as people
from carteira.identity.users.queries import PersonView, person, version_of_person
from carteira.identity.users.schemas import NewUserIn, UserPatch, UserPut
from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import Act, Gains, MustWait
from carteira.kit.values.cpf import mask_cpf
from carteira.kit.web.access import Principal
from carteira.kit.web.approvals import Desk, Operation, OrderChange
from carteira.kit.web.idempotency import Answered
from carteira.kit.web.preconditions import UNCONDITIONAL, Precondition

CLAIM = "users:write"


class PersonChangeOrder(BaseModel):
    """The body of a change as it was sent."""

    user_id: UUID
    changes: dict[str, str | None]
    seen: Precondition = UNCONDITIONAL


class PersonChangedOut(BaseModel):
    """The person whose data was changed."""

    user_id: UUID


def operation(config: IdentityConfig, followers: Sequence[CpfFollower]) -> Operation[PersonChangeOrder]:
    """Make the operation, which always needs two people; the sealing key is read when it is carried out."""

    @cache
    def changing() -> Changing:
        return Changing(config.sealing_ring(), timedelta(hours=config.contact_change_hours), followers)

    async def run(tx: Tx, order: PersonChangeOrder, act: Act) -> PersonChangedOut:
        """Change a person's data, including contact points, as two operators decided.

        Raises:
            UserNotFound, EmailTaken, CpfTaken.
            RecordChanged: the person is no longer what the maker saw.
            ClaimsBeyondYours: the person holds more by now than the maker.
            OwnOperation: it is the checker's own data.
        """
        user = await people.live(tx, order.user_id)
        order.seen.hold(version_of_person(user))
        await require_maker_not_above(tx, act.actor, user.id)
        await act.weigh(tx, amount=0, summary="", gains=Gains.of(order.user_id, user.cpf))
        changes = UserPatch.model_validate(order.changes).model_dump(exclude_unset=True)
        await people.write_changes(tx, changing(), user, changes, actor=act.actor.user_id, approved_by=act.approved_by)
        return PersonChangedOut(user_id=order.user_id)

    return Operation(
        "identity.person_change",
        PersonChangeOrder,
        run,
        CLAIM,
        claim=CLAIM,
        check=_check,
        show=_unseen,
        changes=_changes,
    )


async def _changes(tx: Tx, order: PersonChangeOrder) -> list[OrderChange]:
    now = (await person(tx, order.user_id)).written()
    cpf = order.changes.get("cpf")
    wanted = order.changes | ({"cpf": mask_cpf(cpf)} if cpf else {})
    return [OrderChange(name, now[name], then) for name, then in wanted.items() if now[name] != then]


def _unseen(order: PersonChangeOrder) -> object:
    """Return an order for its checker, without the version that its maker saw."""
    return order.model_dump(mode="json", exclude={"seen"})


async def _check(tx: Tx, order: PersonChangeOrder, who: Principal) -> None:
    """Let nobody approve a change of a person who holds more than they do.

    Raises:
        ClaimsBeyondYours: the person does.
    """
    await require_not_above(tx, who, order.user_id)


async def add(runtime: Runtime, who: Principal, asked: NewUserIn) -> tuple[PersonView, str | None]:
    """Add a person with a role; without a password one is generated, shown this once, and must be changed.

    For a role with claims the operator must hold these and have a recent sign-in.

    Raises:
        ClaimReserved, ClaimsBeyondYours, SecondFactorRequired, RecentSignInRequired.
        WeakPassword, EmailTaken, CpfTaken, RoleNotFound.
    """
    generated = passwords.generate() if asked.password is None else None
    password_hash = await people.prepare_password(asked.password or generated or "", personal=(asked.email, asked.cpf))
    async with runtime.database.transaction() as tx:
        await require_may_grant_role(tx, who, asked.role_id)
        user_id = await people.add_person(
            tx,
            people.NewPerson(asked.full_name, asked.email, asked.cpf, asked.birth_date, asked.phone),
            password_hash=password_hash,
            role_id=asked.role_id,
            must_change_password=generated is not None,
            actor=who.id,
        )
        return await person(tx, user_id), generated


async def change(  # noqa: PLR0913, PLR0917 - the routes' parameters
    runtime: Runtime,
    desk: Desk,
    address: str,
    who: Principal,
    user_id: UUID,
    body: UserPut | UserPatch,
    seen: Precondition = UNCONDITIONAL,
) -> PersonView | Answered:
    """Change a person's data; a change of another's contact may wait for a second operator (returns that answer).

    Raises:
        Forbidden, UserNotFound, EmailTaken, CpfTaken, CpfIsFixed, ClaimsBeyondYours, RecentSignInRequired.
        RecordChanged: the person is no longer what was seen.
    """
    try:
        return await people.change_person(runtime, address, who, user_id, body.model_dump(exclude_unset=True), seen)
    except MustWait as wait:
        changes = body.model_dump(mode="json", exclude_unset=True)
        order = PersonChangeOrder(user_id=user_id, changes=changes, seen=seen)
        what = operation(runtime.config, runtime.cpf_followers)
        async with runtime.database.transaction() as tx:
            return await desk.propose(tx, what, order, who.actor, summary=wait.summary, gains=wait.gains)
