"""What somebody may by what is stored now: for a second look at who asked for something, long after they asked."""

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
    """Return the claims that a person or a client holds; none where they were suspended, erased, or have ended.

    None stands for who has no row: a job, a command, a developer's token, which only development takes.
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
    """Return what tells whether who asked for something may still ask for what a claim opens.

    `bindings` are those that leave who is bound no other claims than theirs.
    """

    async def tell(tx: Tx, actor: Actor, claim: str) -> bool:
        claims = await held(tx, actor)
        if claims is None:
            return True
        if claim not in claims and EVERY_CLAIM not in claims:
            return False
        for binding in bindings:
            if claim not in binding.claims and await binding.of(tx, UUID(actor.id)) is not None:
                return False
        return True

    return tell


ClientStanding = Callable[[Tx, UUID], Awaitable[Principal]]
"""Tells what a client may now, by what is stored."""


def client_standing(bindings: Sequence[Bindings]) -> ClientStanding:
    """Return what tells how a client stands now, whoever asks and whether it has a token; over, it holds nothing."""

    async def tell(tx: Tx, client_id: UUID) -> Principal:
        claims = await held(tx, Actor("client", str(client_id))) or frozenset()
        scopes: frozenset[UUID] | None = None
        for binding in bindings:
            bound_to = await binding.of(tx, client_id)
            if bound_to is not None:
                claims &= binding.claims
                scopes = bound_to | (scopes or frozenset())
        return Principal(client_id, claims, kind="client", scopes=scopes)

    return tell
