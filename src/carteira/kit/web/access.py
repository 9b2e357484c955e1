"""Who asks, and may they: deny by default. Each route says `public`, `signed_in` or the claims that it needs.

A route that a claim opens (by `claims(…)`, or by `Principal.may` in its verb) also says what kind it is, for the audit:
`acts("action")`, `looks("action")` or `reads("why it needs no row")`. What a route says and what its requests leave
are compared after each; `carteira_audit_missing_total` counts those that differ.
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
"""Claims that open nothing but what is the person's own."""

audit_missing = Counter(
    "carteira_audit_missing",
    "Requests that were answered without the rows in the audit that their route says",
    ["route"],
)
log = structlog.get_logger(__name__)
RECENT = timedelta(minutes=15)


class SecondFactorRequired(Forbidden):
    """The claim is held, and takes effect only in a session that has shown a second factor; the problem says where."""

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
    """The act wants that the person was there within the last few minutes."""

    code = "recent_sign_in_required"
    detail = "Entre de novo, ou confirme que é você em POST /auth/step-up, e repita a operação."


@dataclass(frozen=True, slots=True)
class SignIn:
    """What a session has shown of its person, and when."""

    signed_in_at: datetime
    """When the person last gave a first factor in this session."""
    second_factor_at: datetime | None = None
    """When they last showed a second one that counts still; None: never."""
    has_authenticator: bool = False
    """Whether a code of an authenticator can be asked for."""
    has_passkey: bool = False

    @property
    def present_at(self) -> datetime | None:
        """When the person was last surely there: by the second factor where there is one, else by the first."""
        if self.has_authenticator or self.second_factor_at is not None:
            return self.second_factor_at
        return self.signed_in_at


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a signed-in person or operator, or a client (a machine).

    `claims` are those that take effect; `withheld` those that are held and wait for a second factor. `sign_in` is None
    for tokens of no session: a developer's, a client's.
    """

    id: UUID
    claims: frozenset[str] = frozenset()
    session_id: UUID | None = None
    withheld: frozenset[str] = frozenset()
    sign_in: SignIn | None = None
    extra: dict[str, Any] = field(default_factory=dict, compare=False)
    kind: Literal["person", "client"] = "person"
    scopes: frozenset[UUID] | None = None
    """What they are bound to (employers): what belongs to anybody else is not there for them. None: not bound."""

    @property
    def user_id(self) -> UUID:
        """The person's id; what is a person's own begins with it, and so is closed to clients.

        Raises:
            PersonRequired: a client asks.
        """
        if self.kind != "person":
            raise PersonRequired
        return self.id

    @property
    def actor(self) -> Actor:
        """Who does what this principal asks for, as the ledger keeps it."""
        return Actor(self.kind, str(self.id))

    def may(self, claim: str) -> bool:
        """Tell whether the claim was granted."""
        granted = claim in self.claims or EVERY_CLAIM in self.claims
        if granted and claim not in OWN_CLAIMS and (request := audit.current()) is not None:
            request.by_claim = True
        return granted

    def require(self, claim: str, *, otherwise: Problem | None = None) -> None:
        """Insist on a claim; where its lack is told as something else (a 404), `otherwise` says as what.

        Raises:
            Forbidden: it was not granted, which `claim` names; or the problem of `otherwise`.
            SecondFactorRequired: it was, and waits for the session's second factor.
        """
        if self.may(claim):
            return
        if claim in self.withheld or EVERY_CLAIM in self.withheld:
            raise SecondFactorRequired(enrolled=self._has_second_factor)
        raise otherwise or Forbidden(f"Você não tem permissão para fazer isso: falta `{claim}`.", claim=claim)

    def require_recent_sign_in(self) -> None:
        """Insist that the person was there within the last quarter of an hour, for what a stolen session must not do.

        Where an authenticator is on, a code says so, given at the sign-in or at `/auth/step-up`; else a sign-in or the
        password. Who has a second factor and claims that wait for it shows it first: a password alone adds no other.

        Raises:
            RecentSignInRequired: they were not.
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
        """Insist on a recent sign-in of who acts in a session; tokens of no session have none to renew.

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
    """How a module binds people and clients to what they work for; they then hold no claims but those named.

    `of(tx, id)` gives what somebody is bound to; None if they are not bound.
    """

    of: Callable[[Tx, UUID], Awaitable[frozenset[UUID] | None]]
    claims: frozenset[str]


Authenticate = Callable[[Request, str], Awaitable[Principal]]
"""Turns a bearer token into a principal, or raises `NotAuthenticated`; the composition root sets it as `AUTHENTICATE`.

