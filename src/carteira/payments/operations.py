"""Operators' operations on payments that may need a second person."""

from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import Act
from carteira.kit.web.approvals import Operation
from carteira.kit.web.state import StateKey
from carteira.payments import returns
from carteira.payments.config import Payments
from carteira.payments.returns import ReturnOrder
from carteira.payments.schemas import PaymentReturnOut

RETURN = "payments.return"
PAYMENT_RETURN = StateKey[Operation[ReturnOrder]]("payment_return")
"""The operation that returns a payment, as this process makes it."""


def return_operation(payments: Payments) -> Operation[ReturnOrder]:
    """Make the operation that returns a payment."""

    async def carry_out(tx: Tx, order: ReturnOrder, act: Act) -> PaymentReturnOut:
        return PaymentReturnOut.model_validate(await returns.ask(tx, payments, order, act))

    return Operation(RETURN, ReturnOrder, carry_out, "payments:return", limit="payment_returns")
