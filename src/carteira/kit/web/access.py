"""Who asks, and may they: deny by default. Each route says `public`, `signed_in` or the claims that it needs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request
from fastapi.params import Depends as DependsMarker
from fastapi.security import OAuth2PasswordBearer

from carteira.kit.values.actor import Actor
from carteira.kit.web.problems import Forbidden, NotAuthenticated

EVERY_CLAIM = "*"


@dataclass(frozen=True, slots=True)
class Principal:
    """A signed-in person or operator."""

    user_id: UUID
    claims: frozenset[str] = frozenset()
    session_id: UUID | None = None
    extra: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def actor(self) -> Actor:
        """Who does what this principal asks for, as the ledger keeps it."""
        return Actor.person(self.user_id)

    def may(self, claim: str) -> bool:
        """Tell whether the claim was granted."""
        return claim in self.claims or EVERY_CLAIM in self.claims

    def require(self, claim: str) -> None:
        """Insist on a claim.

        Raises:
            Forbidden: it was not granted.
        """
        if not self.may(claim):
            raise Forbidden


Authenticate = Callable[[Request, str], Awaitable[Principal]]
"""Turns a bearer token into a principal, or raises `NotAuthenticated`; the composition root sets it on `app.state`."""

_bearer = OAuth2PasswordBearer(tokenUrl="/auth/login", auto_error=False)


async def _signed_in(request: Request, token: Annotated[str | None, Depends(_bearer)]) -> Principal:
    if not token:
        raise NotAuthenticated
    authenticate: Authenticate = request.app.state.authenticate
    principal = await authenticate(request, token)
    request.state.principal = principal
    return principal


async def _visitor(request: Request, token: Annotated[str | None, Depends(_bearer)]) -> Principal | None:
    return await _signed_in(request, token) if token else None


Visitor = Annotated[Principal | None, Depends(_visitor)]
"""A parameter of a public route that treats a signed-in person otherwise; a bad token is refused, not ignored."""


class SignedIn:
    """Route access: any signed-in person; the verb checks whose things they are."""

    async def __call__(self, principal: Annotated[Principal, Depends(_signed_in)]) -> Principal:
        """Hand the principal on."""
        return principal


class Claims:
    """Route access: a signed-in person who holds every claim named."""

    def __init__(self, *claims: str) -> None:
        self.claims = claims

    async def __call__(self, principal: Annotated[Principal, Depends(_signed_in)]) -> Principal:
        """Check the claims and hand the principal on."""
        for claim in self.claims:
            principal.require(claim)
        return principal


class Public:
    """Route access: anyone. The reason is for the reader and for the test that walks the routes."""

    def __init__(self, why: str) -> None:
        self.why = why

    async def __call__(self) -> None:
        """Let everybody pass."""


Who = Annotated[Principal, Depends(SignedIn())]
"""A route parameter: the signed-in person."""


def claims(*names: str) -> DependsMarker:
    """Name the claims that a route demands, in its `dependencies` or in an `Annotated[Principal, …]`."""
    return DependsMarker(Claims(*names))


def public(why: str) -> DependsMarker:
    """Open a route to anyone, saying why."""
    return DependsMarker(Public(why))