A request that confirms late (`confirms_late`) may be given who is remembered: what makes sure that they still stand as
they did is then `request.state.confirm`."""
AUTHENTICATE = StateKey[Authenticate]("authenticate")
LOOK_LIMIT = StateKey[LookLimit]("look_limit")
"""Not set where the settings name no limit."""


class Overtaken(Exception):
    """Who asks does not stand as was remembered: the request is to be answered again by what is true now."""


def confirms_late(request: Request, *, late: bool = True) -> None:
    """Say that a request awaits `confirm` itself: before its answer leaves, and before it writes anything."""
    request.state.confirms_late = late
    request.state.confirm = None


async def confirm(request: Request) -> None:
    """Make sure that who asks stands as they were taken to; costs nothing where that was known from the beginning.

    Raises:
        Overtaken: they do not; nothing of this request may leave.
    """
    pending: Callable[[], Awaitable[None]] | None = getattr(request.state, "confirm", None)
    if pending is not None:
        await pending()
        request.state.confirm = None


bearer = OAuth2PasswordBearer(tokenUrl="/auth/login", auto_error=False)


ByCookie = Callable[[Request], Awaitable[Principal | None]]
"""Who asks for a page, by their cookie; None: nobody is signed in. Routes of pages set it as `request.state.by_cookie`;
a bearer token opens no page, and a cookie nothing of the API."""


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
    """Authenticate who sends a token; what they leave in the audit is by them, and compared with what the route says.

    Raises:
        Overtaken: what was done within the block was for who does not stand as was remembered, whatever came of it.
    """
    principal = await _principal(request, token)
    if principal is None:
        yield None
        return
    request.state.principal = principal
    structlog.contextvars.bind_contextvars(actor_kind=principal.actor.kind, actor_id=principal.actor.id)
    with audit.during(principal.actor, principal.session_id, partial(confirm, request)) as left:
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
        log.error("audit missing", route=route, method=request.method, acts=left.acts, looked=left.looked)


async def visitor(request: Request, token: Annotated[str | None, Depends(bearer)]) -> AsyncIterator[Principal | None]:
    """Give who asks. "function" scope, as the transaction's: it ends before the answer is sent."""
    async with visit(request, token) as principal:
        yield principal


def _look_limit(request: Request, principal: Principal) -> LookLimit | None:
    """Return what bounds the people whom somebody is shown; machines and who holds no claims have no bound."""
    if principal.kind != "person" or not principal.claims - OWN_CLAIMS:
        return None
    return LOOK_LIMIT.get(request.app)


Visitor = Annotated[Principal | None, Depends(visitor, scope="function")]
"""A parameter of a public route that treats a signed-in person otherwise; a bad token is refused, not ignored."""


async def _signed_in(visitor: Visitor) -> Principal:
    if visitor is None:
        raise NotAuthenticated
    return visitor


class SignedIn:
    """Route access: whoever is signed in; the verb checks whose things they are, and `user_id` that it is a person."""

    async def __call__(self, principal: Annotated[Principal, Depends(_signed_in)]) -> Principal:
        """Hand the principal on."""
        return principal


class Claims:
    """Route access: a signed-in person or a client that holds every claim named."""

    def __init__(self, *claims: str) -> None:
        self.claims = claims

    async def __call__(self, principal: Annotated[Principal, Depends(_signed_in)]) -> Principal:
        """Check the claims and hand the principal on."""
        for claim in self.claims:
            principal.require(claim)
        return principal


class StepUp:
    """Beside a route's access: a session whose person was there lately. Tokens of no session are outside of it."""

    async def __call__(self, principal: Annotated[Principal, Depends(_signed_in)]) -> None:
        """Insist on a recent sign-in."""
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
    """Route kind: it does something by a claim. Its verb records exactly one of these actions, where it does it.

    What has to wait for a second person is recorded as proposed instead, and by its verb when it is carried out. A
    route that does the same with each of several things records one for `each` that it did.
    """

    def __init__(self, *actions: str, each: bool = False) -> None:
        self.actions = actions
        self.each = each

    def fits(self, left: audit.Request) -> bool:
        """Tell whether a request that succeeded left what it has to."""
        done = sum(action in self.actions for action in left.acts)
        return audit.PROPOSED in left.acts or done == 1 or (self.each and done > 1)


class Looks:
    """Route kind: it shows people's data by a claim. It records a look for each person shown."""

    def __init__(self, action: str) -> None:
        self.action = action

    async def __call__(self, request: Request, principal: Annotated[Principal, Depends(_signed_in)]) -> None:
        """Find out whether it may show anybody."""
        if (limit := _look_limit(request, principal)) and (left := audit.current()):
            left.wait_seconds = await limit.wait(principal.id)

    def fits(self, left: audit.Request) -> bool:
        """Tell whether a request that succeeded left what it has to."""
        return left.looked or self.action in left.acts


class PlainReads(Marker):
    """Route kind: it shows machines or totals, nobody's data. It leaves no row; the reason is for the reader."""

    def __init__(self, why: str) -> None:
        self.why = why

    def fits(self, left: audit.Request) -> bool:
        """Tell whether a request that succeeded left what it has to."""
        return not left.looked and not left.acts


Who = Annotated[Principal, Depends(SignedIn())]
"""A route parameter: who is signed in."""


def claims(*names: str) -> DependsMarker:
    """Name the claims that a route demands, in its `dependencies` or in an `Annotated[Principal, …]`."""
    return DependsMarker(Claims(*names))


def step_up() -> DependsMarker:
    """Have a route that demands a claim ask for a recent sign-in too, with the second factor where there is one."""
    return DependsMarker(StepUp())


def public(why: str) -> DependsMarker:
    """Open a route to anyone, saying why."""
    return DependsMarker(Public(why))


def acts(*actions: str, each: bool = False) -> DependsMarker:
    """Say that a route acts by claim, and which action its verb records (one of these, where there are several).

    With `each` it does the same with several things, and records as many.
    """
    return DependsMarker(Acts(*actions, each=each))


def looks(action: str) -> DependsMarker:
    """Say that a route shows people's data by claim, and as which action that is recorded."""
    return DependsMarker(Looks(action))


def reads(why: str) -> DependsMarker:
    """Say that what a route shows by claim is nobody's, and why it needs no row in the audit."""
    return DependsMarker(PlainReads(why))
