"""Password recovery: a one-time code by e-mail or SMS (`kit.security.codes`), and then a reset.

A request does the same whether or not the person is known: the same rows, the same job.
"""

from datetime import timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select

from carteira.identity import messages
from carteira.identity.contacts import service as contacts
from carteira.identity.contacts.links import fingerprint
from carteira.identity.contacts.points import Kind
from carteira.identity.errors import WrongCode
from carteira.identity.models import KnownDevice, Recovery, User
from carteira.identity.proof.service import GOVBR
from carteira.identity.runtime import Runtime
from carteira.identity.sessions.service import Client
from carteira.identity.signin import ways
from carteira.identity.users import service as people
from carteira.kit.db import jobs
from carteira.kit.db.batches import delete_batch
from carteira.kit.db.errors import CommitThenRaise
from carteira.kit.db.session import Tx, locked, locked_one
from carteira.kit.security import audit, codes
from carteira.kit.security.codes import CodeMessage, KeptCode
from carteira.kit.security.opaque_tokens import digest, new_token
from carteira.kit.security.rate_limits import PER_ADDRESS, WRONG_CODES, RateLimit, network
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7

RESET_TTL = timedelta(minutes=10)
_OLDEST = timedelta(minutes=30)
_LINKS_LOOKED_AT = 20

Channel = Literal["email", "sms"]
_KIND: dict[str, Kind] = {"email": "email", "sms": "phone"}


async def ask(runtime: Runtime, name: str, channel: Channel, client: Client) -> None:
    """Request a recovery code by CPF or e-mail. The response is the same whether or not the account exists.

    Raises:
        LimitReached, TooManyRequests: too many were asked for by that name or from that address.
    """
    async with runtime.database.transaction() as tx:
        user_id = await _find_id(tx, name)
    gets_one = await messages.may_be_sent(runtime, "recovery", name, user_id, client)
    async with runtime.database.transaction() as tx:
        now = clock.now()
        row = Recovery(
            id=uuid7(),
            user_id=user_id if gets_one else None,
            stranger=None if user_id and gets_one else messages.stranger(runtime, name),
            channel=channel,
            tries=0,
            created_at=now,
            expires_at=now + codes.TTL,
        )
        tx.add(row)
        await tx.flush()
        await audit.record(tx, "recovery_asked", actor=None, subject=user_id, channel=channel)
        await jobs.defer(tx, "identity:send_recovery_code", recovery_id=str(row.id))


async def _find_id(tx: Tx, name: str) -> UUID | None:
    return await tx.scalar(select(User.id).where(contacts.by_recovery_name(name), User.erased_at.is_(None)))


async def make_code(tx: Tx, recovery_id: UUID) -> CodeMessage | None:
    """Make a recovery's code, again if sending failed; None if there is nobody to send it to. A job calls it.

    An unknown name's request gets a code too, which is not sent.
    """
    row = await locked(tx, Recovery, recovery_id)
    if row is None or row.used_at is not None or row.created_at < clock.now() - _OLDEST:
        return None
    fresh = await codes.draw(tx, row.id, person=row.user_id or row.stranger or row.id)
    row.code_hash, row.expires_at = fresh.code_hash, fresh.expires_at
    await tx.flush()
    user = None if row.user_id is None else await tx.get_one(User, row.user_id)
    kind = _KIND[row.channel]
    to = None if user is None or user.erased_at is not None else await contacts.recovering_point(tx, user, kind)
    if user is None or to is None:
        return None
    row.sent_to = fingerprint(kind, to.value)
    await tx.flush()
    return CodeMessage(to.value, fresh.code, {"name": (user.full_name or "").split()[0]})


async def verify(runtime: Runtime, name: str, code: str, client: Client) -> str:
    """Exchange a code for a reset token. Only a person's newest typed code is valid.

    Raises:
        WrongCode: wrong, used, too late, tried too often, or the name is unknown.
        LimitReached: that address had too many wrong codes.
    """
    limit = RateLimit.of(WRONG_CODES, network(client.address))
    if codes.is_typed(codes.read_code(code)):
        await runtime.limiter.check(limit)
    try:
        async with runtime.database.transaction() as tx:
            return await _verify(tx, runtime, name, code)
    except WrongCode:
        await runtime.limiter.count(limit)
        raise


