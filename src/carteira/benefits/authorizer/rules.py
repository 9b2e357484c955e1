"""The rules of a decision: which category pays, and the answer. Pure functions without I/O.

Sources: rules.md, benefits (L1 category, L2 fallback, L3 merchant's name); ISO 18245 for merchant category codes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from carteira.benefits.authorizer.answers import Code, Reason
from carteira.benefits.authorizer.request import Authorization

CASH: Final = "CASH"


class Rule(StrEnum):
    """The rule that determined the category: the MCC, the merchant's name, or none (every other MCC is CASH)."""

    MCC = "mcc"
    MERCHANT = "merchant"
    DEFAULT = "default"


class Decision(NamedTuple):
    """An answer and its reason; amounts in centavos. `account_id` is None when the account is unknown."""

    id: UUID
    external_id: str | None
    account_id: UUID | None
    account: str
    amount: int | None
    mcc: str | None
    merchant: str | None
    fallback: bool
    code: str
    reason: str
    category_tried: str | None = None
    category_used: str | None = None
    rule: str | None = None
    short_by: int | None = None

    @property
    def key(self) -> str | None:
        """Its permanent key."""
        return self.external_id

    @property
    def content(self) -> tuple[object, ...]:
        """The content by which two requests are equal."""
        return (self.account, self.amount, self.mcc, self.merchant, self.fallback)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Categories, MCCs, merchants and blocked accounts' references, as of one version."""

    version: int
    regimes: Mapping[str, str]
    by_mcc: Mapping[str, str]
    by_merchant: Mapping[str, str]
    blocked: Mapping[str, UUID] = field(default_factory=dict)

    def categorise(self, mcc: str, merchant: str) -> tuple[str, Rule]:
        """Return a purchase's category, and the rule that determined it (L3 before L1)."""
        override = self.by_merchant.get(normalise_merchant(merchant)) if self.by_merchant else None
        category = self.by_mcc.get(override or mcc, CASH)
        if override is not None:
            return category, Rule.MERCHANT
        return category, Rule.MCC if mcc in self.by_mcc else Rule.DEFAULT


def normalise_merchant(name: str) -> str:
    """Normalise a merchant's name for comparison: case and runs of blanks are ignored."""
    return " ".join(name.split()).casefold()


def decide(
    request: Authorization, account_id: UUID, category: tuple[str, Rule], *, available: int, cash: int
) -> Decision:
    """Choose the category that pays the whole amount: the purchase's, else CASH if fallback allows (L1, L2).

    `category` is the purchase's by the catalog, `available` its balance, `cash` that of CASH, in centavos; amounts are
    never split.
    """
    tried, rule = category
    used: str | None = None
    code, reason, short_by = Code.INSUFFICIENT, Reason.INSUFFICIENT_FUNDS, None
    if available >= request.amount:
        code, reason, used = Code.APPROVED, Reason.APPROVED, tried
    elif request.fallback and tried != CASH and cash >= request.amount:
        code, reason, used = Code.APPROVED, Reason.APPROVED_BY_FALLBACK, CASH
    else:
        short_by = request.amount - available
    return Decision(
        request.id,
        request.external_id,
        account_id,
        request.account,
        request.amount,
        request.mcc,
        request.merchant,
        request.fallback,
        code,
        reason,
        tried,
        used,
        rule,
        short_by,
    )


def refuse(request: Authorization, reason: Reason, account_id: UUID | None, *, keep_id: bool) -> Decision:
    """Refuse a well-formed request (07). Only a refusal that keeps its id is replayed."""
    return Decision(
        request.id,
        request.external_id if keep_id else None,
        account_id,
        request.account,
        request.amount,
        request.mcc,
        request.merchant,
        request.fallback,
        Code.REFUSED,
        reason,
    )


def refuse_malformed(decision_id: UUID, account_id: UUID, account: str, reason: Reason) -> Decision:
    """Refuse a request of which only the account could be parsed (07)."""
    return Decision(
        decision_id,
        None,
        account_id,
        account,
        None,
        None,
        None,
        fallback=False,
        code=Code.REFUSED,
        reason=reason,
    )
