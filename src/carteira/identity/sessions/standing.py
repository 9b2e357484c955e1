"""Turns a bearer token into a principal, with rights from PostgreSQL and a short cache.

The token names a session, or a client and its credential. A change (claims, role, sign-out, password, erasure) must
take effect at once in every process. So a change sets, after its commit and before its answer, a mark in Redis to a
value that it never had. Cached rows carry the marks as they were *before* the read, and are valid only while the marks
are unchanged; without Redis they never are.

While PostgreSQL is away, cached rows stay valid for `outage_seconds`, on the same condition and one more: that this
Redis has been up all the time, and so has lost no mark. ADR 0008 has the argument.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, cast
from uuid import UUID

import structlog
from fastapi import Request
from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import ResponseError
from sqlalchemy import Row, text

from carteira.identity.config import IdentityConfig
from carteira.identity.errors import PasswordChangeRequired, SessionOver
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.db.session import Tx, after_commit
from carteira.kit.ops.gathered import Gathered
from carteira.kit.outbound.redis import PatientRedis
from carteira.kit.security.rate_limits import is_within
from carteira.kit.security.tokens import SigningKeys
from carteira.kit.values.clock import clock
from carteira.kit.web.access import EVERY_CLAIM, Bindings, Overtaken, Principal, SignIn
from carteira.kit.web.client_address import client_address
from carteira.kit.web.problems import NotAuthenticated
from carteira.kit.web.public_address import route_path

SELF_SERVICE = frozenset({"reseller"})
"""Claims that anybody may take on: they take effect without a second factor, and granting them needs no claim."""
CACHE_SECONDS = 5.0
MARK_SECONDS = 1_260
"""A mark outlives all rows cached before it: the longest `SESSION_OUTAGE_SECONDS` (1,200), and a minute more."""
_CACHE_SIZE = 20_000
_PATIENCE_SECONDS = 0.25
_DATABASE_PATIENCE_SECONDS = 0.5
"""The longest wait for PostgreSQL where the request could be served without it."""
_AWAY_SECONDS = 1.0
_EVERYONE = "carteira:changed:everyone"
_ALLOWED_BEFORE_CHANGE = ("PUT", "/users/me/password")

stale_standings = Counter(
    "carteira_stale_standings", "Requests accepted by the cached standing of a session while PostgreSQL was unavailable"
)
log = structlog.get_logger(__name__)

# A code counts while its authenticator is on; a passkey counts in its session. Sessions of earlier releases only have
# their methods.
_STANDING = text(r"""
    SELECT session.expires_at, ARRAY[]::text[] AS networks, person.must_change_password,
           coalesce(session.signed_in_at, session.created_at) AS signed_in_at,
           CASE
               WHEN session.methods ~ '\mpasskey\M' THEN coalesce(session.second_factor_at, session.created_at)
               WHEN session.second_factor_at >= totp.confirmed_at THEN session.second_factor_at
               WHEN session.second_factor_at IS NULL AND session.methods ~ '\m(totp|recovery_code)\M'
                    AND session.created_at >= totp.confirmed_at THEN session.created_at
           END AS second_factor_at,
           totp.confirmed_at IS NOT NULL AS has_authenticator,
           EXISTS (SELECT FROM passkeys WHERE passkeys.user_id = person.id) AS has_passkey,
           coalesce(array_agg(claim.description) FILTER (WHERE claim.active), '{}') AS claims
    FROM sessions session
    JOIN users person ON person.id = session.user_id AND person.erased_at IS NULL AND person.suspended_at IS NULL
    LEFT JOIN totp ON totp.user_id = person.id AND totp.confirmed_at IS NOT NULL
    LEFT JOIN user_claims held ON held.user_id = person.id
    LEFT JOIN claims claim ON claim.id = held.claim_id
    WHERE session.id = :via AND session.user_id = :id AND session.revoked_at IS NULL
    GROUP BY session.id, person.id, totp.user_id
