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
    """Return the CPF that a person goes by, proven or not; None if there is none, or they were erased.

    It is for what keeps somebody out. What lets somebody in goes by `identity.proven_cpf`.
    """
    try:
        return (await identity.person(tx, user_id)).cpf
    except identity.UserNotFound:
        return None


async def names_of(tx: Tx, ids: Iterable[UUID]) -> Mapping[UUID, str]:
    """Return the full names of people, and the names of clients, by id, without those who were erased."""
    return await identity.names(tx, ids)
