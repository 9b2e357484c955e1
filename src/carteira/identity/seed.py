"""Demo data of identity: people with a public password."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from carteira.identity.errors import CpfTaken, EmailTaken
from carteira.identity.models import Claim, User, UserClaim
from carteira.identity.proof.service import CpfProof, prove
from carteira.identity.roles import service as roles
from carteira.identity.users.service import NewPerson, add_person
from carteira.kit.db.session import Tx


async def seed(tx: Tx, user_id: UUID, person: NewPerson, *, password_hash: str, role: str) -> bool:
    """Add a demo person under a fixed id; False if they exist, were erased, or their e-mail or CPF is taken.

    A demo person's CPF is proven, also if they were seeded by a release without proofs.
    """
    there = await tx.get(User, user_id)
    if there is not None:
        if there.cpf is not None and there.cpf == person.cpf:
            await prove(tx, (), user_id, CpfProof(there.cpf, "demo"))
        return False
    role_id = await roles.id_of(tx, role)
    try:
        async with tx.begin_nested():
            await add_person(
                tx, person, password_hash=password_hash, role_id=role_id, email_confirmed=True, user_id=user_id
            )
            if person.cpf is not None:
                await prove(tx, (), user_id, CpfProof(person.cpf, "demo"))
    except (EmailTaken, CpfTaken):
        return False
    return True


async def seed_claim(tx: Tx, user_id: UUID, description: str) -> None:
    """Grant a demo person a claim; they have no session yet."""
    claim_id = await tx.scalar(select(Claim.id).where(Claim.description == description))
    row = {"user_id": user_id, "claim_id": claim_id, "from_role": False}
    await tx.execute(insert(UserClaim).values(row).on_conflict_do_nothing())
