"""What the console asks of resellers: purchases, decided one by one or many at a time, and months."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import func, select

from carteira.kit.db.session import Tx
from carteira.kit.web.access import Principal
from carteira.kit.web.approvals import Desk
from carteira.kit.web.idempotency import Answered
from carteira.kit.web.pagination import Page, PageRequest
from carteira.resellers import operations, queries
from carteira.resellers.errors import PurchaseDecided
from carteira.resellers.models import Purchase
from carteira.resellers.months import close as close_month
from carteira.resellers.queries import MONTHS, PURCHASES, PurchaseKey, months, purchase
from carteira.resellers.schemas import STATUS, MonthOut, PurchaseWithCashbackOut, Status
from carteira.resellers.service import reject

__all__ = [
    "MONTHS",
    "PURCHASES",
    "STATUS",
    "MonthOut",
    "PurchaseDecided",
    "PurchaseKey",
    "PurchaseWithCashbackOut",
    "Status",
    "approve",
    "close_month",
    "decision_of",
    "months",
    "purchase",
    "purchases",
    "reject",
    "waiting",
]


@dataclass(frozen=True, slots=True)
class PurchaseDecision:
    """What became of a purchase, and who said so."""

    code: str
    status: str
    decided_by: UUID | None


async def purchases(
    tx: Tx, who: Principal, month: date | None, status: Status | None, asked: PageRequest[PurchaseKey]
) -> Page[PurchaseWithCashbackOut]:
    """List everybody's purchases with what each earns, the newest day first; each reseller shown is looked at.

    Raises:
        Forbidden: `purchases:read` is missing.
    """
    who.require("purchases:read")
    return await queries.purchases(tx, who, cpf=None, month=month, status=status, asked=asked)


async def approve(tx: Tx, desk: Desk, who: Principal, purchase_id: UUID) -> bool:
    """Approve a purchase; above the limit it waits for a second person. Tell whether it was done now.

    Raises:
        PurchaseNotFound, PurchaseDecided, OwnOperation, DailyCeilingReached.
    """
    order = operations.ApprovalOrder(purchase_id=purchase_id)
    return not isinstance(await desk.carry_out(tx, operations.APPROVE, order, who), Answered)


async def decision_of(tx: Tx, purchase_id: UUID) -> PurchaseDecision | None:
    """Tell who decided a purchase; None: there is none."""
    query = select(Purchase.code, Purchase.status, Purchase.decided_by).where(Purchase.id == purchase_id)
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else PurchaseDecision(row.code, STATUS[row.status], row.decided_by)


async def waiting(tx: Tx) -> tuple[int, date | None]:
    """Count the purchases that nobody has decided; give the oldest one's day."""
    query = select(func.count(), func.min(Purchase.purchased_on)).where(Purchase.status == "pending")
    count, oldest = (await tx.execute(query)).one()
    return count, oldest
