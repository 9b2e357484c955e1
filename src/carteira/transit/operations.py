"""Counters' operations that may need a second person."""

from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import Act
from carteira.kit.web.approvals import Operation, OrderChange
from carteira.kit.web.state import StateKey
from carteira.transit import queries, service
from carteira.transit.schemas import AmountIn, CashRechargeOut


class CashRechargeOrder(AmountIn):
    """A recharge for cash."""

    card_number: str


async def _recharge(tx: Tx, order: CashRechargeOrder, act: Act) -> CashRechargeOut:
    return CashRechargeOut.model_validate(await service.recharge_for_cash(tx, order.card_number, order.amount, act))


async def _changes(tx: Tx, order: CashRechargeOrder) -> list[OrderChange]:
    """Return the card's balance before and after; the rider's unpaid rides are paid first."""
    now, owed = await queries.balance_and_debt(tx, order.card_number)
    return [OrderChange("balance", now, now + max(order.amount - owed, 0))]


RECHARGE = Operation(
    "transit.cash_recharge",
    CashRechargeOrder,
    _recharge,
    "transit:recharge",
    limit="cash_recharges",
    changes=_changes,
)
OPERATIONS = (RECHARGE,)
RECHARGE_WITHOUT_PAYMENT = StateKey[bool]("recharge_without_payment")
"""Whether people's recharges need no payment."""
