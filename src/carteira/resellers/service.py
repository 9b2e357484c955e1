"""The verbs of purchases: register, change, delete, approve, reject; and spending cashback on them.

Locks are taken in one order: the purchase, its month (shared), the cashback account. Closing a month locks the month
exclusively, and then accounts.
"""

from datetime import date
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from carteira import ledger
from carteira.kit.db import outbox
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.security.approvals import Act, Gains
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.values.ids import uuid7
from carteira.kit.values.money import format_brl
from carteira.kit.web.access import Principal
from carteira.kit.web.preconditions import UNCONDITIONAL, Precondition
from carteira.kit.web.problems import Conflict, InvalidInput
from carteira.resellers import configuration, metrics, resellers
from carteira.resellers.errors import (
    MonthClosed,
    PurchaseCodeTaken,
    PurchaseDecided,
    PurchaseNotFound,
    before_the_beginning,
    invalid_date,
)
from carteira.resellers.models import Month, Purchase
from carteira.resellers.proof import UnprovenCpf, require_proven_of_another
from carteira.resellers.resellers import ResellerView
from carteira.resellers.schemas import STATUS, PurchaseChangeIn, PurchaseIn, PurchaseOut

SPENT = ledger.system_account("resellers.cashback_spent")
"""The account for cashback that pays for purchases."""
SPEND = "resellers.cashback_spend"
PENDING, APPROVED, REJECTED = "pending", "approved", "rejected"
_DECIDED = {APPROVED: "resellers.purchase_approved", REJECTED: "resellers.purchase_rejected"}


class SpentOnPurchase(Conflict):
    """Spent cashback is returned with its purchase (changed, deleted, rejected), not by a reversal."""

    code = "spent_on_purchase"
    detail = "Este cashback pagou uma compra. Ele volta ao saldo se a compra for alterada, excluída ou reprovada."


def purchase_out(row: Purchase, reseller: ResellerView, who: Principal | None) -> PurchaseOut:
    """Return a purchase as the caller may see it; None: as anybody may."""
    return PurchaseOut(
        id=row.id,
        code=row.code,
        amount=row.amount,
        date=row.purchased_on,
        cpf=resellers.shown_cpf(reseller, who),
        status=STATUS[row.status],
        cashback_spent=row.cashback_spent,
        rejection_reason=row.rejection_reason,
        created_at=row.created_at,
    )


async def month_of(tx: Tx, day: date) -> date:
    """Return the month of a purchase's day.

    Raises:
        InvalidInput: the day is in the future in São Paulo, or before the program began.
    """
    if day > clock.today():
        raise invalid_date("A data não pode estar no futuro.")
    beginning = (await configuration.tier_tables(tx)).beginning
    if day < beginning:
        raise before_the_beginning(beginning)
    return day.replace(day=1)


async def lock_open(tx: Tx, month: date) -> None:
    """Lock a month against closing until this transaction ends.

    Raises:
        MonthClosed: it is closed already.
    """
    await tx.execute(insert(Month).values(month=month).on_conflict_do_nothing())
    row = await tx.scalar(select(Month).where(Month.month == month).with_for_update(read=True))
    assert row is not None, "months are never deleted"
    if row.closed_at is not None:
        raise MonthClosed(f"O mês {month:%m/%Y} já foi fechado.")


async def register(
    tx: Tx, policy: UnprovenCpf, who: Principal, body: PurchaseIn, *, approved_up_to: int | None = None
) -> PurchaseOut:
    """Register a purchase, pending unless its CPF is approved automatically, and spend cashback on it if requested.

    Amounts above `approved_up_to` centavos, which one operator does not approve alone, are not approved automatically.

    Raises:
        UnknownReseller: the CPF is no reseller's.
        CpfNotProven: an operator enters it for a CPF that is not proven, and the policy refuses it.
        Forbidden: another's CPF without `purchases:write`.
        InvalidInput: the date is in the future.
        MonthClosed: the date is in a closed month.
        PurchaseCodeTaken: the code is another purchase's.
        InsufficientFunds: there is too little cashback.
    """
    reseller = await resellers.buyer(tx, who, body.cpf)
    earns = await require_proven_of_another(tx, policy, who, reseller)
    month = await month_of(tx, body.date)
    await lock_open(tx, month)
    small = approved_up_to is None or body.amount <= approved_up_to
    approved = earns and small and await configuration.is_auto_approved(tx, body.cpf, month)
    status = APPROVED if approved else PENDING
    now = clock.now()
    identifier = await tx.scalar(
        insert(Purchase)
        .values(
            id=uuid7(),
            reseller_id=reseller.id,
            code=body.code,
            amount=body.amount,
            purchased_on=body.date,
            month=month,
            status=status,
            created_by=who.id,
            created_at=now,
            decided_at=now if approved else None,
        )
        .on_conflict_do_nothing(index_elements=["code"])
        .returning(Purchase.id)
    )
    if identifier is None:
        raise PurchaseCodeTaken
    row = await tx.get_one(Purchase, identifier)
    if body.cashback_to_spend:
        await _spend(tx, row, reseller, body.cashback_to_spend, who.actor)
    await _record(tx, "purchase_registered", row, reseller, who.actor)
    metrics.purchases_total.labels(status).inc()
    return purchase_out(row, reseller, who)