""")


_CLIENT_STANDING = text("""
    SELECT least(client.expires_at, credential.expires_at) AS expires_at, client.networks,
           false AS must_change_password,
           coalesce(array_agg(claim.description) FILTER (WHERE claim.active), '{}') AS claims
    FROM client_credentials credential
    JOIN clients client ON client.id = credential.client_id AND client.revoked_at IS NULL
    LEFT JOIN client_claims held ON held.client_id = client.id
    LEFT JOIN claims claim ON claim.id = held.claim_id
    WHERE credential.id = :via AND client.id = :id AND credential.revoked_at IS NULL
    GROUP BY credential.id, client.id
""")
_STATEMENTS = {"person": _STANDING, "client": _CLIENT_STANDING}


class _Key(NamedTuple):
    """The key of a standing: a person's session, or a client's credential."""

    kind: Literal["person", "client"]
    id: UUID
    via: UUID


_Marks = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class _Standing:
    claims: frozenset[str]
    sign_in: SignIn | None
    """None for a client."""
    expires_at: datetime | None
    networks: tuple[str, ...]
    """The networks of a client; none: any."""
    scopes: frozenset[UUID] | None
    """The employers that they are bound to; None: not bound."""
    must_change_password: bool
    read_at: float
    marks: _Marks | None
    """The marks before the read; None: Redis was away."""
    run: str | None
    """The run of the Redis server that they are from."""


def _sign_in(row: Row[Any]) -> SignIn:
    return SignIn(row.signed_in_at, row.second_factor_at, row.has_authenticator, row.has_passkey)


def _mark(user_id: UUID) -> str:
    return f"carteira:changed:{user_id}"


class SessionStandings:
    """Authenticates requests, and invalidates all processes' caches after changes."""

    def __init__(
        self,
        ring: SigningKeys,
        database: Database,
        redis: Redis | None,
        config: IdentityConfig,
        bindings: Sequence[Bindings] = (),
    ) -> None:
        self.ring = ring
        self._database = database
        self._redis = PatientRedis(redis, "sessions", patience_seconds=_PATIENCE_SECONDS, away_seconds=_AWAY_SECONDS)
        self._development = config.development
        self._outage_seconds = config.outage_seconds
        self._needs_second_factor = config.second_factor
        self._bindings = bindings
        self._cache: dict[_Key, _Standing] = {}
        self._questions = Gathered(self._fetch_marks)
        self._unwritten: dict[str, object] = {}
        self._database_away_until = 0.0
        self._using_cache = False

    async def authenticate(self, request: Request, token: str) -> Principal:
        """Turn a bearer token into a principal.

        Raises:
            NotAuthenticated: the token is invalid, its session has ended, or a client connects from another network.
            PasswordChangeRequired: the session may only change its generated password.
        """
        content = self.ring.verify(token)
        try:
            subject = UUID(content["sub"])
            session_id = UUID(content["sid"]) if "sid" in content else None
            credential_id = UUID(content["credential"]) if "client_id" in content else None
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise NotAuthenticated from error
        if credential_id is not None:
            return await self._client(request, _Key("client", subject, credential_id), content.get("scope"))
        if session_id is None:
            return self._operator(subject, content.get("claims", ()))
        return await self.principal(
            subject,
            session_id,
            only_to_change_password=(request.method, route_path(request)) == _ALLOWED_BEFORE_CHANGE,
            request=request,
        )

    async def principal(
        self,
        user_id: UUID,
        session_id: UUID,
        *,
        only_to_change_password: bool = False,
        request: Request | None = None,
    ) -> Principal:
        """Return the principal of a session, with its present rights.

        Raises:
            NotAuthenticated: the session has ended.
            PasswordChangeRequired: the session may only change its generated password, and the request does not.
        """
        key = _Key("person", user_id, session_id)
        standing = self._remembered(key, request) if request is not None else None
        standing = standing or await self._live(key)
        if standing.must_change_password and not only_to_change_password:
            raise PasswordChangeRequired
        withheld = frozenset[str]()
        if self._needs_second_factor and (standing.sign_in is None or standing.sign_in.second_factor_at is None):
            withheld = standing.claims - SELF_SERVICE
        return Principal(
            user_id, standing.claims - withheld, session_id, withheld, standing.sign_in, scopes=standing.scopes
        )

    def _remembered(self, key: _Key, request: Request) -> _Standing | None:
        """Return the cached standing for a request that confirms late, if it is sufficient.

        Redis is asked for the marks meanwhile; `request.state.confirm` awaits its answer.
        """
        if not getattr(request.state, "confirms_late", False):
            return None
        known = self._cache.get(key)
        if (
            known is None
            or time.monotonic() - known.read_at >= CACHE_SECONDS
            or known.must_change_password
            or (known.expires_at is not None and known.expires_at <= clock.now())
            or not is_within(client_address(request), known.networks)
        ):
            return None
        marks = self._questions.put(_mark(key.id))

        async def confirm() -> None:
            # A second wait may follow one that was given up.
            if await asyncio.shield(marks) != known.marks:
                raise Overtaken

        request.state.confirm = confirm
        return known

    async def _live(self, key: _Key) -> _Standing:
        """Return a standing that is valid now.

        Raises:
            SessionOver: there is none, or it has expired.
        """
        standing = await self._standing(key)
        if standing is None or (standing.expires_at is not None and standing.expires_at <= clock.now()):
            raise SessionOver
        return standing

    async def _client(self, request: Request, key: _Key, scope: object) -> Principal:
        """Return the principal of a client's token, which may be limited to some claims; clients have one factor."""
        standing = self._remembered(key, request) or await self._live(key)
        if not is_within(client_address(request), standing.networks):
            raise NotAuthenticated
        narrowed = standing.claims if scope is None else standing.claims & frozenset(str(scope).split())
        return Principal(key.id, narrowed, kind="client", scopes=standing.scopes)

    def _operator(self, user_id: UUID, claims: object) -> Principal:
        """Return the principal of a token that carries its own claims (`carteira token`), in development only."""
        if not self._development or not isinstance(claims, list | tuple):
            raise NotAuthenticated
        return Principal(user_id, frozenset(str(claim) for claim in claims))

    async def _standing(self, key: _Key) -> _Standing | None:
        now = time.monotonic()
        marks = await self._marks(key.id)
        known = self._cache.get(key)
        if known is None or marks is None or known.marks != marks:
            return await self._read(key, marks, now)
        if now - known.read_at < CACHE_SECONDS:
            return known
        if now - known.read_at >= self._outage_seconds:
            return await self._read(key, marks, now)
        return await self._read_or_use_cache(key, known, now)

    async def _read(self, key: _Key, marks: _Marks | None, now: float) -> _Standing | None:
        """Read the standing from PostgreSQL, and cache it with the marks that Redis had before.

        Raises:
            DatabaseDown: it does not answer.
        """
        run = await self._run() if marks is not None else None
        async with self._database.transaction() as tx:
            row = (await tx.execute(_STATEMENTS[key.kind], {"id": key.id, "via": key.via})).one_or_none()
            if row is not None:
                claims, scopes = await self._bound(tx, key.id, frozenset(row.claims))
        self._database_answered()
        self._cache.pop(key, None)
        if row is None:
            return None
        standing = _Standing(
            claims,
            _sign_in(row) if key.kind == "person" else None,
            row.expires_at,
            tuple(row.networks),
            scopes,
            row.must_change_password,
            now,
            marks,
            run,
        )
        if marks is not None:
            if len(self._cache) >= _CACHE_SIZE:
                del self._cache[next(iter(self._cache))]  # the least recently read one
            self._cache[key] = standing
        return standing

    async def _read_or_use_cache(self, key: _Key, known: _Standing, now: float) -> _Standing | None:
        """Read PostgreSQL, or use the cached standing (whose marks are unchanged) while it is away.

        Raises:
            DatabaseDown: it is away, and this Redis may have lost marks.
        """
        tries = now >= self._database_away_until
        if tries:
            if self._using_cache:  # one request at a time tries PostgreSQL; the others do not wait for it
                self._database_away_until = now + _AWAY_SECONDS
            try:
                async with asyncio.timeout(_DATABASE_PATIENCE_SECONDS):
                    return await self._read(key, known.marks, now)
            except (DatabaseDown, TimeoutError):
                self._database_away_until = time.monotonic() + _AWAY_SECONDS
        if known.run is None or await self._run() != known.run:
            if tries:
                raise DatabaseDown
            try:
                async with asyncio.timeout(_DATABASE_PATIENCE_SECONDS):
                    return await self._read(key, known.marks, now)  # as for an unknown session
            except TimeoutError as error:
                raise DatabaseDown from error
        if not self._using_cache:
            self._using_cache = True
            log.warning("database unavailable, cached standings used")
        stale_standings.inc()
        return known

    async def _bound(
        self, tx: Tx, subject: UUID, held: frozenset[str]
    ) -> tuple[frozenset[str], frozenset[UUID] | None]:
        """Return the claims that a bound caller keeps, and the employers that they are bound to."""
        scopes: frozenset[UUID] | None = None
        for binding in self._bindings:
            bound_to = await binding.of(tx, subject)
            if bound_to is not None:
                held = binding.claims if EVERY_CLAIM in held else held & (binding.claims | SELF_SERVICE)
                scopes = bound_to | (scopes or frozenset())
        return held, scopes

    async def is_bound(self, tx: Tx, subject: UUID) -> bool:
        """Return whether a person is bound to an employer, and so keeps few claims, whatever was granted to them."""
        for binding in self._bindings:
            if await binding.of(tx, subject) is not None:
                return True
        return False

    def _database_answered(self) -> None:
        self._database_away_until = 0.0
        if self._using_cache:
            self._using_cache = False
            log.info("database available, standings read again")

    async def _marks(self, user_id: UUID) -> _Marks | None:
        """Return the marks of a person and of everyone; None: Redis is away, or a change is not written to it yet."""
        return await self._questions.ask(_mark(user_id))

    async def _fetch_marks(self, marks: Sequence[str]) -> Sequence[_Marks | None]:
        """Ask Redis for marks, in one trip for all waiting requests."""

        async def get(redis: Redis) -> Sequence[_Marks]:
            await self._write_marks(redis)
            everyone, *values = await redis.mget(_EVERYONE, *marks)
            return [(value, everyone) for value in values]

        return await self._redis.ask(get) or [None] * len(marks)

    async def _run(self) -> str | None:
        """Return the run id of the Redis server, which changes with each restart and failover."""

        async def get(redis: Redis) -> str | None:
            try:
                return cast("str | None", (await redis.info("server")).get("run_id"))
            except ResponseError:  # it answers, but without a run id
                return None

        return await self._redis.ask(get)

    def changed(self, tx: Tx, user_id: UUID) -> None:
        """Invalidate a person's cached rights after this transaction's commit."""
        after_commit(tx, self._marker_of(_mark(user_id)))

    def changed_for_everyone(self, tx: Tx) -> None:
        """Invalidate everyone's cached rights after this transaction's commit, since a claim changes."""
        after_commit(tx, self._marker_of(_EVERYONE))

    def _marker_of(self, mark: str) -> Callable[[], Awaitable[None]]:
        async def write_mark() -> None:
            if self._redis.is_configured:
                self._unwritten[mark] = object()
                await self._redis.ask(self._write_marks, even_if_away=True)

        return write_mark

    async def _write_marks(self, redis: Redis) -> None:
        """Set the marks of changes that are not in Redis yet: the present one, and those made while Redis was away.

        A mark starts at a random value and counts up, so that a retry never restores an old one.
        """
        for mark, change in tuple(self._unwritten.items()):
            async with redis.pipeline() as pipeline:
                pipeline.set(mark, secrets.randbits(62), nx=True)
                pipeline.incr(mark)
                pipeline.expire(mark, MARK_SECONDS)
                await pipeline.execute()
            if self._unwritten.get(mark) is change:  # not of a later change, which is still to be written
                del self._unwritten[mark]
