"""What operators do with payments that may have to wait for a second person."""

from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import Act
from carteira.kit.web.approvals import Operation
from carteira.payments import returns
from carteira.payments.config import Payments
from carteira.payments.returns import ReturnOrder
from carteira.payments.schemas import PaymentReturnOut

RETURN = "payments.return"


def return_operation(payments: Payments) -> Operation[ReturnOrder]:
    """Make the operation that returns a payment."""

    async def carry_out(tx: Tx, order: ReturnOrder, act: Act) -> PaymentReturnOut:
        return PaymentReturnOut.model_validate(await returns.ask(tx, payments, order, act))

    return Operation(RETURN, ReturnOrder, carry_out, "payments:return", limit="payment_returns")
