"""Credit for the console: one CPF's bases and score, the looks at it, outcomes, and models."""

from carteira.credit import base_a, outcomes, score
from carteira.credit.access_log import ACCESSES
from carteira.credit.errors import InsufficientData, PersonIsMinor
from carteira.credit.kept_looks import KEPT_FOR, KEPT_LOOKS, CreditSeen
from carteira.credit.outcomes import OutcomeIn, OutcomesOut
from carteira.credit.schemas import AccessOut, ProfileOut, Purpose, ScoreOut
from carteira.credit.stores import Stores
from carteira.credit.versions import ChoiceReason, CreditModelOut, ModelChoiceIn, ModelChoiceOut, list_models, model
from carteira.credit.versions import Version as ModelVersion
from carteira.credit.versions import choose as choose_model
from carteira.kit.db.engine import Database
from carteira.kit.db.errors import DatabaseDown
from carteira.kit.db.session import Tx
from carteira.kit.security.audit_trail import AuditTrail
from carteira.kit.values.clock import clock
from carteira.kit.values.cpf import mask_cpf
from carteira.kit.web.access import Principal
from carteira.kit.web.pagination import Page, PageRequest

__all__ = [
    "ACCESSES",
    "KEPT_FOR",
    "KEPT_LOOKS",
    "AccessOut",
    "ChoiceReason",
    "CreditModelOut",
    "CreditSeen",
    "ModelChoiceIn",
    "ModelChoiceOut",
    "ModelVersion",
    "OutcomeIn",
    "OutcomesOut",
    "ProfileOut",
    "Purpose",
    "ScoreOut",
    "accesses",
    "choose_model",
    "list_models",
    "look",
    "model",
    "record_outcome",
    "record_outcomes",
]

record_outcome = outcomes.record


async def look(  # noqa: PLR0913, PLR0917 - the stores, the reader and the purpose
    stores: Stores, database: Database, trail: AuditTrail, who: Principal, cpf: str, purpose: Purpose
) -> CreditSeen:
    """Return a CPF's three bases, and its score from base B; the look is recorded.

    Raises:
        AuditDown: the look could not be recorded.
    """
    profile = await stores.profile(database, trail, cpf, who, purpose)
    found, why_not = await _score(stores, database, trail, cpf, purpose, profile)
    masked = mask_cpf(cpf)
    return CreditSeen(
        masked=masked,
        purpose=purpose,
        at=clock.now(),
        profile=profile.model_copy(update={"cpf": masked}),
        score=found,
        no_score=why_not,
    )


async def _score(  # noqa: PLR0913, PLR0917 - the stores, the purpose and what was read
    stores: Stores, database: Database, trail: AuditTrail, cpf: str, purpose: Purpose, profile: ProfileOut
) -> tuple[ScoreOut | None, str]:
    """Return the score, or None and the reason."""
    if profile.base_b is None:
        down = "base_b" in profile.unavailable
        return None, "A base B está fora do ar." if down else "A base B não tem dados deste CPF."
    try:
        card = await stores.model.card(database.reads)
    except DatabaseDown:
        return None, "Não se sabe agora qual modelo está em vigor."
    person = base_a.person_id(stores.keyring, cpf)
    await trail.look("credit_score_read", person, purpose=purpose, model=card.model_version)
    try:
        return score.of_person(profile.base_b, card), ""
    except (InsufficientData, PersonIsMinor) as error:
        missing = " ".join(item["message"] for item in error.errors)
        return None, missing or error.detail


async def record_outcomes(stores: Stores, trail: AuditTrail, text: str) -> OutcomesOut:
    """Record the outcomes of a file, each for itself.

    Raises:
        InvalidInput: it is not CSV, its titles are not those expected, or it has too many lines.
        BaseBDown: DynamoDB does not answer; what was recorded stays.
    """
    return await outcomes.record_many(stores, trail, await outcomes.read(text.encode()))


async def accesses(tx: Tx, stores: Stores, who: Principal, cpf: str, asked: PageRequest[int]) -> Page[AccessOut]:
    """List the reads of a person's base A, newest first, for auditors of credit; the look is recorded.

    Raises:
        Forbidden: `credit:audit` is missing.
    """
    who.require("credit:audit")
    rows = await stores.accesses_of(tx, cpf, who, limit=asked.limit + 1, before=asked.after, turned=asked.turned)
    return asked.page(rows, lambda row: row.seq)
