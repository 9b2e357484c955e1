"""Sessions: started by every way of signing in, refreshed by rotation, and ended."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import delete, func, select, update

from carteira.identity.config import ACCESS_SECONDS, DEVICE_DAYS, REFRESH_DAYS, SESSION_DAYS
from carteira.identity.errors import AccountSuspended, DemoAccount, SessionNotFound, SessionOver, UserNotFound
from carteira.identity.models import KnownDevice, RefreshToken, Session, SessionCookie, User
from carteira.identity.runtime import Runtime
from carteira.identity.sessions.standing import SessionStandings
from carteira.kit.db.batches import delete_batch
from carteira.kit.db.errors import CommitThenRaise
from carteira.kit.db.session import Tx, locked, locked_one
from carteira.kit.security import audit, tokens
from carteira.kit.security.opaque_tokens import digest, new_token
from carteira.kit.security.rate_limits import truncated_network
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.web.pagination import Page, PageRequest

GRACE_SECONDS = 10
"""Two uses of a refresh token within this time are one browser's tabs; a later one means a stolen token."""
_SECOND = frozenset({"totp", "recovery_code", "passkey"})
"""Methods that count as a second factor; a passkey verifies its person and so is both."""
_DEVICES_KEPT = 20
IDLE_MINUTES = 30
KEPT_SECONDS = SESSION_DAYS * 86_400
"""For how long a browser that stays signed in keeps its cookie; others keep it until they are closed."""

Method = Literal["password", "totp", "recovery_code", "passkey", "google", "meta", "govbr"]


