"""Verbs of contact points: change, confirm by a link, and undo by a link to the former one."""

from typing import cast
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import aliased

from carteira.identity.contacts import links
from carteira.identity.contacts.points import ContactPoint, Kind, former_of, points_of, recovering, recovers
from carteira.identity.errors import ContactConfirmed, ContactLinkRefused, ContactNotFound, EmailTaken
from carteira.identity.models import ContactChange, User
from carteira.identity.runtime import Changing, Runtime
from carteira.identity.sessions import service as sessions
from carteira.identity.signin import ways
from carteira.identity.users.login import by_login, normal_name
from carteira.identity.users.search_text import search_text_of
from carteira.kit.db import jobs
from carteira.kit.db.batches import delete_batch
from carteira.kit.db.session import Tx, locked
from carteira.kit.security import audit
from carteira.kit.security.rate_limits import PER_RECOVERY, PER_RECOVERY_DAY, RateLimit
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.web.problems import TooManyRequests


async def change(tx: Tx, changing: Changing, user: User, kind: Kind, value: str | None) -> None:
    """Change a locked person's contact point, notify the former one, and ask the new one to confirm.

    The former one recovers the account until the new one is confirmed and `CONTACT_CHANGE_HOURS` have passed. A change
    back to the former one needs neither.
    """
    now = clock.now()
    present, confirmed = getattr(user, kind), getattr(user, f"{kind}_confirmed_at")
    row = await _change_of(tx, user.id, kind, lock=True)
    if row is not None and recovers(confirmed, former_of(row), now):
        await tx.delete(row)
        await tx.flush()
        row = None
    setattr(user, kind, value)
    if row is not None and not differs(row.former, value):
        setattr(user, f"{kind}_confirmed_at", row.former_confirmed_at)
        await tx.delete(row)
        await tx.flush()
        return
    setattr(user, f"{kind}_confirmed_at", now if value is None else None)
    if row is None:
        row = ContactChange(
            id=uuid7(),
            user_id=user.id,
            kind=kind,
            former=present,
            former_confirmed_at=confirmed,
            changed_at=now,
            recovers_from=now + changing.wait,
        )
        tx.add(row)
    else:  # the contact in between never recovered the account: it gets a notice without a link to undo
        row.recovers_from = now + changing.wait
        if present is not None:
            await _queue_notice(tx, changing, row, present, may_undo=False)
    await tx.flush()
    await _notify_former(tx, changing, user, row)
    if value is not None:
        await jobs.defer(tx, "identity:send_contact_confirmation", user_id=str(user.id), kind=kind)


def differs(one: str | None, other: str | None) -> bool:
    """Return whether two values are different contact points; case does not distinguish addresses."""
    return (one or "").lower() != (other or "").lower()


async def _notify_former(tx: Tx, changing: Changing, user: User, row: ContactChange) -> None:
    """Notify the former contact point; for a phone the e-mail address too, since a phone may be stolen or new."""
    if row.former is not None:
        await _queue_notice(tx, changing, row, row.former)
    if row.kind == "phone":
        address = recovering(await points(tx, user, "email"))
        if address is not None:
            await _queue_notice(tx, changing, row, address.value)


async def _queue_notice(tx: Tx, changing: Changing, row: ContactChange, to: str, *, may_undo: bool = True) -> None:
    """Queue a message to a contact point. The queue's table holds nothing personal: the address is sealed."""
    await jobs.defer(
        tx,
        "identity:tell_contact_changed",
        user_id=str(row.user_id),
        kind=row.kind,
        to=changing.sealer.seal(row.user_id, to.encode()).hex(),
        change_id=str(row.id) if may_undo else None,
    )


async def _change_of(tx: Tx, user_id: UUID, kind: Kind, *, lock: bool = False) -> ContactChange | None:
    query = select(ContactChange).where(ContactChange.user_id == user_id, ContactChange.kind == kind)
    return await tx.scalar(query.with_for_update() if lock else query)


async def points(tx: Tx, user: User, kind: Kind) -> list[ContactPoint]:
    """Return a person's contact points of a kind."""
    row = await _change_of(tx, user.id, kind)
    return points_of(kind, getattr(user, kind), getattr(user, f"{kind}_confirmed_at"), former_of(row), clock.now())


async def recovering_point(tx: Tx, user: User, kind: Kind) -> ContactPoint | None:
    """Return the contact point of a kind that recovers a person's account."""
    return recovering(await points(tx, user, kind))


def _recovered_by_former(address: str) -> Select[UUID]:
    """Select the people whose account is still recovered by an e-mail address that they changed."""
    owner = aliased(User)
    return (
        select(ContactChange.user_id)
        .join(owner, owner.id == ContactChange.user_id)
        .where(
            ContactChange.kind == "email",
            func.lower(ContactChange.former) == normal_name(address),
            or_(owner.email_confirmed_at.is_(None), ContactChange.recovers_from > clock.now()),
        )
    )


async def require_free(tx: Tx, user_id: UUID, address: str) -> None:
    """Require that an e-mail address recovers nobody else's account any more.

    Call it after writing that address: a concurrent writer of it waits for the unique index, and then sees the other's
    change here.

    Raises:
        EmailTaken: it does.
    """
    others = _recovered_by_former(address).where(ContactChange.user_id != user_id)
    if await tx.scalar(others.limit(1)) is not None:
        raise EmailTaken


