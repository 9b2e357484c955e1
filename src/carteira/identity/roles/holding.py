"""A person's or client's present claims, to check again a maker who asked long ago."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from sqlalchemy import select

from carteira.identity.clients.models import ClientClaim, ClientRow
from carteira.identity.models import Claim, User, UserClaim
from carteira.kit.db.session import Tx
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.web.access import EVERY_CLAIM, Bindings, Principal


async def held(tx: Tx, actor: Actor) -> frozenset[str] | None:
    """Return the claims that a person or a client holds; empty if they are suspended, erased or ended.

    None for actors without a row: a job, a command, a developer's token (in development only).
    """
    owner: User | ClientRow | None
    if actor.kind == "person":
        owner = await tx.get(User, actor.user_id)
        named = select(UserClaim.claim_id).where(UserClaim.user_id == actor.user_id)
    elif actor.kind == "client":
        owner = await tx.get(ClientRow, UUID(actor.id))
        named = select(ClientClaim.claim_id).where(ClientClaim.client_id == UUID(actor.id))
    else:
        return None
    if owner is None:
        return None
    if _is_over(owner):
        return frozenset()
    return frozenset(await tx.scalars(select(Claim.description).where(Claim.id.in_(named), Claim.active)))


def _is_over(owner: User | ClientRow) -> bool:
    if isinstance(owner, User):
        return owner.suspended_at is not None or owner.erased_at is not None
    return owner.revoked_at is not None or (owner.expires_at is not None and owner.expires_at <= clock.now())


def still_may(bindings: Sequence[Bindings]) -> Callable[[Tx, Actor, str], Awaitable[bool]]:
    """Return a function that returns whether a maker may still use a claim.

    `bindings` limit the claims of bound people to their own.
    """

    async def answer(tx: Tx, actor: Actor, claim: str) -> bool:
        claims = await held(tx, actor)
        if claims is None:
            return True
        if claim not in claims and EVERY_CLAIM not in claims:
            return False
        for binding in bindings:
            if claim not in binding.claims and await binding.of(tx, UUID(actor.id)) is not None:
                return False
        return True

    return answer


ClientStanding = Callable[[Tx, UUID], Awaitable[Principal]]
"""Returns a client's present claims."""


def client_standing(bindings: Sequence[Bindings]) -> ClientStanding:
    """Return a function that returns a client's present claims, with or without a token; an ended client has none."""

    async def answer(tx: Tx, client_id: UUID) -> Principal:
        claims = await held(tx, Actor("client", str(client_id))) or frozenset()
        scopes: frozenset[UUID] | None = None
        for binding in bindings:
            bound_to = await binding.of(tx, client_id)
            if bound_to is not None:
                claims &= binding.claims
                scopes = bound_to | (scopes or frozenset())
        return Principal(client_id, claims, kind="client", scopes=scopes)

    return answer
