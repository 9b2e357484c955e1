"""Step-up: a person verifies themselves in a running session, before acts that a stolen session must not do.

Where an authenticator is on, its code is needed (RFC 9470 calls it step-up); a passkey always serves; people with
neither give the password. A passkey verifies its person, so that it counts as two factors.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from carteira.identity.errors import CodeNeeded, InvalidCode, PasskeyRefused, SessionOver, WrongCurrentPassword
from carteira.identity.models import Session, User
from carteira.identity.passkeys import service as passkeys
from carteira.identity.passkeys.service import Site
from carteira.identity.runtime import Runtime
from carteira.identity.sessions import service as sessions
from carteira.identity.sessions.service import Method, SessionView
from carteira.identity.signin import totp
from carteira.identity.users.passwords import verify_password
from carteira.kit.db.session import Tx, locked
from carteira.kit.security import audit
from carteira.kit.security.rate_limits import presence_limits
from carteira.kit.web.access import Principal, RecentSignInRequired


async def by_password(runtime: Runtime, who: Principal, password: str) -> SessionView:
    """Verify a person without an authenticator by their password.

    Raises:
        CodeNeeded: an authenticator is on, so that a password is not enough.
        WrongCurrentPassword, LimitReached, RecentSignInRequired, SessionOver.
    """
    session_id = _session_of(who)
    limits = presence_limits(who.user_id)
    async with runtime.database.transaction() as tx:
        if await totp.is_on(tx, who.user_id):
            raise CodeNeeded
        user = await tx.get_one(User, who.user_id)
        known = user.password_hash
    async with runtime.guesses.turn():
        await runtime.limiter.check(*limits)
        fits, _ = await verify_password(password, known)
        if not fits:
            await runtime.limiter.count(*limits)
            raise WrongCurrentPassword(field="password")
    async with runtime.database.transaction() as tx:
        user = await tx.get_one(User, who.user_id, with_for_update=True)
        if user.password_hash != known:
            raise WrongCurrentPassword(field="password")
        return await _record_factor(tx, runtime, session_id, "password")


async def by_code(runtime: Runtime, who: Principal, code: str) -> SessionView:
    """Verify a person by a code of the authenticator or a recovery code.

    Raises:
        InvalidCode: it is wrong or was used, or no authenticator is on.
        LimitReached, RecentSignInRequired, SessionOver.
    """
    session_id = _session_of(who)
    limits = presence_limits(who.user_id)
    await runtime.limiter.check(*limits)
    try:
        async with runtime.database.transaction() as tx:
            return await _record_factor(tx, runtime, session_id, await _factor(tx, runtime, who.user_id, code))
    except InvalidCode:
        await runtime.limiter.count(*limits)
        raise


async def _factor(tx: Tx, runtime: Runtime, user_id: UUID, code: str) -> Method:
    factor = await totp.use_code(tx, runtime.sealer, user_id, code)
    if factor is None:
        raise InvalidCode
    return factor


async def by_passkey(runtime: Runtime, site: Site, who: Principal, credential: Mapping[str, Any]) -> SessionView:
    """Verify a person by a passkey's answer to a challenge of `/auth/passkeys/login/options`.

    Raises:
        PasskeyRefused: it is wrong, was used, is too late, or is another person's. LimitReached, RecentSignInRequired,
            SessionOver.
    """
    session_id = _session_of(who)
    limits = presence_limits(who.user_id)
    await runtime.limiter.check(*limits)
    try:
        assertion = await passkeys.challenged(runtime, credential)
        async with runtime.database.transaction() as tx:
            await passkeys.verify(tx, site, assertion, owner_id=who.user_id)
            return await _record_factor(tx, runtime, session_id, "passkey")
    except PasskeyRefused:
        await runtime.limiter.count(*limits)
        raise


def _session_of(who: Principal) -> UUID:
    if who.session_id is None:
        raise RecentSignInRequired
    return who.session_id


async def _record_factor(tx: Tx, runtime: Runtime, session_id: UUID, method: Method) -> SessionView:
    session = await locked(tx, Session, session_id)
    if session is None or session.revoked_at is not None:
        raise SessionOver
    sessions.show(session, method)
    await tx.flush()
    runtime.access.changed(tx, session.user_id)
    await audit.record(
        tx, "stepped_up", actor=session.user_id, subject=session.user_id, session=str(session_id), method=method
    )
    return sessions.view_of(session)
