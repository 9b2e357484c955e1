"""A person's reads of their own benefits: accounts with employers, and decisions with their figures."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, select, text

from carteira.benefits import catalog
from carteira.benefits.authorizer.answers import Code
from carteira.benefits.authorizer.rules import CASH
from carteira.benefits.models import BenefitAccount, BenefitDecision, Employer
from carteira.kit.db.session import Tx
from carteira.kit.values.ids import first_uuid7

_NAMES = {"FOOD": "Alimentação", "MEAL": "Refeição", CASH: "Livre"}


def pocket_name(category: str) -> str:
    """Return the name of a category's balance for people; a configured category has its own name."""
    return _NAMES.get(category) or category.capitalize()


@dataclass(frozen=True, slots=True)
class OwnBenefit:
    """A person's benefit account and its employer."""

    account_id: UUID
    reference: str
    employer: str


@dataclass(frozen=True, slots=True)
class AcceptedWhere:
    """The shops at which a category pays: those with these MCCs, and listed names whatever their MCC."""

    category: str
    mccs: list[str]
    merchants: list[str]


@dataclass(frozen=True, slots=True)
class OwnDecision:
    """The decision on a person's purchase, with what they need to understand it; amounts in centavos."""

    id: UUID
    account_id: UUID
    amount: int | None
    merchant: str | None
    code: str
    reason: str
    category_tried: str | None
    category_used: str | None
    fallback: bool
    short_by: int | None
    created_at: datetime

    @property
    def approved(self) -> bool:
        """Whether money moved."""
        return self.code == Code.APPROVED

    @property
    def lacked(self) -> bool:
        """Whether it was declined for lack of balance."""
        return self.code == Code.INSUFFICIENT


async def benefits_of_person(tx: Tx, user_id: UUID) -> list[OwnBenefit]:
    """Return a person's accounts, the oldest first."""
    query = (
        select(BenefitAccount.id, BenefitAccount.reference, Employer.name)
        .join(Employer, Employer.id == BenefitAccount.employer_id)
        .where(BenefitAccount.user_id == user_id)
        .order_by(BenefitAccount.id)
    )
    return [OwnBenefit(*row) for row in await tx.execute(query)]


async def accepted_where(tx: Tx) -> list[AcceptedWhere]:
    """Return where each category pays. The catalog is public; `CASH` pays wherever no other does."""
    known = await catalog.load(tx)
    by_name: dict[str, list[str]] = {name: [] for name in known.regimes}
    for merchant in await catalog.list_merchants(tx):
        by_name.setdefault(known.by_mcc.get(merchant.mcc, CASH), []).append(merchant.name)
    return [
        AcceptedWhere(name, sorted(mcc for mcc, category in known.by_mcc.items() if category == name), merchants)
        for name, merchants in by_name.items()
    ]


# Approved and declined decisions are read separately, so that neither hides the other.
_DECISIONS = text("""
    SELECT decision.id, decision.account_id, decision.amount, decision.merchant, decision.code, decision.reason,
           decision.category_tried, decision.category_used, decision.fallback, decision.short_by, decision.created_at
    FROM benefits_accounts account
    CROSS JOIN LATERAL (
        (SELECT * FROM benefits_decisions
         WHERE account_id = account.id AND code = '00' AND id >= :since AND id < :until ORDER BY id DESC LIMIT :limit)
        UNION ALL
        (SELECT * FROM benefits_decisions
         WHERE account_id = account.id AND code <> '00' AND id >= :since AND id < :until ORDER BY id DESC LIMIT :limit)
    ) decision
    WHERE account.user_id = :user_id
    ORDER BY decision.id DESC
""")


_REFUSALS = text("""
    SELECT decision.id, decision.account_id, decision.amount, decision.merchant, decision.code, decision.reason,
           decision.category_tried, decision.category_used, decision.fallback, decision.short_by, decision.created_at
    FROM benefits_accounts account
    CROSS JOIN LATERAL (
        SELECT * FROM benefits_decisions
        WHERE account_id = account.id AND code <> '00' AND id > :since AND id < :until ORDER BY id DESC LIMIT :limit
    ) decision
    WHERE account.user_id = :user_id
    ORDER BY decision.id DESC
    LIMIT :limit
""")


async def decisions_of_person(
    tx: Tx, user_id: UUID, *, since: datetime, until: datetime, limit: int
) -> list[OwnDecision]:
    """Return a person's decisions of a period, newest first: per account up to `limit` approved and declined each."""
    bounds = {"since": first_uuid7(since.timestamp()), "until": first_uuid7(until.timestamp())}
    rows = await tx.execute(_DECISIONS, {"user_id": user_id, "limit": limit, **bounds})
    return [OwnDecision(*row) for row in rows]


async def refusals_of_person(tx: Tx, user_id: UUID, *, after: UUID, before: UUID, limit: int) -> Sequence[OwnDecision]:
    """Return a person's declined purchases, newest first, between two ids."""
    rows = await tx.execute(_REFUSALS, {"user_id": user_id, "since": after, "until": before, "limit": limit})
    return [OwnDecision(*row) for row in rows]


async def own_decisions(tx: Tx, user_id: UUID, decision_ids: Collection[UUID]) -> dict[UUID, OwnDecision]:
    """Return the person's decisions with these ids."""
    mine: ColumnElement[bool] = BenefitDecision.account_id.in_(
        select(BenefitAccount.id).where(BenefitAccount.user_id == user_id)
    )
    rows = await tx.scalars(select(BenefitDecision).where(BenefitDecision.id.in_(decision_ids), mine))
    return {row.id: OwnDecision(**{item.name: getattr(row, item.name) for item in fields(OwnDecision)}) for row in rows}