async def _verify(tx: Tx, runtime: Runtime, name: str, code: str) -> str:
    user_id = await _find_id(tx, name)
    person = user_id or messages.stranger(runtime, name)
    whose = Recovery.user_id == user_id if user_id else Recovery.stranger == person
    row = await _newest_request(tx, whose, code)
    if row is None or row.used_at is not None or row.reset_hash is not None:
        raise WrongCode
    kept = KeptCode(row.id, row.code_hash, row.expires_at, row.tries)
    attempt = await codes.check_code(tx, kept, code, person=person, purpose="recovery")
    row.tries = attempt.tries
    if not attempt.is_right or user_id is None:
        raise CommitThenRaise(WrongCode())
    token = new_token()
    row.reset_hash, row.expires_at = digest(token), clock.now() + RESET_TTL
    await tx.flush()
    user = await locked_one(tx, User, user_id)
    await contacts.confirm_sent(tx, user, _KIND[row.channel], row.sent_to)
    return token


async def _newest_request(tx: Tx, whose: ColumnElement[bool], code: str) -> Recovery | None:
    """Lock and return the newest request; for a link's code its own request, which a newer one does not invalidate."""
    query = select(Recovery).where(whose).order_by(Recovery.id.desc()).with_for_update()
    if codes.is_typed(codes.read_code(code)):
        return await tx.scalar(query.limit(1))
    rows = (await tx.scalars(query.limit(_LINKS_LOOKED_AT))).all()
    return next((row for row in rows if codes.is_of(row.code_hash, row.id, code)), rows[0] if rows else None)


async def reset(runtime: Runtime, token: str, password: str, client: Client) -> None:
    """Set a new password by a reset token; all sessions end, and all devices become unknown.

    If no contact point of the account was confirmed before, somebody else may have registered it with the person's
    address: passkeys and provider accounts are removed, except gov.br's, which belongs to the CPF.

    Raises:
        WrongCode: the token is wrong, used or too late.
        WeakPassword: the password breaks rules; the token stays valid.
    """
    address = RateLimit.of(PER_ADDRESS, network(client.address))
    await runtime.limiter.check(address)
    async with runtime.database.transaction() as tx:
        row = await _live(tx, token)
        user = await tx.get_one(User, row.user_id) if row else None
    if user is None:
        await runtime.limiter.count(address)
        raise WrongCode
    fresh = await people.prepare_password(password, field="new_password", personal=(user.email, user.cpf))
    async with runtime.database.transaction() as tx:
        row = await _live(tx, token)
        if row is None:
            raise WrongCode
        row.used_at = clock.now()
        person = await locked_one(tx, User, row.user_id)
        await people.set_password(tx, runtime, person, fresh)
        await tx.execute(delete(KnownDevice).where(KnownDevice.user_id == person.id))
        if _is_first_proof(person, row):
            gone = await ways.forget(tx, person.id, but=GOVBR)
            if gone:
                runtime.access.changed(tx, person.id)
                await audit.record(tx, "ways_removed", actor=None, subject=person.id, ways=gone)


def _is_first_proof(user: User, row: Recovery) -> bool:
    """Return whether this recovery is the first proof that the person reads the account's contact point."""
    confirmed = (user.email_confirmed_at, user.phone_confirmed_at)
    return all(at is None or at >= row.created_at for at in confirmed)


async def _live(tx: Tx, token: str) -> Recovery | None:
    return await tx.scalar(
        select(Recovery)
        .join(User, User.id == Recovery.user_id)
        .where(
            Recovery.reset_hash == digest(token),
            Recovery.used_at.is_(None),
            Recovery.expires_at > clock.now(),
            User.erased_at.is_(None),
        )
        .with_for_update(of=Recovery)
    )


async def forget_old(tx: Tx) -> int:
    """Delete some recoveries that are older than a day, and return how many. A job calls it."""
    return await delete_batch(tx, Recovery, Recovery.created_at < clock.now() - timedelta(days=1))
