"""Becoming a reseller: by a registration, or as a signed-in person."""

from uuid import UUID

from carteira import identity
from carteira.kit.db.session import Tx
from carteira.kit.web.access import Principal
from carteira.kit.web.problems import InvalidInput, NotAuthenticated
from carteira.resellers import resellers
from carteira.resellers.errors import NoCpf
from carteira.resellers.resellers import CLAIM
from carteira.resellers.schemas import ResellerIn, ResellerOut


async def register(
    runtime: identity.Runtime, address: str, visitor: Principal | None, body: ResellerIn | None
) -> ResellerOut:
    """Register a person as a reseller, or make the signed-in one a reseller.

    Raises:
        NotAuthenticated: neither a body nor a token.
        InvalidInput: both, or a weak password.
        Conflict: the e-mail or CPF is taken, or the person is a reseller already.
        NoCpf: the signed-in person has no CPF.
        LimitReached: the address had too many conflicts.
    """
    if body is None:
        if visitor is None:
            raise NotAuthenticated
        async with runtime.database.transaction() as tx:
            return await _become(tx, runtime, visitor.user_id)
    if visitor is not None:
        raise InvalidInput("Você já tem cadastro: para se tornar revendedor, envie o pedido sem corpo.")

    async def then(tx: Tx, user_id: UUID) -> ResellerOut:
        return await _become(tx, runtime, user_id)

    person = identity.NewPerson(body.full_name, body.email, body.cpf)
    return await identity.register_person(runtime, address, person, body.password, then)


async def _become(tx: Tx, runtime: identity.Runtime, user_id: UUID) -> ResellerOut:
    """Make a person a reseller and give them the claim."""
    person = await identity.person(tx, user_id)
    if person.cpf is None:
        raise NoCpf
    added = await resellers.add(tx, user_id, person.cpf)
    await identity.grant_self_service(tx, runtime.access, user_id, CLAIM)
    return ResellerOut(
        id=added.id,
        user_id=user_id,
        full_name=person.full_name,
        email=person.email,
        cpf=person.cpf,
        created_at=added.created_at,
    )