@dataclass(frozen=True, slots=True)
class Client:
    """The origin of a sign-in."""

    device: str
    """The device's User-Agent, truncated."""
    address: str
    device_token: str | None
    """The secret of a known device."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a sign-in or a refresh."""

    user_id: UUID
    session_id: UUID
    access_token: str
    refresh_token: str
    must_change_password: bool
    device_token: str | None = None
    """A new secret for the device; None if it has one."""


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as its person sees it."""

    id: UUID
    device: str
    network: str
    methods: list[str]
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    signed_in_at: datetime
    second_factor_at: datetime | None


async def start_session(
    tx: Tx, runtime: Runtime, user_id: UUID, client: Client, *, methods: tuple[Method, ...]
) -> Tokens:
    """Start a person's session; every way of signing in ends here, after it has verified the person.

    Raises:
        UserNotFound: there is no such person.
        AccountSuspended: an operator suspended them.
        DemoAccount: they are a demo person, and this is production.
    """
    now = clock.now()
    user = await tx.get(User, user_id, populate_existing=True)
    if user is None or user.erased_at is not None:
        raise UserNotFound
    if user.suspended_at is not None:
        raise AccountSuspended
    if _is_demo_in_production(runtime, user):
        raise DemoAccount
    session = Session(
        id=uuid7(),
        user_id=user_id,
        device=client.device,
        network=truncated_network(client.address),
        methods=" ".join(methods),
        created_at=now,
        seen_at=now,
        signed_in_at=now,
        second_factor_at=now if _SECOND & set(methods) else None,
        expires_at=now + timedelta(days=SESSION_DAYS),
    )
    tx.add(session)
    await tx.flush()
    refresh_token = await _new_refresh_token(tx, session)
    device_token = await _remember_device(tx, user_id, client.device_token)
    await audit.record(tx, "sign_in", actor=user_id, subject=user_id, session=str(session.id), methods=list(methods))
    return Tokens(
        user_id,
        session.id,
        _access_token(runtime, session),
        refresh_token,
        user.must_change_password,
        device_token,
    )


def _is_demo_in_production(runtime: Runtime, user: User) -> bool:
    """Return whether a demo person, whose password is public, signs in to production."""
    return user.cpf_proven_by == "demo" and not runtime.config.development


def _access_token(runtime: Runtime, session: Session) -> str:
    return tokens.sign(
        runtime.ring.current,
        subject=str(session.user_id),
        ttl_seconds=ACCESS_SECONDS,
        claims={"sid": str(session.id)},
    )


async def _new_refresh_token(tx: Tx, session: Session) -> str:
    now = clock.now()
    token = new_token()
    tx.add(
        RefreshToken(
            token_hash=digest(token),
            session_id=session.id,
            created_at=now,
            expires_at=min(now + timedelta(days=REFRESH_DAYS), session.expires_at),
        )
    )
    await tx.flush()
    return token


async def _remember_device(tx: Tx, user_id: UUID, given: str | None) -> str | None:
    """Remember the device; return a new secret unless it has a valid one."""
    now = clock.now()
    if given is not None:
        known = await tx.scalar(
            update(KnownDevice)
            .where(KnownDevice.token_hash == digest(given), KnownDevice.user_id == user_id)
            .values(seen_at=now)
            .returning(KnownDevice.user_id)
        )
        if known is not None:
            return None
    token = new_token()
    tx.add(KnownDevice(token_hash=digest(token), user_id=user_id, created_at=now, seen_at=now))
    await tx.flush()
    kept = (
        select(KnownDevice.token_hash)
        .where(KnownDevice.user_id == user_id, KnownDevice.seen_at > now - timedelta(days=DEVICE_DAYS))
        .order_by(KnownDevice.seen_at.desc())
        .limit(_DEVICES_KEPT)
    )
    await tx.execute(delete(KnownDevice).where(KnownDevice.user_id == user_id, KnownDevice.token_hash.not_in(kept)))
    return token


async def refresh(runtime: Runtime, token: str) -> Tokens:
    """Exchange a refresh token for a new pair; the old one is used up.

    A token that was used more than `GRACE_SECONDS` ago was copied: its whole family, the session, is revoked.

    Raises:
        SessionOver: unknown, expired, revoked, or used before.
    """
    now = clock.now()
    async with runtime.database.transaction() as tx:
        session_id = await tx.scalar(select(RefreshToken.session_id).where(RefreshToken.token_hash == digest(token)))
        if session_id is None:
            raise SessionOver
        session = await locked_one(tx, Session, session_id)
        row = await tx.get_one(RefreshToken, digest(token), populate_existing=True)
        if session.revoked_at is not None or session.expires_at <= now:
            raise SessionOver
        if row.used_at is not None and row.used_at <= now - timedelta(seconds=GRACE_SECONDS):
            await _revoke(tx, runtime.access, session)
            await audit.record(tx, "refresh_token_reused", actor=None, subject=session.user_id, session=str(session.id))
            raise CommitThenRaise(SessionOver())
        if row.expires_at <= now:
            raise SessionOver
        row.used_at = row.used_at or now
        session.seen_at = now
        fresh = await _new_refresh_token(tx, session)
        user = await tx.get_one(User, session.user_id)
        if user.suspended_at is not None or _is_demo_in_production(runtime, user):
            raise SessionOver
        return Tokens(session.user_id, session.id, _access_token(runtime, session), fresh, user.must_change_password)


async def _revoke(tx: Tx, access: SessionStandings, session: Session) -> None:
    session.revoked_at = clock.now()
    await tx.flush()
    access.changed(tx, session.user_id)


async def sign_out(tx: Tx, access: SessionStandings, token: str) -> None:
    """End the session of a refresh token; an unknown token is no error."""
    session_id = await tx.scalar(select(RefreshToken.session_id).where(RefreshToken.token_hash == digest(token)))
    if session_id is not None:
        await end_session(tx, access, session_id)


async def end_session(tx: Tx, access: SessionStandings, session_id: UUID) -> None:
    """End a session at its person's request; an ended one is no error."""
    session = await locked_one(tx, Session, session_id)
    if session.revoked_at is None:
        await _revoke(tx, access, session)
        await audit.record(tx, "sign_out", actor=session.user_id, subject=session.user_id, session=str(session.id))


async def issue_cookie(tx: Tx, session_id: UUID, *, keep: bool) -> str:
    """Return a new cookie secret for a session that has just begun."""
    token, now = new_token(), clock.now()
    idle = timedelta(days=REFRESH_DAYS) if keep else timedelta(minutes=IDLE_MINUTES)
    tx.add(
        SessionCookie(
            token_hash=digest(token),
            session_id=session_id,
            idle_seconds=int(idle.total_seconds()),
            created_at=now,
            seen_at=now,
        )
    )
    await tx.flush()
    return token


async def sign_browser_out(tx: Tx, access: SessionStandings, token: str) -> None:
    """End the session of a cookie; an unknown one is no error."""
    session_id = await tx.scalar(select(SessionCookie.session_id).where(SessionCookie.token_hash == digest(token)))
    if session_id is not None:
        await end_session(tx, access, session_id)


async def list_sessions(tx: Tx, user_id: UUID, *, limit: int, before: UUID | None = None) -> list[SessionView]:
    """Return a person's live sessions, newest first."""
    query = select(Session).where(
        Session.user_id == user_id, Session.revoked_at.is_(None), Session.expires_at > clock.now()
    )
    if before is not None:
        query = query.where(Session.id < before)
    rows = await tx.scalars(query.order_by(Session.id.desc()).limit(limit))
    return [view_of(row) for row in rows]


