"""How benefits' money stands in the ledger: kinds of accounts and entries, and the operator's own accounts."""

from uuid import UUID

from carteira import ledger

SETTLEMENT = ledger.system_account("benefits.settlement")
"""What merchants are owed."""
PURCHASE = "benefits.purchase"
"""The kind of entry that an approved decision posts, under its own id."""
LEDGER_KIND = "benefits."
"""Prefix of the kinds of ledger accounts; the category's name follows."""
FUNDING = ledger.system_account("benefits.funding")
"""Where top-ups come from: what employers that are not pre-funded pay in, before or after."""
EMPLOYER_FUND = "benefits.employer_fund"
"""The kind of the account of a pre-funded employer, out of which alone it tops up."""


def credit_entry(  # noqa: PLR0913 - an entry, spelled out
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
