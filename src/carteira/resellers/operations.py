"""Operators' operations on purchases and the rules of cashback that may need a second person."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from pydantic import BaseModel

from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import Act, Gains, OwnOperation
from carteira.kit.values.cpf import mask_cpf
from carteira.kit.web.approvals import Operation, OrderChange
from carteira.kit.web.preconditions import UNCONDITIONAL, Precondition
from carteira.resellers import adjustments, configuration, resellers, service
from carteira.resellers.cashback import TierStep
from carteira.resellers.schemas import (
    STATUS,
    AdjustmentAmount,
    AdjustmentOut,
    AutoApprovalIn,
    AutoApprovalOut,
    BusinessMonth,
    PurchaseOut,
    TierShape,
    TiersIn,
    TiersOut,
    write_month,
)


class ApprovalOrder(BaseModel):
    """The approval of a purchase."""

    purchase_id: UUID
    seen: Precondition = UNCONDITIONAL


class TiersOrder(TiersIn):
    """A tier table to set from a month on."""

    valid_from: BusinessMonth
    seen: Precondition = UNCONDITIONAL


class TiersRemovalOrder(BaseModel):
    """A tier table to delete."""

    valid_from: BusinessMonth
    seen: Precondition = UNCONDITIONAL


class AdjustmentOrder(BaseModel):
    """An adjustment to book."""

    reseller_id: UUID
    month: BusinessMonth
    amount: AdjustmentAmount
    reason: str


class AdjustmentUndoOrder(BaseModel):
    """An adjustment to undo."""

    adjustment_id: UUID


async def _adjust(tx: Tx, order: AdjustmentOrder, act: Act) -> AdjustmentOut:
    return await adjustments.book(tx, order.reseller_id, order.month, amount=order.amount, reason=order.reason, act=act)


async def _undo_adjustment(tx: Tx, order: AdjustmentUndoOrder, act: Act) -> AdjustmentOut:
    return await adjustments.undo(tx, order.adjustment_id, act)


async def _approve(tx: Tx, order: ApprovalOrder, act: Act) -> PurchaseOut:
    return await service.approve(tx, order.purchase_id, act, order.seen)


async def _put_tiers(tx: Tx, order: TiersOrder, act: Act) -> TiersOut:
    put = await configuration.put_tiers(tx, order.valid_from, order.tiers, act, order.seen)
    await _weigh(tx, order.valid_from, [tier.percentage for tier in order.tiers], act)
    return put


async def _delete_tiers(tx: Tx, order: TiersRemovalOrder, act: Act) -> None:
    await configuration.delete_tiers(tx, order.valid_from, act, order.seen)
    holding = (await configuration.tier_tables(tx)).of(order.valid_from)
    await _weigh(tx, order.valid_from, [step.percentage for step in holding], act)


async def _weigh(tx: Tx, valid_from: date, percentages: Sequence[int], act: Act) -> None:
    """Weigh tiers by their highest percentage; every reseller gains by them.

    Raises:
        MustWait: it exceeds what one operator sets alone; the savepoint rolls the change back.
        OwnOperation: the checker is a reseller.
    """
    if act.approved_by is not None and await resellers.is_reseller(tx, act.approved_by):
        raise OwnOperation
    highest = max(percentages)
    summary = f"Pagar cashback de até {highest} % a partir de {valid_from:%m/%Y}"
    await act.weigh(tx, amount=highest, summary=summary, gains=Gains())


async def _auto_approve(tx: Tx, order: AutoApprovalIn, act: Act) -> AutoApprovalOut:
    """Add an automatic approval, which approves an unlimited amount in advance.

    Raises:
        OwnOperation: the CPF is the maker's or the checker's.
        MustWait: there is a limit for approvals, whatever it is.
    """
    reseller = (await resellers.by_cpf(tx, [order.cpf])).get(order.cpf)
    own = Gains.of(reseller.user_id if reseller else None, order.cpf)
    await act.refuse_own(tx, own)
    summary = f"Aprovar sem conferência as compras de um revendedor a partir de {order.valid_from:%m/%Y}"
    await act.weigh(tx, amount=None, summary=summary, gains=own)
    return await configuration.put_auto_approval(tx, order, act)


def _masked(order: AutoApprovalIn) -> object:
    until = None if order.valid_until is None else write_month(order.valid_until)
    return {"cpf": mask_cpf(order.cpf), "valid_from": write_month(order.valid_from), "valid_until": until}


def _unseen(order: ApprovalOrder | TiersOrder | TiersRemovalOrder) -> object:
    """Return an order for its checker, without the version that its maker saw."""
    return order.model_dump(mode="json", exclude={"seen"})


async def _purchase_changes(tx: Tx, order: ApprovalOrder) -> list[OrderChange]:
    now = await service.find(tx, order.purchase_id)
    return [OrderChange("status", STATUS[now.status], STATUS["approved"])]


async def _auto_approval_changes(tx: Tx, order: AutoApprovalIn) -> list[OrderChange]:
    """Return the changes by an automatic approval, which begins in this month already."""
    for known in await configuration.auto_approved(tx, [order.cpf]):
        if known.valid_from == order.valid_from and known.valid_until != order.valid_until:
            ends = [end and write_month(end) for end in (known.valid_until, order.valid_until)]
            return [OrderChange("valid_until", *ends)]
    return []


async def _tiers_changes(tx: Tx, order: TiersOrder | TiersRemovalOrder) -> list[OrderChange]:
    """Return the tiers that apply from the month on, and those that will."""
    tables = await configuration.tier_tables(tx)
    now = None if order.valid_from < tables.beginning else _steps(tables.of(order.valid_from))
    if isinstance(order, TiersOrder):
        return [OrderChange("tiers", now, _steps(order.tiers))]
    before = [month for month in tables.tables if month < order.valid_from]
    return [OrderChange("tiers", now, _steps(tables.tables[max(before)]) if before else None)]


def _steps(tiers: Sequence[TierStep | TierShape]) -> list[dict[str, int]]:
    return [{"above": tier.above, "percentage": tier.percentage} for tier in tiers]


APPROVALS = "purchase_approvals"
"""The limit of single and automatic approvals."""
_APPROVES = "purchases:approve"
APPROVE = Operation(
    "resellers.purchase_approval",
    ApprovalOrder,
    _approve,
    _APPROVES,
    limit=APPROVALS,
    show=_unseen,
    changes=_purchase_changes,
)
AUTO_APPROVE = Operation(
    "resellers.auto_approval",
    AutoApprovalIn,
    _auto_approve,
    _APPROVES,
    limit=APPROVALS,
    show=_masked,
    changes=_auto_approval_changes,
)
PUT_TIERS = Operation(
    "resellers.tiers", TiersOrder, _put_tiers, _APPROVES, limit="tiers", show=_unseen, changes=_tiers_changes
)
DELETE_TIERS = Operation(
    "resellers.tiers_removal",
    TiersRemovalOrder,
    _delete_tiers,
    _APPROVES,
    limit="tiers",
    show=_unseen,
    changes=_tiers_changes,
)
CORRECTIONS = "corrections"
"""The limit of corrections of moved money: the ledger's reversals, and adjustments."""
ADJUST = Operation("resellers.adjustment", AdjustmentOrder, _adjust, _APPROVES, limit=CORRECTIONS)
UNDO_ADJUSTMENT = Operation(
    "resellers.adjustment_undo", AdjustmentUndoOrder, _undo_adjustment, _APPROVES, limit=CORRECTIONS
)
OPERATIONS = (APPROVE, AUTO_APPROVE, PUT_TIERS, DELETE_TIERS, ADJUST, UNDO_ADJUSTMENT)