async def sessions_of(tx: Tx, user_id: UUID, asked: PageRequest[UUID]) -> Page[SessionView]:
    """List a person's live sessions for an operator, newest first; the look is recorded.

    Raises:
        UserNotFound: there is no such person.
    """
    user = await tx.get(User, user_id)
    if user is None or user.erased_at is not None:
        raise UserNotFound
    rows = await list_sessions(tx, user_id, limit=asked.limit + 1, before=asked.after)
    await audit.record_looks(tx, "sessions_listed", [user_id])
    return asked.page(rows, lambda row: row.id)


def view_of(row: Session) -> SessionView:
    """Return a session as its person sees it."""
    return SessionView(
        row.id,
        row.device,
        row.network,
        row.methods.split(),
        row.created_at,
        row.seen_at,
        row.expires_at,
        row.signed_in_at or row.created_at,
        row.second_factor_at,
    )


def show(session: Session, method: Method) -> None:
    """Record in a session that its person has just verified themselves by a factor."""
    now = clock.now()
    if method == "passkey" or method not in _SECOND:
        session.signed_in_at = now
    if method in _SECOND:
        session.second_factor_at = now
    if method not in session.methods.split():
        session.methods = f"{session.methods} {method}"


async def revoke_session(tx: Tx, access: SessionStandings, user_id: UUID, session_id: UUID) -> None:
    """End one of a person's own sessions.

    Raises:
        SessionNotFound: there is none, it has ended, or it is another person's.
    """
    await _revoke(tx, access, await _live(tx, user_id, session_id))
    await audit.record(tx, "session_revoked", actor=user_id, subject=user_id, session=str(session_id))


async def end_one(tx: Tx, access: SessionStandings, user_id: UUID, session_id: UUID, *, actor: UUID) -> None:
    """End one of a person's sessions at an operator's request; the person gets a notice.

    Raises:
        SessionNotFound: there is none, it has ended, or it is another person's.
    """
    await _revoke(tx, access, await _live(tx, user_id, session_id))
    await audit.record(tx, "session_ended", actor=actor, subject=user_id, session=str(session_id))


async def _live(tx: Tx, user_id: UUID, session_id: UUID) -> Session:
    """Lock one of a person's sessions that has not ended."""
    session = await locked(tx, Session, session_id)
    if session is None or session.user_id != user_id or session.revoked_at is not None:
        raise SessionNotFound
    return session


async def revoke_all(tx: Tx, access: SessionStandings, user_id: UUID, *, but: UUID | None = None) -> int:
    """End every session of a person, except one, and return how many there were."""
    query = update(Session).where(Session.user_id == user_id, Session.revoked_at.is_(None))
    if but is not None:
        query = query.where(Session.id != but)
    ended = await tx.scalars(query.values(revoked_at=clock.now()).returning(Session.id))
    access.changed(tx, user_id)
    return len(ended.all())


async def sign_out_everywhere(tx: Tx, access: SessionStandings, user_id: UUID, *, actor: UUID) -> None:
    """End every session of a person, at their own or an operator's request.

    Raises:
        UserNotFound: there is no such person.
    """
    user = await tx.get(User, user_id)
    if user is None or user.erased_at is not None:
        raise UserNotFound
    ended = await revoke_all(tx, access, user_id)
    await audit.record(tx, "signed_out_everywhere", actor=actor, subject=user_id, sessions=ended)


async def session_is_live(tx: Tx, session_id: UUID) -> bool:
    """Return whether a session is live: not ended, not expired, and its person not suspended."""
    query = (
        select(Session.id)
        .join(User, User.id == Session.user_id)
        .where(
            Session.id == session_id,
            Session.revoked_at.is_(None),
            Session.expires_at > clock.now(),
            User.erased_at.is_(None),
            User.suspended_at.is_(None),
        )
    )
    return await tx.scalar(query) is not None


async def end_all(tx: Tx, *, limit: int) -> int:
    """End up to so many sessions of anybody and return how many; the caller invalidates all processes' caches."""
    some = select(Session.id).where(Session.revoked_at.is_(None)).order_by(Session.id).limit(limit).with_for_update()
    ended = await tx.scalars(
        update(Session).where(Session.id.in_(some)).values(revoked_at=clock.now()).returning(Session.id)
    )
    return len(ended.all())


async def forget_old(tx: Tx, *, days: int = 90) -> int:
    """Delete some sessions that ended long ago, with their tokens, and return how many. A job calls it."""
    bound = clock.now() - timedelta(days=days)
    return await delete_batch(tx, Session, func.coalesce(Session.revoked_at, Session.expires_at) < bound)
