"""Funds of pre-funded employers: their deposits for top-ups, in an account that never goes below zero.

Funds are locked before people's accounts, so that concurrent top-ups cannot deadlock.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from carteira import ledger
from carteira.benefits import employers
from carteira.benefits.errors import EmployerNotFound, FundSpent, InsufficientFund, NotPrefunded
from carteira.benefits.ledger_kinds import EMPLOYER_FUND, FUNDING
from carteira.benefits.models import Employer
from carteira.benefits.schemas import EmployerFundOut
from carteira.kit.db import outbox
from carteira.kit.db.session import Tx
from carteira.kit.security.approvals import Act
from carteira.kit.values.money import format_brl
from carteira.kit.web.access import Principal

FUNDED = "benefits.funded"
FUND_RETURNED = "benefits.fund_returned"


async def _account_of(tx: Tx, employer_id: UUID) -> UUID:
    """Return the account of an employer's fund, opening it at first use."""
    return await ledger.open_account(tx, EMPLOYER_FUND, holder_id=employer_id)


async def source_of(tx: Tx, employer_id: UUID) -> UUID:
    """Return the account that an employer's top-ups come from, locked if it is a fund."""
    prefunded = await tx.scalars(select(Employer.id).where(Employer.id == employer_id, Employer.prefunded))
    return (await sources_of(tx, [employer_id], set(prefunded)))[employer_id]


async def sources_of(tx: Tx, employer_ids: Iterable[UUID], prefunded: Collection[UUID]) -> Mapping[UUID, UUID]:
    """Return the accounts that some employers' top-ups come from; funds are locked, in one order."""
    found = {one: await _account_of(tx, one) if one in prefunded else FUNDING for one in sorted(set(employer_ids))}
    if funds := set(found.values()) - {FUNDING}:
        await ledger.lock(tx, funds)
    return found


async def require(tx: Tx, needed: Mapping[UUID, int]) -> None:
    """Require that locked funds cover the amounts to be taken, in centavos.

    Raises:
        InsufficientFund: one does not.
    """
    for source, amount in needed.items():
        if source != FUNDING and (balance := (await ledger.account(tx, source)).balance) < amount:
            raise InsufficientFund(
                f"A empresa é pré-paga e tem {format_brl(balance)}: faltam {format_brl(amount - balance)}.",
                available=balance,
                missing=amount - balance,
            )


async def fund_to_pay_into(tx: Tx, who: Principal, employer_id: UUID | None) -> UUID:
    """Return the employer whose fund the caller is about to pay into.

    Raises:
        EmployerNotFound: there is none, or it is none of theirs.
        EmployerRequired: they are bound to several, and named none.
        NotPrefunded: it has no fund.
    """
    chosen = await employers.chosen_for_opening(tx, who.actor, employer_id)
    row = await tx.get(Employer, chosen)
    if row is None:
        raise EmployerNotFound
    if not row.prefunded:
        raise NotPrefunded
    return chosen


async def pay_in(tx: Tx, employer_id: UUID, amount: int, *, source: UUID, act: Act) -> UUID:
    """Credit a payment to an employer's fund from an operator's account; return the entry's id."""
    entry = ledger.transfer(
        FUNDED, source=source, target=await _account_of(tx, employer_id), amount=amount, key=act.key
    )
    entry_id = await ledger.post(tx, entry, actor=act.actor, approved_by=act.approved_by)
    await outbox.emit(tx, "benefits.funded", _payload(employer_id, amount, entry_id))
    return entry_id


def _payload(employer_id: UUID, amount: int, entry_id: UUID) -> dict[str, Any]:
    return {"employer_id": str(employer_id), "amount": amount, "entry_id": str(entry_id)}


async def pay_out(tx: Tx, employer_id: UUID, amount: int, *, target: UUID, act: Act) -> UUID:
    """Debit a returned payment from an employer's fund; return the entry's id.

    Raises: FundSpent: the fund does not cover it.
    """
    entry = ledger.transfer(
        FUND_RETURNED, source=await _account_of(tx, employer_id), target=target, amount=amount, key=act.key
    )
    try:
        entry_id = await ledger.post(tx, entry, actor=act.actor, approved_by=act.approved_by)
    except ledger.InsufficientFunds as error:
        raise FundSpent from error
    await outbox.emit(tx, "benefits.fund_returned", _payload(employer_id, amount, entry_id))
    return entry_id


async def returnable_fund(tx: Tx, employer_id: UUID) -> int:
    """Lock a fund, and return the centavos that can be debited from it."""
    fund = await _account_of(tx, employer_id)
    return (await ledger.lock(tx, [fund])).account(fund).available


async def fund_of(tx: Tx, who: Principal, employer_id: UUID) -> EmployerFundOut:
    """Return the balance of an employer's fund; an employer that is no longer pre-funded may still have money.

    Raises:
        EmployerNotFound: there is none, or it is none of theirs.
    """
    employer = await employers.find(tx, who, employer_id)
    found = await balances(tx, [employer_id])
    return EmployerFundOut(employer_id=employer_id, prefunded=employer.prefunded, balance=found.get(employer_id, 0))


async def balances(tx: Tx, employer_ids: Sequence[UUID]) -> dict[UUID, int]:
    """Return the balances of employers' funds, in centavos; employers that never paid in are left out."""
    held = await ledger.accounts_of_holders(tx, employer_ids)
    return {one: view.balance for one, accounts in held.items() for view in accounts if view.kind == EMPLOYER_FUND}


async def refuse_reversal(_tx: Tx, _reversal: ledger.NewEntry) -> None:
    """Refuse to reverse entries of payments in or out.

    Raises:
        FundSpent: always; the payment is returned instead.
    """
    raise FundSpent("Este depósito foi pago. Para desfazê-lo, devolva o pagamento.")
