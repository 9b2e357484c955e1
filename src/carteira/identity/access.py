"""From a bearer token to a principal: the token names a session, PostgreSQL says what it may, a short cache remembers.

A change (claims, role, sign-out, password, erasure) must hold at once in every process. So a change leaves, after its
commit and before its answer, a mark in Redis that outlives every cache entry made before it; a request looks for the
mark first and, where there is one, reads PostgreSQL. Without Redis every request reads PostgreSQL. Only a process that
dies between commit and mark leaves others with what they cached, for `CACHE_SECONDS` at most.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from fastapi import Request
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import text

from carteira.identity.errors import PasswordChangeRequired, SessionOver
from carteira.kit.access import Principal
from carteira.kit.clock import clock
from carteira.kit.problems import NotAuthenticated
from carteira.kit.tokens import KeyRing
from carteira.kit.tx import Database, Tx, after_commit

CACHE_SECONDS = 5.0
MARK_SECONDS = 20
"""A mark outlives any entry that was read before it: the cache's time, and that of a statement under way, doubled."""
_CACHE_SIZE = 20_000
_PATIENCE_SECONDS = 0.25
_AWAY_SECONDS = 1.0
_EVERYONE = "carteira:changed:everyone"
_ALLOWED_BEFORE_CHANGE = ("PUT", "/users/me/password")

log = structlog.get_logger(__name__)

_STANDING = text("""
    SELECT session.created_at, session.expires_at, person.must_change_password,
           coalesce(array_agg(claim.description) FILTER (WHERE claim.active), '{}') AS claims
    FROM sessions session
    JOIN users person ON person.id = session.user_id AND person.erased_at IS NULL
    LEFT JOIN user_claims held ON held.user_id = person.id
    LEFT JOIN claims claim ON claim.id = held.claim_id
    WHERE session.id = :session_id AND session.user_id = :user_id AND session.revoked_at IS NULL
    GROUP BY session.id, person.id
""")


@dataclass(frozen=True, slots=True)
class _Standing:
    claims: frozenset[str]
    signed_in_at: datetime
    expires_at: datetime
    must_change_password: bool
    good_until: float


def _mark(user_id: UUID) -> str:
    return f"carteira:changed:{user_id}"


class Access:
    """Authenticates requests and tells all processes of changes."""

    def __init__(self, ring: KeyRing, database: Database, redis: Redis | None, *, development: bool) -> None:
        self.ring = ring
        self._database = database
        self._redis = redis
        self._development = development
        self._cache: dict[tuple[UUID, UUID], _Standing] = {}
        self._away_until = 0.0

    async def authenticate(self, request: Request, token: str) -> Principal:
        """Turn a bearer token into a principal.

        Raises:
            NotAuthenticated: the token is not good, or its session is over.
            PasswordChangeRequired: the session may only change its generated password.
        """
        content = self.ring.verify(token)
        try:
            user_id = UUID(content["sub"])
            session_id = UUID(content["sid"]) if "sid" in content else None
        except (ValueError, TypeError, AttributeError) as error:
            raise NotAuthenticated from error
        if session_id is None:
            return self._operator(user_id, content.get("claims", ()))
        standing = await self._standing(user_id, session_id)
        if standing is None or standing.expires_at <= clock.now():
            raise SessionOver
        if standing.must_change_password and (request.method, request.url.path) != _ALLOWED_BEFORE_CHANGE:
            raise PasswordChangeRequired
        return Principal(user_id, standing.claims, session_id, {"signed_in_at": standing.signed_in_at})

    def _operator(self, user_id: UUID, claims: object) -> Principal:
        """Take a token that carries its own claims (`carteira token`), in development only."""
        if not self._development or not isinstance(claims, list | tuple):
            raise NotAuthenticated
        return Principal(user_id, frozenset(str(claim) for claim in claims))

    async def _standing(self, user_id: UUID, session_id: UUID) -> _Standing | None:
        began = time.monotonic()
        quiet = await self._is_quiet(user_id)
        key = (user_id, session_id)
        known = self._cache.get(key)
        if quiet and known is not None and known.good_until > began:
            return known
        async with self._database.transaction() as tx:
            row = (await tx.execute(_STANDING, {"session_id": session_id, "user_id": user_id})).one_or_none()
        if row is None:
            self._cache.pop(key, None)
            return None
        standing = _Standing(
            frozenset(row.claims), row.created_at, row.expires_at, row.must_change_password, began + CACHE_SECONDS
        )
        if quiet:
            if len(self._cache) >= _CACHE_SIZE:
                self._cache.clear()
            self._cache[key] = standing
        return standing

    async def _is_quiet(self, user_id: UUID) -> bool:
        """Tell whether Redis is there and knows of no change lately."""
        if self._redis is None or time.monotonic() < self._away_until:
            return False
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                marks = await self._redis.mget(_mark(user_id), _EVERYONE)
        except (RedisError, OSError, TimeoutError) as error:
            self._away_until = time.monotonic() + _AWAY_SECONDS
            log.warning("sessions read from the database", error=type(error).__name__)
            return False
        return marks == [None, None]

    def changed(self, tx: Tx, user_id: UUID) -> None:
        """Say that what a person may do changes with this transaction."""
        after_commit(tx, self._telling(_mark(user_id)))

    def changed_for_everyone(self, tx: Tx) -> None:
        """Say that what a claim means changes with this transaction."""
        after_commit(tx, self._telling(_EVERYONE))

    def _telling(self, mark: str) -> Callable[[], Awaitable[None]]:
        async def tell() -> None:
            self._cache.clear()
            if self._redis is None:
                return
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await self._redis.set(mark, "1", ex=MARK_SECONDS)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("change not told", error=type(error).__name__)

        return tell
