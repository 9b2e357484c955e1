"""Verbs of invitations: invite an administrator, show the enrolment, accept with a password and a code."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, select

from carteira.identity import emails
from carteira.identity.errors import AccountSuspended, InvalidCode, InvitationOver
from carteira.identity.models import Invitation, User
from carteira.identity.roles import service as roles
from carteira.identity.roles.shipped import ADMINISTRATOR
from carteira.identity.runtime import Runtime
from carteira.identity.sessions import service as sessions
from carteira.identity.signin import totp
from carteira.identity.users.service import NewPerson, add_person, prepare_password
from carteira.kit.db.batches import delete_batch
from carteira.kit.db.session import Tx, locked
from carteira.kit.outbound.mail import Mailer, MailNotConfigured
from carteira.kit.security import audit
from carteira.kit.security.opaque_tokens import digest, new_token
from carteira.kit.security.rate_limits import PER_ACCOUNT, RateLimit
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7

LIFETIME = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Invited:
    """The invited person, and the link's token, which is stored nowhere."""

    user_id: UUID
    token: str
    full_name: str


@dataclass(frozen=True, slots=True)
class Opened:
    """The content of an opened invitation; there is no enrolment if the authenticator is on already."""

    full_name: str
    email: str
    enrolment: totp.Enrolment | None


async def invite_administrator(tx: Tx, full_name: str, email: str, *, actor: Actor) -> Invited:
    """Invite a person, existing or added now; they get no new right until they accept.

    Raises:
        AccountSuspended: they are suspended.
    """
    now = clock.now()
    user = await tx.scalar(select(User).where(func.lower(User.email) == email.lower(), User.erased_at.is_(None)))
    if user is not None and user.suspended_at is not None:
        raise AccountSuspended
    if user is None:
        user_id = await add_person(tx, NewPerson(full_name, email), password_hash=None, actor=actor)
        user = await tx.get_one(User, user_id)
    await tx.execute(delete(Invitation).where(Invitation.user_id == user.id))
    token = new_token()
    tx.add(Invitation(id=uuid7(), user_id=user.id, token_hash=digest(token), created_at=now, expires_at=now + LIFETIME))
    await tx.flush()
    await audit.record(tx, "administrator_invited", actor=actor, subject=user.id)
    return Invited(user.id, token, user.full_name or full_name)


async def send_invitation(mailer: Mailer, email: str, invited: Invited, link: str) -> bool:
    """Send the link; False if the message was not sent, so that it has to be handed over."""
    name = invited.full_name.split()[0]
    try:
        await mailer.send(email, emails.compose("invitation", name=name, link=link, days=LIFETIME.days))
    except (MailNotConfigured, OSError):
        return False
    return True


async def open_invitation(tx: Tx, runtime: Runtime, token: str) -> Opened:
    """Return the invited person and a new enrolment of their authenticator; each call makes a new one.

    Raises:
        InvitationOver: the link is unknown, used or too old.
    """
    user = await _invited(tx, token)
    on = await totp.is_on(tx, user.id)
    enrolment = None if on else await totp.enrol(tx, runtime.sealer, user.id)
    return Opened(user.full_name or "", user.email or "", enrolment)


async def accept(runtime: Runtime, token: str, password: str, code: str) -> list[str]:
    """Set the password, turn the authenticator on and grant the role; return the recovery codes, shown once.

    If the authenticator was on already its code is checked, and there are no new recovery codes.

    Raises:
        InvitationOver, WeakPassword, InvalidCode, LimitReached.
        TotpNotFound: the invitation was not opened before.
    """
    limit = RateLimit.of(PER_ACCOUNT, "invitation", digest(token).hex())
    await runtime.limiter.check(limit)
    async with runtime.database.transaction() as tx:
        user = await _invited(tx, token)
        personal = (user.email, user.cpf)
    password_hash = await prepare_password(password, personal=personal)
    try:
        async with runtime.database.transaction() as tx:
            return await _accept(tx, runtime, token, password_hash, code)
    except InvalidCode:
        await runtime.limiter.count(limit)
        raise


async def _accept(tx: Tx, runtime: Runtime, token: str, password_hash: str, code: str) -> list[str]:
    role_id = await roles.id_of(tx, ADMINISTRATOR)
    user = await _invited(tx, token)
    codes: list[str] = []
    if await totp.is_on(tx, user.id):
        if await totp.use_code(tx, runtime.sealer, user.id, code) is None:
            raise InvalidCode
    else:
        codes = await totp.confirm(tx, runtime, user.id, None, code)
    now = clock.now()
    user.password_hash, user.must_change_password, user.password_expires_at = password_hash, False, None
    user.email_confirmed_at = user.email_confirmed_at or now
    await roles.change_role(tx, user, role_id)
    await tx.execute(delete(Invitation).where(Invitation.user_id == user.id))
    await sessions.revoke_all(tx, runtime.access, user.id)
    await audit.record(tx, "administrator_made", actor=user.id, subject=user.id, role_id=role_id)
    return codes


async def _invited(tx: Tx, token: str) -> User:
    """Lock and return the person of a link."""
    row = await tx.scalar(select(Invitation).where(Invitation.token_hash == digest(token)))
    user = None if row is None else await locked(tx, User, row.user_id)
    row = await tx.scalar(select(Invitation).where(Invitation.token_hash == digest(token)))  # as it is under the lock
    if row is None or user is None or row.expires_at <= clock.now():
        raise InvitationOver
    if user.erased_at is not None or user.suspended_at is not None:
        raise InvitationOver
    return user


async def forget_old(tx: Tx) -> int:
    """Delete some invitations that nobody accepted in time, and return how many. A job calls it."""
    return await delete_batch(tx, Invitation, Invitation.expires_at < clock.now())
