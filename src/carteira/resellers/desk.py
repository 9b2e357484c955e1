"""Resellers for the console: people, purchases to decide, months, and the rules of cashback."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Select, Uuid, func, literal, select

from carteira import ledger
from carteira.kit.db.keyset import keyset
from carteira.kit.db.one_row import OneRow
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.web.access import Principal
from carteira.kit.web.approvals import Desk
from carteira.kit.web.idempotency import Answered
from carteira.kit.web.pagination import Page, PageRequest
from carteira.kit.web.preconditions import UNCONDITIONAL, Precondition
from carteira.resellers import adjustments, operations, queries
from carteira.resellers.adjustments import waiting as adjustments_waiting
from carteira.resellers.configuration import (
    closing_days,
    delete_auto_approval,
    delete_closing_day,
    list_auto_approvals,
    list_tiers,
    put_closing_day,
    version_of_days,
)
from carteira.resellers.errors import PurchaseDecided, PurchaseNotFound, ResellerNotFound, TiersNotFound
from carteira.resellers.models import Purchase, Reseller
from carteira.resellers.months import close as close_month
from carteira.resellers.operations import CORRECTIONS
from carteira.resellers.queries import MONTHS, PURCHASES, PurchaseKey, months, purchase
from carteira.resellers.resellers import by_id
from carteira.resellers.schemas import (
    STATUS,
    AdjustmentOut,
    AutoApprovalIn,
    AutoApprovalOut,
    BusinessMonth,
    ClosingDayOut,
    MonthOut,
    PurchaseWithCashbackOut,
    Reason,
    Status,
    TierShape,
    TiersIn,
    TiersOut,
)
from carteira.resellers.service import reject

__all__ = [
    "CORRECTIONS",
    "MONTHS",
    "PURCHASES",
    "STATUS",
    "AdjustmentOut",
    "AutoApprovalIn",
    "AutoApprovalOut",
    "BusinessMonth",
    "ClosingDayOut",
    "MonthOut",
    "PurchaseDecided",
    "PurchaseKey",
    "PurchaseNotFound",
    "PurchaseWithCashbackOut",
    "Reason",
    "ResellerSeen",
    "Status",
    "TierShape",
    "TiersIn",
    "TiersNotFound",
    "TiersOut",
    "adjust",
    "adjustments_of",
    "adjustments_waiting",
    "approve",
    "auto_approve",
    "close_month",
    "closing_days",
    "decision_of",
    "delete_auto_approval",
    "delete_closing_day",
    "delete_tiers",
    "list_auto_approvals",
    "list_tiers",
    "months",
    "purchase",
    "purchases",
    "put_closing_day",
    "put_tiers",
    "reject",
    "reseller",
    "resellers",
    "undo_adjustment",
    "version_of_days",
    "waiting",
]


@dataclass(frozen=True, slots=True)
class PurchaseDecision:
    """A purchase's decision and its actor."""

    code: str
    status: str
    decided_by: UUID | None


async def purchases(  # noqa: PLR0913, PLR0917 - filters and the place in the list
    tx: Tx,
    who: Principal,
    month: date | None,
    status: Status | None,
    asked: PageRequest[PurchaseKey],
    reseller_id: UUID | None = None,
) -> Page[PurchaseWithCashbackOut]:
    """List everybody's purchases, or a reseller's, with what each earns, the newest day first.

    Looks at resellers are recorded.

    Raises:
        Forbidden: `purchases:read` is missing.
    """
    who.require("purchases:read")
    return await queries.everybodys_purchases(tx, who, month=month, status=status, asked=asked, reseller_id=reseller_id)


async def purchases_by_id(
    tx: Tx, who: Principal, purchase_ids: Collection[UUID]
) -> dict[UUID, PurchaseWithCashbackOut]:
    """Return the existing purchases among some ids, with their cashback; looks at resellers are recorded.

    Raises:
        Forbidden: `purchases:read` is missing.
    """
    who.require("purchases:read")
    return await queries.purchases_by_id(tx, who, purchase_ids)


async def approve(tx: Tx, desk: Desk, who: Principal, purchase_id: UUID, seen: Precondition = UNCONDITIONAL) -> bool:
    """Approve a purchase; above the limit it waits for a second person. Returns whether it was done now.

    Raises:
        PurchaseNotFound, PurchaseDecided, OwnOperation, DailyCeilingReached.
        RecordChanged: it is no longer what was seen.
    """
    order = operations.ApprovalOrder(purchase_id=purchase_id, seen=seen)
    return not isinstance(await desk.carry_out(tx, operations.APPROVE, order, who), Answered)


async def decision_of(tx: Tx, purchase_id: UUID) -> PurchaseDecision | None:
    """Return who decided a purchase; None: there is none."""
    query = select(Purchase.code, Purchase.status, Purchase.decided_by).where(Purchase.id == purchase_id)
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else PurchaseDecision(row.code, STATUS[row.status], row.decided_by)


@dataclass(frozen=True, slots=True)
class WaitingPurchases:
    """The number of purchases that wait for a decision, and the oldest one's day."""

    count: int
    oldest: date | None


def waiting(parties: Collection[UUID]) -> OneRow[WaitingPurchases]:
    """Return the query of undecided purchases that none of some parties registered, changed or made."""
    theirs = literal(sorted(parties), ARRAY(Uuid))
    query = (
        select(func.count(), func.min(Purchase.purchased_on))
        .join(Reseller, Reseller.id == Purchase.reseller_id)
        .where(
            Purchase.status == "pending",
            Purchase.created_by.not_in(parties),
            ~Purchase.changed_by.bool_op("&&")(theirs),
            Reseller.user_id.is_(None) | Reseller.user_id.not_in(parties),
        )
    )
    return OneRow(query, WaitingPurchases)


