"""What resellers needs of the people that identity owns, handed in by the composition root."""

from collections.abc import Awaitable
from typing import Protocol
from uuid import UUID

from carteira.kit.tx import Tx

CLAIM = "reseller"


class People(Protocol):
    """People: how one is added, known by CPF, and given the claim."""

    def prepare_password(self, password: str, *, personal: tuple[str, ...]) -> Awaitable[str]:
        """Check a password's rules and give its hash; takes a while, so it is called outside of a transaction."""

    def add_person(self, tx: Tx, *, full_name: str, email: str, cpf: str, password_hash: str) -> Awaitable[UUID]:
        """Add a person and give their id; a taken e-mail or CPF is a `Conflict`."""

    def cpf_of(self, tx: Tx, user_id: UUID) -> Awaitable[str | None]:
        """Give a person's CPF, if they have told it."""

    def grant_claim(self, tx: Tx, user_id: UUID, claim: str) -> Awaitable[None]:
        """Give a person a claim, with the transaction."""
