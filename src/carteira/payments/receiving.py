"""Received payments: each end-to-end id is processed once, by the first of webhook, polling and reconciliation.

A webhook is only a hint: the payment that it names is looked up before anything is credited. So a call that is forged,
repeated, out of order or lost costs one look-up at most, and moves nothing.
"""

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from carteira import ledger
from carteira.kit.db import jobs
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import Act
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.web.problems import Problem
from carteira.payments import accounts, events, metrics, returns, taken_back
from carteira.payments.accounts import UNPLACED
from carteira.payments.charges import GRACE
from carteira.payments.config import Payments
from carteira.payments.models import Charge, FoundBy, ReadPlace, ReceivedPayment
from carteira.payments.provider import Pix, PixProvider
from carteira.payments.purposes import PlacedMoney

RECEIVER = Actor("job", "payments.receive")
OVERLAP = timedelta(minutes=15)
"""The part of the list before the last position that is read again, since payments may be listed late."""
MAY_BE_TAKEN_BACK = timedelta(days=100)
"""For how long payments are checked for returns: banks have 90 days, and some more to carry them out."""
LONGEST = timedelta(days=1)
"""The longest period of the list that is requested at once."""
MOST_ANNOUNCED = 1_000
_SERVER_ERROR = 500

log = structlog.get_logger(__name__)


def announced_ids(content: object) -> dict[str, bool]:
    """Return the end-to-end ids in a webhook, each with whether it reports returns.

    Raises:
        ValueError: it is not a webhook of the contract.
    """
    announced = content.get("pix") if isinstance(content, dict) else None
    if not isinstance(announced, list) or len(announced) > MOST_ANNOUNCED:
        raise ValueError("no list of payments")
    ids = [item.get("endToEndId") if isinstance(item, dict) else None for item in announced]
    if not all(isinstance(e2eid, str) and e2eid.isascii() and e2eid.isalnum() and len(e2eid) == 32 for e2eid in ids):  # noqa: PLR2004 - the contract's own
        raise ValueError("no end-to-end id")
    found = dict.fromkeys(map(str, ids), False)
    for item in announced:
        found[item["endToEndId"]] |= bool(item.get("devolucoes"))
    return found


def is_signed(body: bytes, given: str, secret: str) -> bool:
    """Return whether a call carries the HMAC-SHA256 of its body, in hexadecimal."""
    wanted = hmac.new(secret.encode(), body, "sha256").hexdigest()
    return hmac.compare_digest(given.strip().lower().removeprefix("sha256=").encode(), wanted.encode())


async def queue_announced(tx: Tx, content: object) -> int:
    """Queue the look-up of a webhook's payments that are unknown or have new returns; return how many there are.

    Raises:
        ValueError: it is not a webhook of the contract.
    """
    announced = announced_ids(content)
    known = set(await tx.scalars(select(ReceivedPayment.e2eid).where(ReceivedPayment.e2eid.in_(announced))))
    fresh = [e2eid for e2eid, is_returned in announced.items() if is_returned or e2eid not in known]
    for e2eid in fresh:
        await jobs.defer(tx, returns.LOOK, e2eid=e2eid)
    return len(fresh)


async def look_up(database: Database, payments: Payments, e2eid: str) -> bool:
    """Look up a webhook's payment, and process it and its returns; return whether it exists.

    Raises:
        PaymentProviderDown, ProviderRefused.
    """
    async with payments.asking() as provider:
        pix = await provider.payment(e2eid)
    if pix is None:
        metrics.unknown_total.inc()
        log.warning("announced payment unknown to the provider", e2eid=e2eid)
        return False
    async with database.transaction() as tx:
        await process(tx, payments, pix, "webhook")
        await taken_back.book_returns(tx, payments, pix)
    return True


def is_elsewhere(payments: Payments, pix: Pix) -> bool:
    """Return whether a payment was made to another key than ours: the account may serve other businesses too.

    A payment that names a charge is ours in any case: the key may have been changed since.
    """
    ours = payments.config.provider.key if payments.config.provider else None
    return pix.key is not None and pix.key != ours


async def process(tx: Tx, payments: Payments, pix: Pix, found_by: FoundBy) -> bool:
    """Process a payment once: credit it, or store it to be returned; return whether it was new.

    A payment to another key without a charge is left alone: it is not ours to return.
    """
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"payments:{pix.e2eid}", 0))))
    if await tx.scalar(select(ReceivedPayment.e2eid).where(ReceivedPayment.e2eid == pix.e2eid)) is not None:
        return False
    charge = await _charge_of(tx, pix.txid)
    if charge is None and is_elsewhere(payments, pix):
        return False
    act = Act(RECEIVER, key=f"payments:{pix.e2eid}")
    reason = _refusal_of(charge, pix)
    entry_id: UUID | None = None
    if charge is not None and reason is None:
        entry_id, reason = await _credit(tx, payments, charge, pix, act)
    if entry_id is None:
        entry = ledger.transfer(
            UNPLACED, source=accounts.PROVIDER, target=accounts.TO_RETURN, amount=pix.amount, key=act.key
        )
        entry_id = await ledger.post(tx, entry, actor=RECEIVER)
    elif charge is not None:
        charge.state, charge.paid_at = "paid", pix.paid_at
        charge.location = charge.location or ""
    row = ReceivedPayment(
        e2eid=pix.e2eid,
        txid=pix.txid,
        charge_id=charge.id if charge else None,
        amount=pix.amount,
        paid_at=pix.paid_at,
        credited=0 if reason else pix.amount,
        unplaced=pix.amount if reason else 0,
        given_back=0,
        reason=reason,
        entry_id=entry_id,
        found_by=found_by,
        received_at=clock.now(),
    )
    tx.add(row)
    await tx.flush()
    if reason is not None:
        await events.not_credited(tx, row)
    elif charge is not None:
        await events.charge_paid(tx, charge, pix.e2eid)
    if reason is not None and payments.config.returns_by_themselves:
        await returns.begin(tx, payments, row, pix.amount, reason=reason, act=Act(RECEIVER))
    metrics.received_total.labels(found_by, reason or "credited").inc()
    metrics.received_centavos.inc(pix.amount)
    log.info("payment received", e2eid=pix.e2eid, outcome=reason or "credited", by=found_by)
    return True


