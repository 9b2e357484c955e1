"""Demo data of resellers: a CPF whose purchases start approved."""

from datetime import date
from uuid import UUID

from carteira.kit.db.session import Tx
from carteira.resellers import configuration
from carteira.resellers.schemas import AutoApprovalIn

AUTO_APPROVED = "15350946056"
BEGINNING = date(2000, 1, 1)


async def seed(tx: Tx, _user_id: UUID) -> None:
    """Let purchases of `AUTO_APPROVED` start approved, where nothing says anything of that CPF."""
    if not await configuration.auto_approved(tx, [AUTO_APPROVED]):
        await configuration.put_auto_approval(tx, AutoApprovalIn(cpf=AUTO_APPROVED, valid_from=BEGINNING))
