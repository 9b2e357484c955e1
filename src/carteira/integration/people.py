"""People's data that other modules receive from identity."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from carteira import identity
from carteira.kit.db.session import Tx


async def name_of(tx: Tx, user_id: UUID) -> str | None:
    """Return the full name of a person; None if they were erased."""
    try:
        return (await identity.person(tx, user_id)).full_name
    except identity.UserNotFound:
        return None


async def cpf_of(tx: Tx, user_id: UUID) -> str | None:
    """Return a person's CPF, proven or only declared; None if there is none, or they were erased.

    Use it only to refuse access; `identity.proven_cpf` is the one that may give access.
    """
    try:
        return (await identity.person(tx, user_id)).cpf
    except identity.UserNotFound:
        return None


async def names_of(tx: Tx, ids: Iterable[UUID]) -> Mapping[UUID, str]:
    """Return the full names of people and the names of clients, by id; erased people are left out."""
    return await identity.names(tx, ids)
