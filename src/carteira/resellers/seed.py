"""Demo data of resellers: a CPF whose purchases start approved."""

from datetime import date
from uuid import UUID

from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import Act
from carteira.kit.values.actor import Actor
from carteira.resellers import configuration
from carteira.resellers.schemas import AutoApprovalIn

AUTO_APPROVED = "15350946056"
BEGINNING = date(2000, 1, 1)


async def seed(tx: Tx, _user_id: UUID) -> None:
    """Let purchases of `AUTO_APPROVED` start approved, where nothing says anything of that CPF."""
    if not await configuration.auto_approved(tx, [AUTO_APPROVED]):
        body = AutoApprovalIn(cpf=AUTO_APPROVED, valid_from=BEGINNING)
        await configuration.put_auto_approval(tx, body, Act(Actor("command", "seed")))