async def _record(  # noqa: PLR0913, PLR0917 - the fields of a row of the audit
    tx: Tx,
    action: str,
    row: Purchase,
    reseller: ResellerView,
    actor: Actor,
    approved_by: UUID | None = None,
    entry: UUID | None = None,
) -> None:
    await audit.record(
        tx,
        action,
        actor=actor,
        approved_by=approved_by,
        subject=reseller.person,
        entry=entry or row.spend_entry_id,
        purchase_id=str(row.id),
        amount=row.amount,
        status=row.status,
    )


async def _spend(tx: Tx, row: Purchase, reseller: ResellerView, amount: int, actor: Actor) -> None:
    """Pay a part of a purchase with cashback.

    Raises:
        InsufficientFunds: there is too little cashback.
    """
    entry = ledger.transfer(
        SPEND, source=reseller.account_id, target=SPENT, amount=amount, description=f"Usado na compra {row.code}"
    )
    try:
        row.spend_entry_id = await ledger.post(tx, entry, actor=actor)
    except ledger.InsufficientFunds as error:
        detail = f"Saldo de cashback insuficiente: faltam {format_brl(error.short_by)}."
        raise ledger.InsufficientFunds(error.account_id, error.short_by, detail) from error
    row.cashback_spent = amount
    await tx.flush()
    metrics.spent_total.inc(amount)


async def _return_spent(tx: Tx, row: Purchase, actor: Actor, approved_by: UUID | None = None) -> UUID | None:
    """Return a purchase's spent cashback to its reseller; return the entry's id, None if there was none."""
    entry_id, amount = row.spend_entry_id, row.cashback_spent
    if entry_id is None:
        return None
    row.spend_entry_id, row.cashback_spent = None, 0
    await tx.flush()
    reversal_id = await ledger.reverse(
        tx, entry_id, actor=actor, approved_by=approved_by, description=f"Devolvido da compra {row.code}"
    )
    metrics.given_back_total.inc(amount)
    return reversal_id


async def refuse_if_spent(tx: Tx, reversal: ledger.NewEntry) -> None:
    """Refuse the ledger's reversal of cashback that a purchase still counts as paid.

    Raises:
        SpentOnPurchase: a purchase counts it.
    """
    if await tx.scalar(select(Purchase.id).where(Purchase.spend_entry_id == reversal.reverses_id)) is not None:
        raise SpentOnPurchase


async def find(tx: Tx, purchase_id: UUID, *, lock: bool = False) -> Purchase:
    """Return a purchase.

    Raises:
        PurchaseNotFound: there is none.
    """
    query = select(Purchase).where(Purchase.id == purchase_id)
    row = await tx.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise PurchaseNotFound
    return row


async def _pending(tx: Tx, who: Principal, purchase_id: UUID) -> tuple[Purchase, ResellerView]:
    """Lock a purchase that may still be changed, by its reseller or with `purchases:write`.

    Raises:
        PurchaseNotFound: there is none.
        Forbidden: it is another's and the claim is missing.
        PurchaseDecided: it is no longer pending.
    """
    row = await find(tx, purchase_id, lock=True)
    reseller = await resellers.by_id(tx, row.reseller_id)
    if not who.may("purchases:write") and (await resellers.mine(tx, who)).id != reseller.id:
        who.require("purchases:write")
    if row.status != PENDING:
        raise PurchaseDecided
    return row, reseller


async def change(
    tx: Tx, who: Principal, purchase_id: UUID, body: PurchaseChangeIn, seen: Precondition = UNCONDITIONAL
) -> PurchaseOut:
    """Change a pending purchase; `cashback_to_spend` sets its spent cashback.

    Raises:
        Forbidden, PurchaseNotFound, PurchaseDecided: as for `delete`.
        InvalidInput: the CPF is another one, the date in the future, or the amount below the cashback spent.
        MonthClosed, PurchaseCodeTaken, InsufficientFunds: as for `register`.
        RecordChanged: it is no longer what was seen.
    """
    row, reseller = await _pending(tx, who, purchase_id)
    seen.hold(purchase_out(row, reseller, None).version)
    if body.cpf is not None and body.cpf != reseller.cpf:
        message = "O revendedor de uma compra não muda: exclua-a e registre outra."
        raise InvalidInput(errors=[{"field": "cpf", "message": message}])
    month = await month_of(tx, body.date)
    await lock_open(tx, month)
    wanted = row.cashback_spent if body.cashback_to_spend is None else body.cashback_to_spend
    if wanted > body.amount:
        message = "O valor não pode ser menor que o cashback usado na compra."
        raise InvalidInput(errors=[{"field": "amount", "message": message}])
    if wanted != row.cashback_spent:
        await _return_spent(tx, row, who.actor)
    row.code, row.amount, row.purchased_on, row.month = body.code, body.amount, body.date, month
    if who.id not in {row.created_by, *row.changed_by}:
        row.changed_by = [*row.changed_by, who.id]
    try:
        await tx.flush()
    except IntegrityError as error:
        raise PurchaseCodeTaken from error
    if wanted != row.cashback_spent:
        await _spend(tx, row, reseller, wanted, who.actor)
    await _record(tx, "purchase_changed", row, reseller, who.actor)
    return purchase_out(row, reseller, who)


