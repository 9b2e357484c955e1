"""Events of payments: ids, amounts and states, emitted in the transaction that makes them true."""

from collections.abc import Iterable
from typing import Any

from carteira.kit.db import outbox
from carteira.kit.db.session import Tx
from carteira.payments.models import Charge, PaymentReturn, ReceivedPayment
from carteira.payments.reasons import why


def _charge(row: Charge) -> dict[str, Any]:
    maker = row.maker_id if row.maker_kind == "person" else None
    return {
        "charge_id": str(row.id),
        "purpose": row.purpose,
        "target_id": str(row.target_id),
        "amount": row.amount,
        "user_id": maker and str(maker),
    }


async def charge_paid(tx: Tx, row: Charge, e2eid: str) -> None:
    """Emit that a charge was paid and credited."""
    await outbox.emit(tx, "payments.charge_paid", _charge(row) | {"e2eid": e2eid})


async def charges_expired(tx: Tx, rows: Iterable[Charge]) -> None:
    """Emit that charges expired unpaid."""
    await outbox.emit(tx, "payments.charge_expired", *map(_charge, rows))


async def charge_refused(tx: Tx, row: Charge) -> None:
    """Emit that the provider refused a charge."""
    await outbox.emit(tx, "payments.charge_refused", _charge(row))


async def not_credited(tx: Tx, row: ReceivedPayment) -> None:
    """Emit that a payment was not credited."""
    await outbox.emit(tx, "payments.not_credited", await _payment(tx, row) | {"reason": row.reason})


async def return_settled(tx: Tx, row: PaymentReturn, payment: ReceivedPayment) -> None:
    """Emit a return's outcome, success or failure, without an operator's own words."""
    payload = await _payment(tx, payment) | {"return_id": str(row.id), "amount": row.amount}
    if row.state == "returned":
        payload["reason"] = row.reason if why(row.reason) else None
    await outbox.emit(tx, "payments.returned" if row.state == "returned" else "payments.return_failed", payload)


async def _payment(tx: Tx, row: ReceivedPayment) -> dict[str, Any]:
    charge = await tx.get(Charge, row.charge_id) if row.charge_id else None
    maker = charge.maker_id if charge is not None and charge.maker_kind == "person" else None
    return {
        "e2eid": row.e2eid,
        "charge_id": row.charge_id and str(row.charge_id),
        "amount": row.amount,
        "user_id": maker and str(maker),
    }
