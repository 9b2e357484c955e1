"""Authentication and authorization of a request: deny by default.

Each route names `public`, `signed_in` or the claims that it needs.

A route that demands a claim (by `claims(…)`, or by `Principal.may` in its verb) also declares its kind for the audit:
`acts("action")`, `looks("action")` or `reads("why it needs no row")`. After each request the rows that it left are
compared with the route's kind; `carteira_audit_missing_total` counts differences.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

import structlog
from fastapi import Depends, Request
from fastapi.params import Depends as DependsMarker
from fastapi.security import OAuth2PasswordBearer
from prometheus_client import Counter

from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.security.look_limits import LookLimit
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.web.problems import Forbidden, NotAuthenticated, PersonRequired, Problem
from carteira.kit.web.state import StateKey

EVERY_CLAIM = "*"
OWN_CLAIMS = frozenset({"reseller"})
"""Claims that give access only to the person's own things."""

audit_missing = Counter(
    "carteira_audit_missing",
    "Requests that were answered without the audit rows that their route declares",
    ["route"],
)
log = structlog.get_logger(__name__)
RECENT = timedelta(minutes=15)


class SecondFactorRequired(Forbidden):
    """The claim is held, but takes effect only after a second factor; the problem names the route for it."""

    code = "second_factor_required"
    detail = "Confirme o seu segundo fator em POST /auth/step-up e repita a operação."

    def __init__(self, *, enrolled: bool) -> None:
        if enrolled:
            super().__init__(show_at="/auth/step-up")
        else:
            super().__init__(
                "Ative um segundo fator para usar esta permissão: um autenticador em POST /auth/totp ou uma chave de "
                "acesso em POST /auth/passkeys/register/options.",
                enrol_at="/auth/totp",
            )


class RecentSignInRequired(Forbidden):
    """The action needs a sign-in or step-up of the last few minutes."""

    code = "recent_sign_in_required"
    detail = "Entre de novo, ou confirme que é você em POST /auth/step-up, e repita a operação."


@dataclass(frozen=True, slots=True)
class SignIn:
    """The authentication factors of a session, and when each was verified."""

    signed_in_at: datetime
    """The instant at which the person last gave a first factor in this session."""
    second_factor_at: datetime | None = None
    """The instant at which a second factor that is still valid was last verified; None: never."""
    has_authenticator: bool = False
    """Whether the person has an authenticator whose code can be asked for."""
    has_passkey: bool = False

    @property
    def present_at(self) -> datetime | None:
        """The instant of the last verification: by the second factor if they have one, otherwise by the first."""
        if self.has_authenticator or self.second_factor_at is not None:
            return self.second_factor_at
        return self.signed_in_at


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller: a signed-in person or operator, or a client (a machine).

    `claims` take effect; `withheld` are held and take effect after a second factor. `sign_in` is None for tokens
    without a session: a developer's, a client's.
    """

    id: UUID
    claims: frozenset[str] = frozenset()
    session_id: UUID | None = None
    withheld: frozenset[str] = frozenset()
    sign_in: SignIn | None = None
    extra: dict[str, Any] = field(default_factory=dict, compare=False)
    kind: Literal["person", "client"] = "person"
    scopes: frozenset[UUID] | None = None
    """The employers that the caller is bound to; things of other employers are invisible (404). None: not bound."""

    @property
    def user_id(self) -> UUID:
        """The person's id. Verbs on a person's own things read it first, which closes them to clients.

        Raises:
            PersonRequired: a client asks.
        """
        if self.kind != "person":
            raise PersonRequired
        return self.id

    @property
    def actor(self) -> Actor:
        """The actor that the ledger records for this principal."""
        return Actor(self.kind, str(self.id))

    def may(self, claim: str) -> bool:
        """Return whether the claim was granted."""
        granted = claim in self.claims or EVERY_CLAIM in self.claims
        if granted and claim not in OWN_CLAIMS and (request := audit.current()) is not None:
            request.by_claim = True
        return granted

    def require(self, claim: str, *, otherwise: Problem | None = None) -> None:
        """Require a claim; `otherwise` is raised in place of `Forbidden` (a 404, for example).

        Raises:
            Forbidden: the claim was not granted (its member `claim` names it); or `otherwise`.
            SecondFactorRequired: it was granted, and waits for the session's second factor.
        """
        if self.may(claim):
            return
        if claim in self.withheld or EVERY_CLAIM in self.withheld:
            raise SecondFactorRequired(enrolled=self._has_second_factor)
        raise otherwise or Forbidden(f"Você não tem permissão para fazer isso: falta `{claim}`.", claim=claim)

    def require_recent_sign_in(self) -> None:
        """Require that the person was verified within the last 15 minutes, for what a stolen session must not do.

        Where an authenticator is on, its code verifies them (at sign-in or at `/auth/step-up`); else a sign-in or the
        password. A person whose claims wait for a second factor gives that factor first: a password alone must not add
        another one.

        Raises:
            RecentSignInRequired: the last verification is older.
            SecondFactorRequired: the session holds back claims for want of a second factor that the person has.
        """
        if self.sign_in is None:
            raise RecentSignInRequired
        if self.withheld and self._has_second_factor:
            raise SecondFactorRequired(enrolled=True)
        present_at = self.sign_in.present_at
        if present_at is None or present_at < clock.now() - RECENT:
            raise RecentSignInRequired

    def require_step_up(self) -> None:
        """Require a recent sign-in from a caller with a session; tokens without a session have none to renew.

        Raises:
            RecentSignInRequired, SecondFactorRequired.
        """
        if self.sign_in is not None:
            self.require_recent_sign_in()

    @property
    def _has_second_factor(self) -> bool:
        return self.sign_in is not None and (self.sign_in.has_authenticator or self.sign_in.has_passkey)


@dataclass(frozen=True, slots=True)
class Bindings:
    """A module's bindings of people and clients to employers; a bound one holds only the claims named here.

    `of(tx, id)` returns the employers of a person or client; None if they are not bound.
    """

    of: Callable[[Tx, UUID], Awaitable[frozenset[UUID] | None]]
    claims: frozenset[str]


Authenticate = Callable[[Request, str], Awaitable[Principal]]
"""Turns a bearer token into a principal, or raises `NotAuthenticated`; the composition root sets it as `AUTHENTICATE`.