@dataclass(frozen=True, slots=True)
class ResellerSeen:
    """A reseller as an operator sees them, with their available cashback in centavos; erased ones have no person."""

    id: UUID
    user_id: UUID | None
    cpf: str | None
    created_at: datetime
    balance: int


async def resellers(
    tx: Tx, who: Principal, cpf: str | None, asked: PageRequest[UUID], user_id: UUID | None = None
) -> Page[ResellerSeen]:
    """List the resellers, the newest first, or the one of a CPF or a person; looks at them are recorded.

    Raises:
        Forbidden: `purchases:read` is missing.
    """
    who.require("purchases:read")
    query = _query().where(Reseller.user_id.is_not(None))
    if cpf is not None:
        query = query.where(Reseller.cpf == cpf)
    if user_id is not None:
        query = query.where(Reseller.user_id == user_id)
    query = keyset(query, Reseller.id, after=asked.after, limit=asked.limit + 1, newest_first=True, turned=asked.turned)
    page = asked.page([ResellerSeen(*row) for row in await tx.execute(query)], lambda row: row.id)
    await audit.record_looks(tx, "resellers_listed", [row.user_id for row in page.items])
    return page


def _query() -> Select[*tuple[Any, ...]]:
    return select(Reseller.id, Reseller.user_id, Reseller.cpf, Reseller.created_at, ledger.BALANCES.c.balance).join(
        ledger.BALANCES, ledger.BALANCES.c.id == Reseller.account_id
    )


async def reseller(tx: Tx, who: Principal, reseller_id: UUID, *, months: int) -> tuple[ResellerSeen, list[MonthOut]]:
    """Return a reseller with so many of their last months; the look at them is recorded.

    Raises:
        Forbidden: `purchases:read` is missing.
        ResellerNotFound: there is none.
    """
    who.require("purchases:read")
    row = (await tx.execute(_query().where(Reseller.id == reseller_id))).one_or_none()
    if row is None:
        raise ResellerNotFound
    found = ResellerSeen(*row)
    await audit.record_looks(tx, "reseller_read", [found.user_id or found.id])
    return found, await queries.months_of(tx, reseller_id, limit=months)


async def put_tiers(  # noqa: PLR0913, PLR0917 - the tiers, their actor and the version that they saw
    tx: Tx,
    desk: Desk,
    who: Principal,
    valid_from: date,
    tiers: Sequence[TierShape],
    seen: Precondition = UNCONDITIONAL,
) -> bool:
    """Set the tiers from a month on; above the limit it waits for a second person. Returns whether it was done now.

    Raises:
        MonthClosed, OwnOperation.
        RecordChanged: the table is no longer what was seen.
    """
    order = operations.TiersOrder(valid_from=valid_from, tiers=list(tiers), seen=seen)
    return not isinstance(await desk.carry_out(tx, operations.PUT_TIERS, order, who), Answered)


async def delete_tiers(
    tx: Tx, desk: Desk, who: Principal, valid_from: date, seen: Precondition = UNCONDITIONAL
) -> bool:
    """Delete a tier table; above the limit it waits for a second person. Returns whether it was done now.

    Raises:
        TiersNotFound, FirstRulesStay, MonthClosed, OwnOperation.
        RecordChanged: the table is no longer what was seen.
    """
    order = operations.TiersRemovalOrder(valid_from=valid_from, seen=seen)
    return not isinstance(await desk.carry_out(tx, operations.DELETE_TIERS, order, who), Answered)


async def auto_approve(tx: Tx, desk: Desk, who: Principal, asked: AutoApprovalIn) -> bool:
    """Add an automatic approval; under a limit it waits for a second person. Returns whether it was done now.

    Raises:
        OwnOperation: the CPF is the operator's own.
    """
    return not isinstance(await desk.carry_out(tx, operations.AUTO_APPROVE, asked, who), Answered)


_NEWEST: PageRequest[UUID] = PageRequest(20)


async def adjustments_of(tx: Tx, reseller_id: UUID) -> Sequence[AdjustmentOut]:
    """Return a reseller's newest adjustments; the caller has recorded the look."""
    return (await adjustments.page(tx, None, await by_id(tx, reseller_id), _NEWEST)).items


async def adjust(  # noqa: PLR0913, PLR0917 - an adjustment's fields and its actor
    tx: Tx, desk: Desk, who: Principal, reseller_id: UUID, month: date, amount: int, reason: str
) -> bool:
    """Book an adjustment; above the limit it waits for a second person. Returns whether it was done now.

    Raises:
        ResellerNotFound, MonthNotClosed, AdjustmentTooLarge, OwnOperation, DailyCeilingReached.
    """
    order = operations.AdjustmentOrder(reseller_id=reseller_id, month=month, amount=amount, reason=reason)
    return not isinstance(await desk.carry_out(tx, operations.ADJUST, order, who), Answered)


async def undo_adjustment(tx: Tx, desk: Desk, who: Principal, adjustment_id: UUID) -> bool:
    """Undo an open adjustment; above the limit it waits for a second person. Returns whether it was done now.

    Raises:
        AdjustmentNotFound, AdjustmentSettled, OwnOperation, DailyCeilingReached.
    """
    order = operations.AdjustmentUndoOrder(adjustment_id=adjustment_id)
    return not isinstance(await desk.carry_out(tx, operations.UNDO_ADJUSTMENT, order, who), Answered)
