"""Returns of an approved purchase's money: reversals and refunds."""

from uuid import UUID

from sqlalchemy import func, select

from carteira import ledger
from carteira.benefits import employers
from carteira.benefits.accounts import persons
from carteira.benefits.authorizer.answers import Code
from carteira.benefits.errors import (
    AlreadyReturned,
    ReturnNotReversible,
    TransactionNotApproved,
    TransactionNotFound,
)
from carteira.benefits.ledger_kinds import LEDGER_KIND, SETTLEMENT
from carteira.benefits.models import (
    BenefitAccount,
    BenefitDecision,
    BenefitReturn,
)
from carteira.benefits.schemas import (
    ReturnOut,
)
from carteira.kit.db.session import Tx
from carteira.kit.security import audit
from carteira.kit.security.approvals import Act, Gains
from carteira.kit.values.actor import Actor
from carteira.kit.values.clock import clock
from carteira.kit.values.money import format_brl


async def _approved(tx: Tx, transaction_id: UUID, actor: Actor) -> BenefitDecision:
    """Lock an approved transaction for a return.

    Raises:
        TransactionNotFound: there is none, or it is another employer's.
        TransactionNotApproved: it moved nothing.
        AlreadyReturned: its entry was reversed in the ledger.
    """
    decision = await tx.get(BenefitDecision, transaction_id)
    account = None if decision is None else await tx.get(BenefitAccount, decision.account_id)
    reach = await employers.reach_of(tx, actor)
    if decision is None or account is None or not reach.includes(account.employer_id):
        raise TransactionNotFound
    if decision.code != Code.APPROVED:
        raise TransactionNotApproved
    await ledger.lock_entry(tx, transaction_id)
    if await ledger.is_reversed(tx, transaction_id):
        raise AlreadyReturned
    return decision


RETURNS = ("benefits.reversal", "benefits.refund")
"""The kinds of ledger entry of returns."""
REVERSED, REFUNDED = "transaction_reversed", "transaction_refunded"
"""The acts of returns."""


def description_of(kind: str, merchant: str | None) -> str:
    """Return the text of a return's entry for people."""
    return f"{'Estorno' if kind == 'reversal' else 'Devolução'}: {merchant}"


async def _post_return(tx: Tx, decision: BenefitDecision, kind: str, amount: int, act: Act) -> ReturnOut:
    """Post the money from the debt to merchants back to the category that paid."""
    assert decision.account_id is not None, "an approved transaction has an account"
    assert decision.category_used is not None, "and a category that paid"
    account = await tx.get_one(BenefitAccount, decision.account_id)
    does = "Estornar" if kind == "reversal" else "Devolver"
    summary = f"{does} {format_brl(amount)} de uma compra da conta {account.reference}"
    gains = Gains.of(account.user_id, account.cpf)
    await act.weigh(tx, amount=amount, summary=summary, gains=gains, scope=account.employer_id)
    holder = await ledger.accounts_of_holder(tx, decision.account_id)
    target = next(view.id for view in holder if view.kind == LEDGER_KIND + decision.category_used)
    entry = ledger.transfer(
        f"benefits.{kind}",
        source=SETTLEMENT,
        target=target,
        amount=amount,
        description=description_of(kind, decision.merchant),
        key=act.key,
    )
    await ledger.post(tx, entry, actor=act.actor, approved_by=act.approved_by)
    await _record_return(tx, entry.id, decision.id, kind, amount)
    person = (await persons(tx, [decision.account_id]))[0]
    action = REVERSED if kind == "reversal" else REFUNDED
    await audit.record(
        tx,
        action,
        actor=act.actor,
        approved_by=act.approved_by,
        subject=person,
        entry=entry.id,
        transaction_id=str(decision.id),
        amount=amount,
    )
    return ReturnOut(
        id=entry.id,
        transaction_id=decision.id,
        kind="reversal" if kind == "reversal" else "refund",
        amount=amount,
        entry_id=entry.id,
        category=decision.category_used,
    )


async def _record_return(tx: Tx, entry_id: UUID, decision_id: UUID, kind: str, amount: int) -> None:
    tx.add(BenefitReturn(id=entry_id, decision_id=decision_id, kind=kind, amount=amount, created_at=clock.now()))
    await tx.flush()


async def _returned(tx: Tx, transaction_id: UUID) -> int:
    """Return how many centavos of a transaction were returned."""
    total = await tx.scalar(select(func.sum(BenefitReturn.amount)).where(BenefitReturn.decision_id == transaction_id))
    return int(total or 0)


async def reverse(tx: Tx, transaction_id: UUID, act: Act) -> ReturnOut:
    """Reverse an approved transaction in full.

    Raises:
        AlreadyReturned: it was reversed, or a part of it refunded.
        MustWait, DailyCeilingReached: it exceeds the operator's limit.
    """
    decision = await _approved(tx, transaction_id, act.actor)
    if await _returned(tx, transaction_id):
        raise AlreadyReturned
    return await _post_return(tx, decision, "reversal", decision.amount or 0, act)


async def refund(tx: Tx, transaction_id: UUID, amount: int | None, act: Act) -> ReturnOut:
    """Refund a part of an approved transaction, or the rest, to the category that paid.

    Raises:
        AlreadyReturned: less is left than requested.
        MustWait, DailyCeilingReached: it exceeds the operator's limit.
    """
    decision = await _approved(tx, transaction_id, act.actor)
    left = (decision.amount or 0) - await _returned(tx, transaction_id)
    wanted = left if amount is None else amount
    if not 0 < wanted <= left:
        raise AlreadyReturned(f"Restam {format_brl(left)} a devolver desta transação." if left else None)
    return await _post_return(tx, decision, "refund", wanted, act)


async def record_reversed(tx: Tx, reversal: ledger.NewEntry) -> None:
    """Record a purchase's return when the ledger reverses its entry, so that it is not returned again.

    Raises:
        AlreadyReturned: it was reversed, or a part of it refunded.
    """
    assert reversal.reverses_id is not None, "a reversal names what it undoes"
    if await _returned(tx, reversal.reverses_id):
        raise AlreadyReturned
    amount = sum(posting.amount for posting in reversal.postings if posting.amount > 0)
    await _record_return(tx, reversal.id, reversal.reverses_id, "reversal", amount)


async def refuse_return_reversed(_tx: Tx, _reversal: ledger.NewEntry) -> None:
    """Refuse the ledger's reversal of a return.

    Raises:
        ReturnNotReversible: always.
    """
    raise ReturnNotReversible