A request that confirms late (`confirms_late`) may get the cached principal; `request.state.confirm` then checks that
the cache was still valid.
"""
AUTHENTICATE = StateKey[Authenticate]("authenticate")
LOOK_LIMIT = StateKey[LookLimit]("look_limit")
"""The limit of looks; not set where the settings name no limit."""


class Overtaken(Exception):
    """The cached rights of the caller are out of date: the request is answered again with the present ones."""


def confirms_late(request: Request, *, late: bool = True) -> None:
    """Mark a request that awaits `confirm` itself, before it writes anything and before its answer leaves."""
    request.state.confirms_late = late
    request.state.confirm = None


async def confirm(request: Request) -> None:
    """Check that the caller's cached rights are still valid; rights that were just read need no check.

    Raises:
        Overtaken: they are not; no part of the answer may be sent.
    """
    pending: Callable[[], Awaitable[None]] | None = getattr(request.state, "confirm", None)
    if pending is not None:
        await pending()
        request.state.confirm = None


bearer = OAuth2PasswordBearer(tokenUrl="/auth/login", auto_error=False)


ByCookie = Callable[[Request], Awaitable[Principal | None]]
"""Returns the caller of a page by their cookie; None: nobody is signed in. Routes of pages set it as
`request.state.by_cookie`; a bearer token opens no page, and a cookie opens no route of the API."""


async def _principal(request: Request, token: str | None) -> Principal | None:
    by_cookie: ByCookie | None = getattr(request.state, "by_cookie", None)
    if by_cookie is not None:
        return await by_cookie(request)
    if not token:
        return None
    authenticate = AUTHENTICATE.of(request.app)
    return await authenticate(request, token)


@asynccontextmanager
async def visit(request: Request, token: str | None) -> AsyncIterator[Principal | None]:
    """Authenticate the caller; audit rows of the block name them and are compared with the route's kind.

    Raises:
        Overtaken: the block ran with rights that were out of date, whatever came of it.
    """
    principal = await _principal(request, token)
    if principal is None:
        yield None
        return
    request.state.principal = principal
    actor = principal.actor
    structlog.contextvars.bind_contextvars(actor_kind=actor.kind, actor_id=actor.id)
    with audit.during(actor, principal.session_id, partial(confirm, request)) as left:
        try:
            yield principal
        except Exception:
            await confirm(request)
            raise
        await confirm(request)
    if left.shown and (limit := _look_limit(request, principal)):
        await limit.count(principal.id, left.shown)
    kind: Acts | Looks | PlainReads | None = getattr(request.state, "kind", None)
    if not (left.nothing_done or (kind.fits(left) if kind else not left.by_claim)):
        route = getattr(request.scope.get("route"), "path", "")
        audit_missing.labels(route).inc()
        log.error("audit rows missing", route=route, method=request.method, acts=left.acts, looked=left.looked)


async def visitor(request: Request, token: Annotated[str | None, Depends(bearer)]) -> AsyncIterator[Principal | None]:
    """Yield the caller. "function" scope, as the transaction's: it ends before the answer is sent."""
    async with visit(request, token) as principal:
        yield principal


