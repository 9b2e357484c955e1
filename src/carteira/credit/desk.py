"""What the console asks of credit: one CPF's bases and score, each look recorded with what it is for."""

from dataclasses import dataclass

from carteira.credit import base_a, score
from carteira.credit.errors import InsufficientData, PersonIsMinor
from carteira.credit.schemas import ProfileOut, Purpose, ScoreOut
from carteira.credit.stores import Stores
from carteira.kit.db.engine import Database
from carteira.kit.security.audit_trail import AuditTrail
from carteira.kit.web.access import Principal

__all__ = ["CreditSeen", "ProfileOut", "Purpose", "ScoreOut", "look"]


@dataclass(frozen=True, slots=True)
class CreditSeen:
    """What is known of a CPF: its bases, and the score with its reasons, or why there is none."""

    profile: ProfileOut
    score: ScoreOut | None
    no_score: str


async def look(  # noqa: PLR0913, PLR0917 - where to read, and who asks what for
    stores: Stores, database: Database, trail: AuditTrail, who: Principal, cpf: str, purpose: Purpose
) -> CreditSeen:
    """Look at a CPF's three bases, and work out its score of base B.

    Raises:
        AuditDown: it could not be written down.
    """
    profile = await stores.profile(database, trail, cpf, who, purpose)
    if profile.base_b is None:
        down = "base_b" in profile.unavailable
        return CreditSeen(profile, None, "A base B está fora do ar." if down else "A base B não tem dados deste CPF.")
    await trail.look("credit_score_read", base_a.person_id(stores.keyring, cpf), purpose=purpose)
    try:
        return CreditSeen(profile, score.of_person(profile.base_b), "")
    except (InsufficientData, PersonIsMinor) as error:
        missing = " ".join(item["message"] for item in error.errors)
        return CreditSeen(profile, None, missing or error.detail)