def by_recovery_name(name: str) -> ColumnElement[bool]:
    """Return the condition on `User` for a name typed to recover: a login name, or a former address in its wait."""
    return or_(by_login(name), User.id.in_(_recovered_by_former(name)))


async def confirm_sent(tx: Tx, user: User, kind: Kind, sent_to: bytes | None) -> None:
    """Confirm the contact point that a right code was sent to, if it is still one of the person's."""
    if sent_to is None:
        return
    present = getattr(user, kind)
    if present is not None and links.fingerprint(kind, present) == sent_to:
        await _confirm(tx, user, kind)
        return
    row = await _change_of(tx, user.id, kind, lock=True)
    if row is not None and row.former is not None and links.fingerprint(kind, row.former) == sent_to:
        row.former_confirmed_at = row.former_confirmed_at or clock.now()
        await tx.flush()


async def _confirm(tx: Tx, user: User, kind: Kind) -> None:
    if getattr(user, f"{kind}_confirmed_at") is None:
        setattr(user, f"{kind}_confirmed_at", clock.now())
        await tx.flush()
        await audit.record(tx, "contact_confirmed", actor=user.id, subject=user.id, kind=kind)


async def ask_confirmation(runtime: Runtime, user_id: UUID, kind: Kind) -> None:
    """Queue the link that confirms one's own present contact point.

    Raises:
        ContactNotFound: there is none.
        ContactConfirmed: it is confirmed.
        LimitReached, TooManyRequests: there were too many requests.
    """
    limits = [RateLimit.of(item, "confirm", user_id, kind) for item in (PER_RECOVERY, PER_RECOVERY_DAY)]
    await runtime.limiter.check(*limits)
    if not await runtime.limiter.count(*limits):
        raise TooManyRequests(60)
    async with runtime.database.transaction() as tx:
        user = await tx.get(User, user_id)
        if user is None or getattr(user, kind) is None:
            raise ContactNotFound
        if getattr(user, f"{kind}_confirmed_at") is not None:
            raise ContactConfirmed
        await jobs.defer(tx, "identity:send_contact_confirmation", user_id=str(user_id), kind=kind)


async def confirm(tx: Tx, runtime: Runtime, token: str) -> Kind:
    """Confirm the contact point that a link was sent to, and return its kind; repeating it is no error.

    Raises:
        ContactLinkRefused: the link is foreign or too old, or the contact point has changed since.
    """
    user_id, kind, fingerprint = links.read_confirm(runtime.sealer, token)
    user = await locked(tx, User, user_id)
    present = None if user is None or user.erased_at is not None else getattr(user, kind)
    if user is None or present is None or links.fingerprint(kind, present) != fingerprint:
        raise ContactLinkRefused
    await _confirm(tx, user, kind)
    return kind


async def undo(tx: Tx, runtime: Runtime, token: str) -> Kind:
    """Undo a change during its wait: restore the former contact point, and lock out whoever changed it.

    They had a session and may know the password: all sessions and known devices end, the password is removed, and so
    are passkeys and provider accounts that were added after the change or within one wait before it. The authenticator
    stays, since it may keep out a stranger who reads the former mailbox. The person sets a new password by a code to
    the former contact point. Returns the kind.

    Raises:
        ContactLinkRefused: the link is foreign, the wait has passed, or there is nothing left to undo.
    """
    change_id = links.read_undo(runtime.sealer, token)
    user_id = await tx.scalar(select(ContactChange.user_id).where(ContactChange.id == change_id))
    user = None if user_id is None else await locked(tx, User, user_id)
    row = await locked(tx, ContactChange, change_id)  # after the person's row, as in a change
    if user is None or row is None or row.recovers_from <= clock.now():
        raise ContactLinkRefused
    kind = cast("Kind", row.kind)
    setattr(user, kind, row.former)
    setattr(user, f"{kind}_confirmed_at", row.former_confirmed_at)
    user.search_text = search_text_of(user.full_name, user.email)
    user.updated_at = clock.now()
    await tx.delete(row)
    await tx.flush()
    user.password_hash = user.password_expires_at = None
    user.must_change_password = False
    gone = await ways.forget(tx, user.id, since=row.changed_at - runtime.changing.wait)
    await ways.forget_unfinished(tx, user.id)
    await sessions.revoke_all(tx, runtime.access, user.id)
    await audit.record(tx, "contact_change_undone", actor=None, subject=user.id, kind=kind, ways_removed=gone)
    return kind


async def settle(tx: Tx) -> int:
    """Delete some of the changes that have become final, and return how many. A job calls it."""
    now, gone = clock.now(), 0
    for kind, confirmed_at in (("email", User.email_confirmed_at), ("phone", User.phone_confirmed_at)):
        gone += await delete_batch(
            tx,
            ContactChange,
            ContactChange.kind == kind,
            ContactChange.recovers_from <= now,
            ContactChange.user_id == User.id,
            confirmed_at.is_not(None),
        )
    return gone