def _look_limit(request: Request, principal: Principal) -> LookLimit | None:
    """Return the limit on how many people a caller may see; machines and callers without claims have none."""
    if principal.kind != "person" or not principal.claims - OWN_CLAIMS:
        return None
    return LOOK_LIMIT.get(request.app)


Visitor = Annotated[Principal | None, Depends(visitor, scope="function")]
"""A parameter of a public route that treats signed-in people differently; a bad token is refused, not ignored."""


async def _signed_in(visitor: Visitor) -> Principal:
    if visitor is None:
        raise NotAuthenticated
    return visitor


class SignedIn:
    """Route access: any signed-in caller; the verb checks ownership, and `user_id` that it is a person."""

    async def __call__(self, principal: Annotated[Principal, Depends(_signed_in)]) -> Principal:
        """Return the principal."""
        return principal


class Claims:
    """Route access: a signed-in person or a client that holds every claim named."""

    def __init__(self, *claims: str) -> None:
        self.claims = claims

    async def __call__(self, principal: Annotated[Principal, Depends(_signed_in)]) -> Principal:
        """Check the claims and return the principal."""
        for claim in self.claims:
            principal.require(claim)
        return principal


class StepUp:
    """Beside a route's access: requires a recent sign-in of the session. Tokens without a session are exempt."""

    async def __call__(self, principal: Annotated[Principal, Depends(_signed_in)]) -> None:
        """Require a recent sign-in."""
        principal.require_step_up()


class Marker:
    """Describes a route to readers, to tests and to `JsonRoute`. No request resolves it."""

    async def __call__(self) -> None:
        """Do nothing."""


class Public(Marker):
    """Route access: anyone. The reason is for the reader and for the test that walks the routes."""

    def __init__(self, why: str) -> None:
        self.why = why


class Acts(Marker):
    """Route kind: it acts by a claim. Its verb records exactly one of these actions.

    An operation that waits for a second person is recorded as proposed, and by its verb once it is carried out. A route
    that does the same to several things records one row for `each`.
    """

    def __init__(self, *actions: str, each: bool = False) -> None:
        self.actions = actions
        self.each = each

    def fits(self, left: audit.Request) -> bool:
        """Return whether a successful request left the rows that this kind demands."""
        done = sum(action in self.actions for action in left.acts)
        return audit.PROPOSED in left.acts or done == 1 or (self.each and done > 1)


class Looks:
    """Route kind: it shows people's data by a claim. It records a look for each person shown."""

    def __init__(self, action: str) -> None:
        self.action = action

    async def __call__(self, request: Request, principal: Annotated[Principal, Depends(_signed_in)]) -> None:
        """Check that the caller's limit of looks is not used up."""
        if (limit := _look_limit(request, principal)) and (left := audit.current()):
            left.wait_seconds = await limit.wait(principal.id)

    def fits(self, left: audit.Request) -> bool:
        """Return whether a successful request left the rows that this kind demands."""
        return left.looked or self.action in left.acts


class PlainReads(Marker):
    """Route kind: it shows machines or totals, nobody's data. It leaves no row; the reason is for the reader."""

    def __init__(self, why: str) -> None:
        self.why = why

    def fits(self, left: audit.Request) -> bool:
        """Return whether a successful request left the rows that this kind demands."""
        return not left.looked and not left.acts


Who = Annotated[Principal, Depends(SignedIn())]
"""A route parameter: the signed-in caller."""


def claims(*names: str) -> DependsMarker:
    """Name the claims that a route demands, in its `dependencies` or in an `Annotated[Principal, …]`."""
    return DependsMarker(Claims(*names))


def step_up() -> DependsMarker:
    """Make a route that demands a claim require a recent sign-in too, with the second factor where there is one."""
    return DependsMarker(StepUp())


def public(why: str) -> DependsMarker:
    """Open a route to anyone, with the reason."""
    return DependsMarker(Public(why))


def acts(*actions: str, each: bool = False) -> DependsMarker:
    """Declare that a route acts by claim, and which action its verb records (one of several).

    With `each` it records one row for each of several things.
    """
    return DependsMarker(Acts(*actions, each=each))


def looks(action: str) -> DependsMarker:
    """Declare that a route shows people's data by claim, and under which action each look is recorded."""
    return DependsMarker(Looks(action))


def reads(why: str) -> DependsMarker:
    """Declare that a route shows no person's data by claim, and why it needs no row in the audit."""
    return DependsMarker(PlainReads(why))
