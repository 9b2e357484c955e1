"""Benefits' part of a person's data: export and erasure."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import SelectBase, and_, delete, false, or_, select

from carteira.benefits import employers, queries
from carteira.benefits.accounts import balances
from carteira.benefits.models import BenefitAccount, BenefitClaimCode, BenefitDecision, Employer
from carteira.kit.db.session import Tx
from carteira.kit.web.access import Principal
from carteira.kit.web.pagination import PageRequest

_LINES = 10_000


async def export_person(tx: Tx, user_id: UUID) -> Mapping[str, Any]:
    """Return a person's accounts, each with its newest 10,000 decisions and movements, JSON-ready; centavos."""
    accounts = await tx.scalars(
        select(BenefitAccount).where(BenefitAccount.user_id == user_id).order_by(BenefitAccount.id)
    )
    exported = []
    for account in accounts.all():
        decisions = await tx.scalars(
            select(BenefitDecision)
            .where(BenefitDecision.account_id == account.id)
            .order_by(BenefitDecision.id.desc())
            .limit(_LINES)
        )
        lines = (await queries.statement(tx, account.id, PageRequest(_LINES), Principal(user_id))).items
        exported.append(
            {
                "account": account.reference,
                "employer": (await tx.get_one(Employer, account.employer_id)).name,
                "cpf": account.cpf,
                "contact": account.contact,
                "name": account.name,
                "state": account.state,
                "created_at": account.created_at,
                "balances": await balances(tx, account.id),
                "transactions": [queries.as_transaction(row).model_dump(mode="json") for row in decisions],
                "statement": [line.model_dump(mode="json") for line in lines],
            }
        )
    return {"accounts": exported}


def ids_of_person(user_id: UUID, cpf: str | None) -> SelectBase:
    """Return the query of a person's accounts, and of those that wait for their proven CPF."""
    waiting = and_(BenefitAccount.cpf == cpf, BenefitAccount.user_id.is_(None)) if cpf else false()
    return select(BenefitAccount.id).where(or_(BenefitAccount.user_id == user_id, waiting))


async def erase_person(tx: Tx, user_id: UUID) -> None:
    """Detach a person from their benefit accounts; decisions stay under the processor's references (LGPD art. 16, I).

    The ledger refuses if money is left. Unclaimed accounts that wait for the same CPF are left alone, since a declared
    CPF is not proven.
    """
    accounts = await tx.scalars(
        select(BenefitAccount).where(BenefitAccount.user_id == user_id).order_by(BenefitAccount.id).with_for_update()
    )
    await _detach(tx, accounts.all())
    await employers.forget_member(tx, user_id)
    await tx.execute(delete(BenefitClaimCode).where(BenefitClaimCode.user_id == user_id))


async def _detach(tx: Tx, accounts: Sequence[BenefitAccount]) -> None:
    for account in accounts:
        account.user_id = account.cpf = account.contact = account.name = None
    await tx.flush()


async def traces_of_person(tx: Tx, user_id: UUID) -> Mapping[str, Any]:
    """Return the ids of a person's accounts, which may be unclaimed in a restored earlier state."""
    owned = await tx.scalars(select(BenefitAccount.id).where(BenefitAccount.user_id == user_id))
    return {"accounts": [str(account_id) for account_id in owned]}


async def erase_traces(tx: Tx, traces: Mapping[str, Any]) -> None:
    """Detach an erased person from the accounts that were theirs."""
    ids = [UUID(account_id) for account_id in traces["accounts"]]
    accounts = await tx.scalars(
        select(BenefitAccount).where(BenefitAccount.id.in_(ids)).order_by(BenefitAccount.id).with_for_update()
    )
    await _detach(tx, accounts.all())
