"""Returns that were made at the provider without a request from here, each booked once by its id there.

Banks return fraudulent and erroneous payments among themselves (MED, the Central Bank's special mechanism), up to
months later; somebody may also use the provider's own pages. The money has then left the account at the provider: it is
taken from its account here, and spent money is a loss.
"""

from collections.abc import Sequence
from datetime import timedelta

import structlog
from sqlalchemy import func, select

from carteira import ledger
from carteira.kit.db.session import Tx, locked
from carteira.kit.security import audit
from carteira.kit.security.approvals import Act
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.payments import accounts, events, metrics
from carteira.payments.accounts import LOSS, TAKEN_BACK
from carteira.payments.config import Payments
from carteira.payments.models import Charge, PaymentReturn, ReceivedPayment
from carteira.payments.provider import Pix, PixReturn
from carteira.payments.purposes import PlacedMoney

TAKER = Actor("job", "payments.taken_back")
REPORTED_FOR = timedelta(days=3)
"""For how long the metric includes a return."""

log = structlog.get_logger(__name__)


async def unknown(tx: Tx, found: Sequence[Pix]) -> list[Pix]:
    """Return the payments among some that have a return which is not booked here."""
    some = [pix for pix in found if any(back.status == "DEVOLVIDO" for back in pix.returns)]
    known = await _known(tx, [pix.e2eid for pix in some]) if some else set()
    return [pix for pix in some if any(_is_new(pix.e2eid, back, known) for back in pix.returns)]


async def _known(tx: Tx, e2eids: Sequence[str]) -> set[tuple[str, str]]:
    """Return the returns of some payments, by the payment and the provider's id."""
    columns = select(PaymentReturn.e2eid, PaymentReturn.id, PaymentReturn.provider_id)
    rows = await tx.execute(columns.where(PaymentReturn.e2eid.in_(e2eids)))
    return {(e2eid, provider_id or made.hex) for e2eid, made, provider_id in rows}


def _is_new(e2eid: str, back: PixReturn, known: set[tuple[str, str]]) -> bool:
    return back.status == "DEVOLVIDO" and (e2eid, back.id) not in known


async def observe(tx: Tx) -> None:
    """Set the metric of recent unrequested returns."""
    since = clock.now() - REPORTED_FOR
    lately = select(func.count()).where(PaymentReturn.nature.is_not(None), PaymentReturn.settled_at > since)
    metrics.taken_back.set(await tx.scalar(lately) or 0)


async def book_returns(tx: Tx, payments: Payments, pix: Pix) -> int:
    """Book the unrequested returns of a payment; return how many were new.

    A return that exceeds the rest is left for later: one of ours is under way, and will fail and be undone first.
    """
    row = await locked(tx, ReceivedPayment, pix.e2eid)
    if row is None:
        return 0
    known, new = await _known(tx, [pix.e2eid]), 0
    for back in pix.returns:
        if not _is_new(pix.e2eid, back, known):
            continue
        if back.amount > row.amount - row.given_back:
            log.error("more returned at the provider than was left", e2eid=pix.e2eid, return_id=back.id)
            continue
        await _book(tx, payments, row, back)
        new += 1
    return new


async def _book(tx: Tx, payments: Payments, row: ReceivedPayment, back: PixReturn) -> None:
    """Move the money of a completed return out of its account, and record the return."""
    key = f"payments:taken_back:{row.e2eid}:{back.id}"
    loose = min(back.amount, row.unplaced)
    if loose:
        entry = ledger.transfer(
            TAKEN_BACK, source=accounts.TO_RETURN, target=accounts.PROVIDER, amount=loose, key=f"{key}:loose"
        )
        await ledger.post(tx, entry, actor=TAKER)
    charge = await tx.get(Charge, row.charge_id) if row.charge_id else None
    taken = await _debit_target(tx, payments, charge, back.amount - loose, key)
    lost = back.amount - loose - taken
    if lost:
        entry = ledger.transfer(LOSS, source=accounts.LOST, target=accounts.PROVIDER, amount=lost, key=f"{key}:lost")
        await ledger.post(tx, entry, actor=TAKER)
    now = clock.now()
    made = PaymentReturn(
        id=uuid7(),
        e2eid=row.e2eid,
        amount=back.amount,
        state="returned",
        reason=back.nature,
        maker_kind=TAKER.kind,
        maker_id=TAKER.id,
        asked_at=now,
        settled_at=now,
        nature=back.nature,
        provider_id=back.id,
        lost=lost,
    )
    row.unplaced -= loose
    row.given_back += back.amount
    tx.add(made)
    await tx.flush()
    subject = charge.maker_id if charge is not None and charge.maker_kind == "person" else None
    await audit.record(
        tx,
        "payment_taken_back",
        actor=TAKER,
        subject=subject,
        e2eid=row.e2eid,
        return_id=str(made.id),
        amount=back.amount,
        nature=back.nature,
        lost=lost,
    )
    await events.return_settled(tx, made, row)
    metrics.returns_total.labels("taken_back").inc()
    metrics.lost_centavos.inc(lost)
    log.warning("payment returned at the provider", e2eid=row.e2eid, nature=back.nature, amount=back.amount, lost=lost)


async def _debit_target(tx: Tx, payments: Payments, charge: Charge | None, most: int, key: str) -> int:
    """Debit credited money for a return, as far as the balance covers it; return the debited centavos."""
    purpose = payments.purposes.get(charge.purpose) if charge is not None else None
    if charge is None or purpose is None or not most:
        return 0
    there = min(most, await purpose.returnable(tx, charge.target_id))
    if there:
        money = PlacedMoney(charge.target_id, there, accounts.PROVIDER)
        await purpose.debit(tx, money, Act(TAKER, key=f"{key}:credited"))
    return there
