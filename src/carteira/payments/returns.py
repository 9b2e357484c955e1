"""Returns: of uncredited payments, automatically or by an operator; and of credited ones, whole or in part.

A requested return debits the account that has the money (*to return*, or the card or fund that it was credited to), and
a job requests it from the provider under an id of ours. If the provider fails, the money goes to *to return*.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal
from uuid import UUID

import structlog
from pydantic import BaseModel
from sqlalchemy import func, select

from carteira import ledger
from carteira.kit.db import jobs
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx, locked
from carteira.kit.security import audit
from carteira.kit.security.approvals import Act, Gains
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.values.money import format_brl
from carteira.payments import accounts, events, metrics
from carteira.payments.accounts import RETURN_ASKED, RETURN_FAILED, RETURNED
from carteira.payments.config import Payments
from carteira.payments.errors import PaymentEntryFixed, ReceivedNotFound, ReturnTooLarge, TooLateToReturn
from carteira.payments.models import Charge, PaymentReturn, ReceivedPayment
from carteira.payments.provider import PixReturn, ProviderRefused
from carteira.payments.purposes import PlacedMoney

LATEST = timedelta(days=90)
"""For how long a Pix can be returned (Central Bank's rules)."""
SEND = "payments:send_return"
LOOK = "payments:look"
SENDER = Actor("job", "payments.send_return")
_MOST = 200

log = structlog.get_logger(__name__)


class ReturnOrder(BaseModel):
    """A return of a payment: centavos, or all that is left of it."""

    e2eid: str
    amount: int | None
    reason: str


async def ask(tx: Tx, payments: Payments, order: ReturnOrder, act: Act) -> PaymentReturn:
    """Request the return of a payment, or a part of it, for an operator.

    Raises:
        ReceivedNotFound, ReturnTooLarge, TooLateToReturn.
        MustWait, DailyCeilingReached: it exceeds the operator's limit.
        Problem: the purpose's own, if the money has been spent.
    """
    row = await locked(tx, ReceivedPayment, order.e2eid)
    if row is None:
        raise ReceivedNotFound
    left = row.amount - row.given_back
    wanted = left if order.amount is None else order.amount
    if wanted > left or wanted == 0:
        raise ReturnTooLarge(left=left)
    if row.paid_at < clock.now() - LATEST:
        raise TooLateToReturn
    subject = await _maker_of(tx, row)
    await act.weigh(
        tx,
        amount=wanted,
        summary=f"Devolver {format_brl(wanted)} de um pagamento de {format_brl(row.amount)}",
        gains=await _gains(tx, payments, row),
    )
    made = await begin(tx, payments, row, wanted, reason=order.reason, act=act)
    await audit.record(
        tx,
        "payment_returned",
        actor=act.actor,
        approved_by=act.approved_by,
        subject=subject,
        e2eid=order.e2eid,
        return_id=str(made.id),
        amount=wanted,
    )
    return made


async def _gains(tx: Tx, payments: Payments, row: ReceivedPayment) -> Gains:
    """Return the people who gain by a return: the charge's maker, probably the payer, and the target's owner."""
    charge = await tx.get(Charge, row.charge_id) if row.charge_id else None
    if charge is None:
        return Gains()
    purpose = payments.purposes.get(charge.purpose)
    found = await purpose.gains(tx, charge.target_id) if purpose else Gains()
    return Gains(found.users | Gains.of(charge.maker_id).users, found.cpfs)


async def _maker_of(tx: Tx, row: ReceivedPayment) -> UUID | None:
    """Return the person who made a payment's charge, if one did."""
    if row.charge_id is None:
        return None
    charge = await tx.get_one(Charge, row.charge_id)
    return charge.maker_id if charge.maker_kind == "person" else None


async def begin(  # noqa: PLR0913 - a return, its reason and its actor
    tx: Tx, payments: Payments, row: ReceivedPayment, amount: int, *, reason: str, act: Act
) -> PaymentReturn:
    """Set the money of a return aside and queue the request to the provider; the payment's row is locked or new."""
    loose = min(amount, row.unplaced)
    made = PaymentReturn(
        id=uuid7(),
        e2eid=row.e2eid,
        amount=amount,
        state="asked",
        reason=reason,
        maker_kind=act.actor.kind,
        maker_id=act.actor.id,
        asked_at=clock.now(),
    )
    if loose:
        entry = ledger.transfer(
            RETURN_ASKED,
            source=accounts.TO_RETURN,
            target=accounts.RETURNING,
            amount=loose,
            key=f"payments:return:{made.id}:asked",
        )
        await ledger.post(tx, entry, actor=act.actor, approved_by=act.approved_by)
    if amount > loose:
        assert row.charge_id is not None, "what was credited has a charge"
        charge = await tx.get_one(Charge, row.charge_id)
        back = PlacedMoney(charge.target_id, amount - loose, accounts.RETURNING)
        taking = Act(act.actor, act.approved_by, f"payments:return:{made.id}:back")
        await payments.purposes[charge.purpose].debit(tx, back, taking)
    row.unplaced -= loose
    row.given_back += amount
    tx.add(made)
    await tx.flush()
    await jobs.defer(tx, SEND, return_id=str(made.id))
    return made


async def send(database: Database, payments: Payments, return_id: UUID) -> bool:
    """Request a return from the provider and store its answer; return whether it is settled.

    Raises:
        PaymentProviderDown.
    """
    async with database.transaction() as tx:
        row = await tx.get_one(PaymentReturn, return_id)
    if row.state != "asked":
        return True
    async with payments.asking() as provider:
        try:
            answer = await provider.give_back(row.e2eid, row.id.hex, row.amount)
        except ProviderRefused as refused:
            log.warning("return refused by the provider", return_id=str(return_id), kind=refused.kind)
            answer = PixReturn(row.id.hex, row.amount, "NAO_REALIZADO")
            failure: str | None = refused.kind or str(refused.status)
        else:
            failure = "NAO_REALIZADO"
    if answer.status == "EM_PROCESSAMENTO":
        return False
    async with database.transaction() as tx:
        await settle(tx, return_id, "returned" if answer.status == "DEVOLVIDO" else "failed", failure)
    return True


async def settle(tx: Tx, return_id: UUID, state: Literal["returned", "failed"], failure: str | None) -> None:
    """Store the outcome of a return, once."""
    e2eid = await tx.scalar(select(PaymentReturn.e2eid).where(PaymentReturn.id == return_id))
    payment = await locked(tx, ReceivedPayment, e2eid)  # before the return, in the order of a request
    row = await locked(tx, PaymentReturn, return_id)
    assert payment is not None, "a return belongs to a payment"
    assert row is not None, "a settled return was requested"
    if row.state != "asked":
        return
    source, key = accounts.RETURNING, f"payments:return:{row.id}:settled"
    if state == "returned":
        entry = ledger.transfer(RETURNED, source=source, target=accounts.PROVIDER, amount=row.amount, key=key)
    else:
        entry = ledger.transfer(RETURN_FAILED, source=source, target=accounts.TO_RETURN, amount=row.amount, key=key)
        row.failure = failure
        payment.given_back -= row.amount
        payment.unplaced += row.amount
    await ledger.post(tx, entry, actor=SENDER)
    row.state, row.settled_at = state, clock.now()
    await tx.flush()
    await events.return_settled(tx, row, payment)
    if state == "failed":
        await jobs.defer(tx, LOOK, e2eid=payment.e2eid)  # it may have been returned at the provider
    metrics.returns_total.labels(state).inc()


async def send_waiting(database: Database, payments: Payments) -> int:
    """Request unsettled returns again, the oldest first; return how many still wait.

    Raises:
        PaymentProviderDown.
    """
    async with database.transaction() as tx:
        due = (
            await tx.scalars(
                select(PaymentReturn.id).where(PaymentReturn.state == "asked").order_by(PaymentReturn.id).limit(_MOST)
            )
        ).all()
    waiting = 0
    for return_id in due:
        waiting += not await send(database, payments, return_id)
    return waiting


async def refuse_reversal(_tx: Tx, _reversal: ledger.NewEntry) -> None:
    """Refuse reversals of payments' entries: the provider would not know of them.

    Raises:
        PaymentEntryFixed: always.
    """
    raise PaymentEntryFixed


async def of_payments(tx: Tx, e2eids: Sequence[str]) -> dict[str, list[PaymentReturn]]:
    """Return the returns of some payments, the oldest first."""
    found: dict[str, list[PaymentReturn]] = {e2eid: [] for e2eid in e2eids}
    for row in await tx.scalars(
        select(PaymentReturn).where(PaymentReturn.e2eid.in_(e2eids)).order_by(PaymentReturn.id)
    ):
        found[row.e2eid].append(row)
    return found


async def observe(tx: Tx) -> None:
    """Set the metrics of payments that are to be returned."""
    metrics.to_return.set(await tx.scalar(select(func.count()).where(ReceivedPayment.unplaced > 0)) or 0)
    oldest = await tx.scalar(select(func.min(PaymentReturn.asked_at)).where(PaymentReturn.state == "asked"))
    metrics.returns_waiting_seconds.set((clock.now() - oldest).total_seconds() if oldest else 0)
