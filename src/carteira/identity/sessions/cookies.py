"""A browser's session: an opaque cookie in place of tokens that a script would have to keep and renew.

The cookie's secret is stored as its SHA-256 and names a session. This never changes, so processes cache it; `standing`
is asked each time whether the session is still valid, and the browser's last visit is written once a minute.
"""

import time
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, update

from carteira.identity.errors import SessionOver
from carteira.identity.models import Session, SessionCookie
from carteira.identity.sessions.standing import SessionStandings
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.security.opaque_tokens import digest
from carteira.kit.values.clock import clock
from carteira.kit.web.access import Principal

_SEEN_SECONDS = 60.0
_REMEMBERED = 20_000
_TOKEN_LENGTH = 100


@dataclass(slots=True)
class _Known:
    user_id: UUID
    session_id: UUID
    seen: float


class SessionCookies:
    """This process's cache of browsers' cookies."""

    def __init__(self, database: Database, access: SessionStandings) -> None:
        self._database = database
        self._access = access
        self._known: dict[bytes, _Known] = {}

    async def principal(self, token: str, *, only_to_change_password: bool = False) -> Principal:
        """Return the principal of a cookie.

        Raises:
            SessionOver: it is unknown or idle for too long, or its session has ended.
            PasswordChangeRequired: as `SessionStandings.principal`.
        """
        known = await self._find(token)
        return await self._access.principal(
            known.user_id, known.session_id, only_to_change_password=only_to_change_password
        )

    async def _find(self, token: str) -> _Known:
        if not 0 < len(token) <= _TOKEN_LENGTH:
            raise SessionOver
        key, now = digest(token), time.monotonic()
        known = self._known.get(key)
        if known is not None and now - known.seen < _SEEN_SECONDS:
            return known
        async with self._database.transaction() as tx:
            found = await _see(tx, key)
        if found is None:
            self._known.pop(key, None)
            raise SessionOver
        if len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        known = self._known[key] = _Known(*found, now)
        return known


async def _see(tx: Tx, key: bytes) -> tuple[UUID, UUID] | None:
    """Record a cookie's use; return its person and session, or None if it is unknown or idle for too long."""
    now = clock.now()
    idle = func.make_interval(0, 0, 0, 0, 0, 0, SessionCookie.idle_seconds)
    session_id = await tx.scalar(
        update(SessionCookie)
        .where(SessionCookie.token_hash == key, SessionCookie.seen_at > now - idle)
        .values(seen_at=now)
        .returning(SessionCookie.session_id)
    )
    if session_id is None:
        return None
    user_id = await tx.scalar(
        update(Session)
        .where(Session.id == session_id, Session.revoked_at.is_(None))
        .values(seen_at=now)
        .returning(Session.user_id)
    )
    return None if user_id is None else (user_id, session_id)