async def delete(tx: Tx, who: Principal, purchase_id: UUID, seen: Precondition = UNCONDITIONAL) -> None:
    """Delete a pending purchase and return its spent cashback.

    Raises:
        PurchaseNotFound: there is none.
        RecordChanged: it is no longer what was seen.
        Forbidden: it is another's, without `purchases:write`.
        PurchaseDecided: it was approved or rejected.
    """
    row, reseller = await _pending(tx, who, purchase_id)
    seen.hold(purchase_out(row, reseller, None).version)
    entry = await _return_spent(tx, row, who.actor)
    await _record(tx, "purchase_deleted", row, reseller, who.actor, entry=entry)
    await tx.delete(row)
    await tx.flush()


async def approve(tx: Tx, purchase_id: UUID, act: Act, seen: Precondition = UNCONDITIONAL) -> PurchaseOut:
    """Approve a pending purchase; the answer masks the reseller's CPF.

    Raises:
        PurchaseNotFound: there is none.
        PurchaseDecided: it was approved or rejected before.
        RecordChanged: it is no longer what was seen.
        OwnOperation: the approver registered or changed it, or is its reseller, by user or by CPF.
        MustWait, DailyCeilingReached: it is above what one operator approves alone, or in a day.
    """
    row = await _undecided(tx, purchase_id)
    reseller = await resellers.by_id(tx, row.reseller_id)
    seen.hold(purchase_out(row, reseller, None).version)
    own = Gains.of(reseller.user_id, reseller.cpf)
    barred = Gains(own.users | {row.created_by, *row.changed_by}, own.cpfs)
    await act.refuse_own(tx, barred)
    summary = f"Aprovar a compra {row.code} de {format_brl(row.amount)}"
    await act.weigh(tx, amount=row.amount, summary=summary, gains=barred)
    await _decide(tx, row, APPROVED, None, act.approved_by or UUID(act.actor.id))
    await _record(tx, "purchase_approved", row, reseller, act.actor, act.approved_by)
    return purchase_out(row, reseller, None)


async def show(tx: Tx, purchase_id: UUID, who: Principal) -> PurchaseOut:
    """Return a purchase as it is now, in the caller's form.

    Raises:
        PurchaseNotFound: there is none.
    """
    row = await find(tx, purchase_id)
    return purchase_out(row, await resellers.by_id(tx, row.reseller_id), who)


async def reject(
    tx: Tx, who: Principal, purchase_id: UUID, reason: str | None, seen: Precondition = UNCONDITIONAL
) -> PurchaseOut:
    """Reject a pending purchase, return its spent cashback, and store the reason for its reseller.

    Raises:
        PurchaseNotFound: there is none.
        PurchaseDecided: it was approved or rejected before.
        RecordChanged: it is no longer what was seen.
    """
    who.require("purchases:approve")
    row = await _undecided(tx, purchase_id)
    reseller = await resellers.by_id(tx, row.reseller_id)
    seen.hold(purchase_out(row, reseller, None).version)
    entry = await _return_spent(tx, row, who.actor)
    await _decide(tx, row, REJECTED, reason, who.id)
    await _record(tx, "purchase_rejected", row, reseller, who.actor, entry=entry)
    return purchase_out(row, reseller, who)


async def _undecided(tx: Tx, purchase_id: UUID) -> Purchase:
    row = await find(tx, purchase_id, lock=True)
    if row.status != PENDING:
        raise PurchaseDecided
    return row


async def _decide(tx: Tx, row: Purchase, status: str, reason: str | None, decided_by: UUID) -> None:
    row.status, row.rejection_reason = status, reason
    row.decided_by, row.decided_at = decided_by, clock.now()
    await tx.flush()
    reseller = await resellers.by_id(tx, row.reseller_id)
    if reseller.user_id is not None:  # an erased reseller is not notified
        payload = {"purchase_id": str(row.id), "reseller_id": str(reseller.id), "user_id": str(reseller.user_id)}
        await outbox.emit(tx, _DECIDED[status], payload)
    metrics.decisions_total.labels(status).inc()
