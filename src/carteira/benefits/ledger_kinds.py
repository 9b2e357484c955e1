"""Benefits' money in the ledger: kinds of accounts and entries, and system accounts."""

from uuid import UUID

from carteira import ledger

SETTLEMENT = ledger.system_account("benefits.settlement")
"""The debt to merchants."""
PURCHASE = "benefits.purchase"
"""The kind of entry that an approved decision posts, under its own id."""
LEDGER_KIND = "benefits."
"""Prefix of the kinds of ledger accounts; the category's name follows."""
FUNDING = ledger.system_account("benefits.funding")
"""The source of top-ups of employers without a fund, who pay before or after."""
EMPLOYER_FUND = "benefits.employer_fund"
"""The kind of a pre-funded employer's account, the only source of its top-ups."""


def credit_entry(  # noqa: PLR0913 - an entry's fields
    account_id: UUID,
    amount: int,
    description: str | None,
    *,
    source: UUID,
    entry_id: UUID | None = None,
    key: str | None = None,
) -> ledger.NewEntry:
    """Return the entry of a top-up: `amount` centavos from an employer's source to a category's account."""
    return ledger.transfer(
        "benefits.credit",
        source=source,
        target=account_id,
        amount=amount,
        description=description,
        key=key,
        entry_id=entry_id,
    )
