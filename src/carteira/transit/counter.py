"""Recharges for cash in two trips: one read, and one write that compares the card, its balance and unpaid rides."""

from typing import Final

from fastapi import Response

from carteira import ledger
from carteira.kit.db.outbox import EVENTS, as_rows
from carteira.kit.db.session import LeanTx
from carteira.kit.security import audit
from carteira.kit.security.operator_days import COUNT_DAY
from carteira.kit.values.actor import Actor
from carteira.kit.web.idempotency import RECORDS, KeptAnswer
from carteira.transit.moves import CARDS, MOST_DEBTS, SETTLE, Debts
from carteira.transit.schemas import CashRechargeOut
from carteira.transit.service import CASH, RECEIVABLE, RECHARGED_FOR_CASH, RIDE_PAID, count, event_of

_DAY = COUNT_DAY.format(*(f"{{{place}}}" for place in range(6, 12)))
_RECORDER: Final = ledger.Recorder(RECORDS, EVENTS, EVENTS, audit.ACTS, guard=f"{SETTLE}, {_DAY}", guarded=12)


async def recharge_at_once(  # noqa: PLR0913 - a recharge's parts
    tx: LeanTx, card_number: str, amount: int, *, actor: Actor, day: tuple[object, ...], keeping: KeptAnswer
) -> Response | None:
    """Recharge an active card as `service.recharge_for_cash` does; None: call that instead.

    `day` holds the parameters that count it against the operator's daily ceiling (`operator_days.day_of`).

    Raises:
        StaleBook, PostgresError: as `ledger.at_once` knows them; nothing was written.
    """
    found = await ledger.accounts_held(tx, CARDS, [card_number])
    if len(found) != 1:
        return None
    _, (card_id, user_id, status, taps, owed), account = found[0]
    if account is None or user_id is None or status != "active" or len(taps or ()) > MOST_DEBTS:
        return None
    book, debts = ledger.Book([account]), Debts(taps, owed)
    entry = ledger.transfer("transit.recharge", source=CASH, target=account.id, amount=amount)
    book.post(entry)
    payments = []
    if paid := debts.pay(account.available):
        payment = ledger.transfer("transit.debt_payment", source=account.id, target=RECEIVABLE, amount=paid)
        book.post(payment)
        payments.append(event_of(user_id, card_id, amount=paid, entry_id=str(payment.id)))
    recharged = event_of(user_id, card_id, amount=amount, entry_id=str(entry.id))
    result = CashRechargeOut(card_number=card_number, amount=amount, entry_id=entry.id)
    response, record = keeping.answer(result)
    act = audit.acts_of(RECHARGED_FOR_CASH, subject=user_id, entry=entry.id, card_id=str(card_id), amount=amount)
    records = _RECORDER.record(
        [card_id],
        [user_id],
        [user_id],
        list(debts.read),
        list(debts.read.values()),
        list(debts.left.values()),
        *day,
        *record,
        *as_rows(RIDE_PAID, payments),
        *as_rows("transit.recharged", [recharged]),
        act,
    )
    await ledger.write(tx, book, actor=actor, records=records)
    audit.done(RECHARGED_FOR_CASH)
    count("recharge", amount)
    return response