async def _charge_of(tx: Tx, txid: str | None) -> Charge | None:
    if txid is None:
        return None
    charge: Charge | None = await tx.scalar(select(Charge).where(Charge.txid == txid).with_for_update())
    return charge


def _refusal_of(charge: Charge | None, pix: Pix) -> str | None:
    """Return why a payment is not credited, by its charge; None: it is."""
    if charge is None:
        return "no_charge"
    if charge.state == "paid":
        return "paid_already"
    if pix.amount != charge.amount:
        return "other_amount"
    if pix.paid_at > charge.expires_at + GRACE:
        return "expired"
    return None


async def _credit(tx: Tx, payments: Payments, charge: Charge, pix: Pix, act: Act) -> tuple[UUID | None, str | None]:
    """Credit a payment to its charge's target; return the entry's id, or why the target refuses it."""
    purpose = payments.purposes.get(charge.purpose)
    if purpose is None:
        return None, "purpose_off"
    money = PlacedMoney(charge.target_id, pix.amount, accounts.PROVIDER)
    try:
        async with tx.begin_nested():
            return await purpose.credit(tx, money, act), None
    except Problem as problem:
        if problem.status >= _SERVER_ERROR:
            raise
        return None, problem.code


async def poll(database: Database, payments: Payments) -> int:
    """Read the provider's list from a while before the last position until now; return how many were new.

    Raises:
        PaymentProviderDown, ProviderRefused: payments read by then are processed, and are read again the next time.
    """
    async with database.transaction() as tx:
        place = await _read_until(tx)
    now, new = clock.now(), 0
    async with payments.asking() as provider:
        begin = min(place, now) - OVERLAP  # so that a clock that was once ahead leaves no gap
        while begin < now:
            end = min(begin + LONGEST, now)  # some providers return nothing for a future time
            new += await _read(database, payments, provider, begin, end)
            async with database.transaction() as tx:
                await _move(tx, end)
            begin = end
    return new


async def _read(database: Database, payments: Payments, provider: PixProvider, begin: datetime, end: datetime) -> int:
    new = 0
    async for page in provider.payments(begin, end):
        new += await process_unknown(database, payments, page, "polling")
    return new


async def process_unknown(database: Database, payments: Payments, page: Sequence[Pix], found_by: FoundBy) -> int:
    """Process the unknown ones of some payments, each in its own transaction; return how many there were.

    Their unrequested returns are booked likewise.
    """
    async with database.transaction() as tx:
        ids = [pix.e2eid for pix in page]
        known = set(await tx.scalars(select(ReceivedPayment.e2eid).where(ReceivedPayment.e2eid.in_(ids))))
        returned = {pix.e2eid for pix in await taken_back.unknown(tx, page)}
    new = 0
    for pix in page:
        if pix.e2eid not in known or pix.e2eid in returned:
            async with database.transaction() as tx:
                new += await process(tx, payments, pix, found_by)
                await taken_back.book_returns(tx, payments, pix)
    return new


async def sweep_returns(database: Database, payments: Payments) -> None:
    """Check for returns all payments that banks may still return, the newest first: returns may be months late.

    Raises:
        PaymentProviderDown, ProviderRefused: returns read by then are booked.
    """
    end = clock.now()
    first = end - MAY_BE_TAKEN_BACK
    async with payments.asking() as provider:
        while end > first:
            begin = end - LONGEST
            async for page in provider.payments(begin, end, returned=True):
                await process_unknown(database, payments, page, "reconciliation")
            end = begin


async def _read_until(tx: Tx) -> datetime:
    """Return the instant up to which the list has been read; at first, an instant before the first charge."""
    place: datetime | None = await tx.scalar(select(ReadPlace.read_until))
    if place is None:
        first: datetime | None = await tx.scalar(select(func.min(Charge.created_at)))
        place = first or clock.now()
    return place


async def _move(tx: Tx, read_until: datetime) -> None:
    values: dict[str, Any] = {"read_until": read_until}
    await tx.execute(insert(ReadPlace).values(id=1, **values).on_conflict_do_update(index_elements=["id"], set_=values))
